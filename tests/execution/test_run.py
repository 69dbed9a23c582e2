import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from jupyter_client.provisioning.local_provisioner import LocalPortCache

import nbmlops as nm
from nbmlops.entities import to_json
from nbmlops.errors import NotebookError, NotFoundError, UsageError
from nbmlops.execution.run import run_notebook
from nbmlops.store import artifacts
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children

pytestmark = pytest.mark.kernel

OPEN_RUN = "import mlflow\nleft_open = mlflow.start_run(run_name='left open')"


def states(notebook):
    """Return papermill's word on each code cell, and its execution count."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(cell.metadata.papermill.status, cell.execution_count) for cell in cells]


def only_child(store, run_id):
    (child,) = list_children(store, run_id)
    return child


def all_runs(store):
    return list(queries.iterate_runs(store))


def test_a_notebook_becomes_one_run_with_the_runs_of_its_cells_below(
    store, write, executed, project, monkeypatch
):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    path = write(
        "import mlflow, os\n"
        "with mlflow.start_run(run_name='fit') as run:\n"
        "    mlflow.log_metric('auc', alpha)\n"
        "    with mlflow.start_run(run_name='fold', nested=True):\n"
        "        pass",
        "print(os.getcwd(), 'PYTHONHASHSEED' in os.environ)",
        name="note books/train {x}.ipynb",
        parameters="alpha: float = 0.1\nn = 3\nwhen = print",
    )
    before = path.read_bytes()
    result = run_notebook(
        path,
        params={"alpha": 0.5},
        output="out {y}/deep/train.ipynb",
        experiment="churn",
        name="baseline",
        store=store,
    )
    assert path.read_bytes() == before
    assert Path.cwd() == project

    run = queries.get_run(store, result.run_id)
    assert (run.status, run.name, run.experiment) == ("FINISHED", "baseline", "churn")
    assert run.source == "note books/train {x}.ipynb"
    assert run.params == {"alpha": "0.5", "n": "3"}
    assert run.tags["nbmlops.kind"] == "step"
    assert re.fullmatch(r".+:\d+:[\d.]+", run.tags["nbmlops.kernel"])
    raw = store.client.get_run(result.run_id).data.tags
    assert raw["mlflow.source.type"] == "NOTEBOOK"

    child = only_child(store, result.run_id)
    assert result.run_ids == (child.run_id,)
    assert (child.name, child.status, child.experiment) == ("fit", "FINISHED", "churn")
    assert child.metrics == {"auc": 0.5}
    assert child.source == run.source
    assert only_child(store, child.run_id).name == "fold"

    notebook = executed(result.run_id)
    assert states(notebook) == [("completed", n) for n in (1, 2, 3, 4)]
    assert notebook.cells[-1].outputs[0].text == f"{path.parent} False\n"
    assert nbformat.read(result.output, 4) == notebook
    assert result.output == str(project / "out {y}/deep/train.ipynb")
    assert (result.status, result.notebook) == ("FINISHED", str(path))
    assert json.loads(json.dumps(to_json(result)))["run_id"] == result.run_id
    assert 0 < result.duration_s < 300


def test_the_code_hash_is_that_of_the_code_and_not_of_the_parameters(store, write):
    path = write(parameters="alpha = 1")
    runs = [
        run_notebook(path, params=given, store=store) for given in ({}, {"alpha": 2})
    ]
    hashes = {queries.get_run(store, r.run_id).tags["nbmlops.code_hash"] for r in runs}
    assert hashes == {hashlib.sha256(b"alpha = 1\0").hexdigest()}


def test_the_page_of_a_run_loads_nothing(store, write, project):
    (project / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    path = write(
        "from IPython.display import HTML, display\n"
        "import ipywidgets\n"
        "display(ipywidgets.IntSlider())\n"
        "HTML('<b>bold</b>')"
    )
    notebook = nbformat.read(path, 4)
    notebook.cells[0].source = "# Formula $x^2$ and ![a dot](dot.png)"
    nbformat.write(notebook, path)
    result = run_notebook(path, store=store)
    page = artifacts.read_file(store, result.run_id, "nbmlops/notebook.html").decode()
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*?\b(?:src|href)=(.{7})", page)
    assert {start.lstrip("\"'")[:5] for start in loaded} == {"data:"}
    assert not re.findall(r"@import|url\(\s*['\"]?http|import\(", page)
    assert "<b>bold</b>" in page
    assert "IntSlider(value=0)" in page


VALUES = {
    "none": None,
    "yes": True,
    "big": 10**30,
    "negative": -0.0,
    "nan": float("nan"),
    "infinite": [float("inf"), float("-inf")],
    "text": "é 漢 😀 \u2028 \x00 \r\n \t \" ' \\ {braces} %s $HOME `ls` <script>",
    "code": "'); open('pwned', 'w'); ('",
    "layers": (50, (50,), ()),
    "nested": {"a b": [1, {"": [None, True, 1.5, ("x",)]}], "ключ": {}},
    "int64": np.int64(7),
    "float32": np.float32(0.25),
    "bool_": np.bool_(False),
}


def test_values_arrive_with_the_same_value_and_type(store, write, executed, project):
    path = write(
        "import json\njson.dumps({k: repr(globals()[k]) for k in "
        + repr([*VALUES])
        + "})",
        parameters="\n".join(f"{name} = ..." for name in VALUES),
    )
    result = run_notebook(path, params=VALUES, store=store)
    notebook = executed(result.run_id)
    seen = json.loads(eval(notebook.cells[-1].outputs[0].data["text/plain"]))  # noqa: S307
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in VALUES.items()}
    assert seen == {name: repr(value) for name, value in plain.items()}
    assert not (project / "pwned").exists()
    content = artifacts.read_file(store, result.run_id, "nbmlops/notebook.ipynb")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads(content, parse_constant=refuse)


def test_what_an_earlier_run_injected_is_dropped(store, write, executed):
    path = write("alpha", parameters="alpha = 1")
    first = run_notebook(path, params={"alpha": 2}, output="a.ipynb", store=store)
    second = run_notebook(first.output, store=store)
    assert executed(second.run_id).cells[-1].outputs[0].data["text/plain"] == "1"


def test_a_run_left_open_at_the_end_and_a_notebook_without_a_kernel_name_are_fine(
    store, write
):
    path = write(OPEN_RUN, kernel=None, parameters="a = 1")
    result = run_notebook(path, params={"a": 2}, store=store)
    assert only_child(store, result.run_id).status == "FINISHED"


_OUTER = """
import nbmlops as nm, os, signal, threading, time
from pathlib import Path

def interrupt_when_it_runs():
    while not Path("started").exists():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

if wait_s:
    threading.Thread(target=interrupt_when_it_runs).start()
nm.run_notebook("inner.ipynb", params={"wait_s": wait_s})
"""
_INNER = """
import time
from pathlib import Path
if wait_s:
    Path("started").touch()
time.sleep(wait_s)
"""


def test_a_notebook_can_run_a_notebook_and_is_its_parent(store, write, with_package):
    write(_INNER, name="inner.ipynb", parameters="wait_s = 0")
    path = write(_OUTER, name="outer.ipynb", parameters="wait_s = 0")
    result = run_notebook(path, store=store)
    child = only_child(store, result.run_id)
    assert (child.name, child.source) == ("inner", "inner.ipynb")
    with pytest.raises(NotebookError, match="KeyboardInterrupt"):
        run_notebook(path, params={"wait_s": 600}, store=store)
    inner, outer = all_runs(store)[:2]
    assert (outer.name, outer.status) == ("outer", "FAILED")
    assert (inner.name, inner.status) == ("inner", "KILLED")


@pytest.fixture
def with_package(monkeypatch):
    """Let kernels import the package from this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.mark.parametrize(
    ("name", "options", "error", "said"),
    [
        ("train.ipynb", {"params": {"alhpa": 1}}, UsageError, "Did you mean 'alpha'"),
        ("train.ipynb", {"params": {"alpha": "x"}}, UsageError, "not float"),
        ("train.ipynb", {"params": {"a=1;b": 1}}, UsageError, "No parameter"),
        ("train.ipynb", {"output": "train.ipynb"}, UsageError, "itself"),
        ("train.ipynb", {"output": "/proc/x/a.ipynb"}, UsageError, "Cannot write"),
        ("train.ipynb", {"params": ["alpha"]}, UsageError, "not a mapping of names"),
        ("train.ipynb", {"timeout_s": 0}, UsageError, "limit"),
        ("train.ipynb", {"timeout_s": "10"}, UsageError, "'10' seconds"),
        ("train.ipynb", {"timeout_s": float("nan")}, UsageError, "limit"),
        ("train.ipynb", {"cell_timeout_s": -1}, UsageError, "limit"),
        ("train.ipynb", {"kernel_name": "pyhton3"}, NotFoundError, "'python3'"),
        ("trian.ipynb", {}, NotFoundError, "Did you mean 'train.ipynb'"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_starts(
    store, write, name, options, error, said
):
    path = write(parameters="alpha = 0.1")
    with pytest.raises(error, match=re.escape(said)):
        run_notebook(path.with_name(name), store=store, **options)
    assert all_runs(store) == []


def test_a_raising_cell_fails_the_step_and_is_named(store, write, executed, project):
    path = write(OPEN_RUN, "1 / 0", "never = 1", parameters="a = 1")
    with pytest.raises(NotebookError) as caught:
        run_notebook(path, params={"a": 2}, output="out.ipynb", store=store)
    error = caught.value
    assert error.cell_index == 3
    assert nbformat.read(path, 4).cells[3].source == error.source == "1 / 0"
    assert error.traceback.endswith("ZeroDivisionError: division by zero")
    assert "\x1b" not in error.traceback
    assert (
        error.problem
        == "In cell 3 of train.ipynb: ZeroDivisionError: division by zero."
    )
    assert str(project / "out.ipynb") in error.fix
    notebook = nbformat.read(project / "out.ipynb", 4)
    assert states(notebook) == [
        ("completed", 1),
        ("completed", 2),
        ("completed", 3),
        ("failed", 4),
        ("pending", None),
    ]
    assert notebook.metadata.papermill.exception is True
    run = queries.get_run(store, error.run_id)
    assert run.status == "FAILED"
    assert "ZeroDivisionError" in run.tags["nbmlops.ended_because"]
    child = only_child(store, error.run_id)
    assert (child.name, child.status) == ("left open", "FAILED")
    assert states(executed(error.run_id)) == states(notebook)


@pytest.mark.parametrize("call", ["sys.exit(0)", "sys.exit(3)", "exit()"])
def test_leaving_the_notebook_early_fails_the_step(store, write, executed, call):
    path = write(f"import sys\n{call}", "never = 1")
    with pytest.raises(NotebookError, match=r"In cell 1 of train\.ipynb .* left by"):
        run_notebook(path, store=store)
    (run,) = all_runs(store)
    assert run.status == "FAILED"
    assert states(executed(run.run_id)) == [("failed", 1), ("pending", None)]


@pytest.mark.parametrize(
    "death",
    [
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
        "import ctypes; ctypes.string_at(0)",
    ],
)
def test_a_dead_kernel_kills_the_step_and_what_it_left_open(
    store, write, executed, project, death
):
    helper = (
        "import os, subprocess\nfrom pathlib import Path\n"
        "Path('pid').write_text(str(subprocess.Popen(['sleep', '600']).pid))\n"
    )
    path = write(OPEN_RUN, helper + death, "never = 1")
    with pytest.raises(NotebookError, match=r"kernel of train\.ipynb died in cell 2"):
        run_notebook(path, store=store)
    _wait_until(lambda: not _is_running(int((project / "pid").read_text())))
    child, run = all_runs(store)
    assert (run.status, child.status) == ("KILLED", "KILLED")
    assert "died" in child.tags["nbmlops.ended_because"]
    (first, _), (second, _), third = states(executed(run.run_id))
    assert (first, second, third) == ("completed", "failed", ("pending", None))


def test_the_time_limit_is_for_the_whole_notebook_and_tells_where_it_hung(
    store, write, executed
):
    path = write(OPEN_RUN, *["import time\ntime.sleep(1)"] * 60)
    started = time.monotonic()
    with pytest.raises(NotebookError, match="did not end within 12 seconds") as caught:
        run_notebook(path, timeout_s=12, store=store)
    assert time.monotonic() - started < 50
    assert "time.sleep(1)" in caught.value.traceback
    assert queries.get_run(store, caught.value.run_id).status == "FAILED"
    assert only_child(store, caught.value.run_id).status == "FAILED"
    found = [state for state, _ in states(executed(caught.value.run_id))]
    assert found.count("failed") == 1
    assert found == sorted(found, key=["completed", "failed", "pending"].index)
    assert found[-1] == "pending"


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("timeout_s", [None, 300])
def test_a_cell_has_a_time_limit_of_its_own(store, write, executed, cold, timeout_s):
    nap = "import time\ntime.sleep(0.7)"
    path = write(nap, nap, nap, "time.sleep(60)", nap)
    limits = {"timeout_s": timeout_s, "cell_timeout_s": 2}
    problem = r"Cell 4 of .* did not end within 2 seconds\."
    with pytest.raises(NotebookError, match=problem) as caught:
        run_notebook(path, **limits, cold=cold, store=store)
    assert caught.value.how == "timed out"
    found = [state for state, _ in states(executed(caught.value.run_id))]
    assert found[-2:] == ["failed", "pending"]


def test_a_cell_that_will_not_be_interrupted_ends_with_all_its_processes(
    store, write, project
):
    path = write(
        "import subprocess, time\n"
        "from pathlib import Path\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "Path('pid').write_text(str(child.pid))\n"
        "while True:\n"
        "    try:\n"
        "        time.sleep(600)\n"
        "    except KeyboardInterrupt:\n"
        "        pass"
    )
    with pytest.raises(NotebookError, match="it was in cell 1"):
        run_notebook(path, timeout_s=8, store=store)
    assert not _is_running(int((project / "pid").read_text()))


def _is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until(holds, limit_s=60):
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_runner_ends_its_run_and_its_kernel(
    store, write, executed, project, number
):
    runner, kernel = _run_outside(write, project)
    runner.send_signal(number)
    _, reported = runner.communicate(timeout=60)
    assert not _is_running(kernel)
    assert runner.returncode == -number
    assert "KeyboardInterrupt" in reported or number != signal.SIGINT
    child, run = all_runs(store)
    assert (run.status, child.status) == ("KILLED", "KILLED")
    assert states(executed(run.run_id)) == [
        ("completed", 1),
        ("failed", 2),
        ("pending", None),
    ]


def test_the_kernel_of_a_killed_runner_goes_away(write, project):
    runner, kernel = _run_outside(write, project)
    runner.kill()
    runner.communicate()
    _wait_until(lambda: not _is_running(kernel))


def _run_outside(write, project):
    write(
        OPEN_RUN,
        "import os, time\nfrom pathlib import Path\n"
        "Path('pid.tmp').write_text(str(os.getpid()))\n"
        "Path('pid.tmp').rename('pid')\n"
        "time.sleep(600)",
        "never = 1",
    )
    root = str(Path(__file__).parents[2])
    runner = subprocess.Popen(
        [sys.executable, "-c", "import nbmlops as nm; nm.run_notebook('train.ipynb')"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": root},
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_until((project / "pid").exists)
    return runner, int((project / "pid").read_text())


def test_two_notebooks_run_at_once_each_in_its_own_folder(store, write, executed):
    source = "import os; os.getcwd()"
    paths = [write(source, name=f"{name}/train.ipynb") for name in ("a", "b")]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda path: run_notebook(path, store=store), paths))
    for path, result in zip(paths, results, strict=True):
        (output,) = executed(result.run_id).cells[-1].outputs
        assert output.data["text/plain"] == repr(str(path.parent))


def test_cells_that_may_raise_or_are_to_be_skipped_do_as_their_tags_say(
    store, write, executed
):
    path = write("1 / 0", tags=["raises-exception"])
    notebook = nbformat.read(path, 4)
    skipped = nbformat.v4.new_code_cell("1 / 0", metadata={"tags": ["skip-execution"]})
    notebook.cells += [skipped, nbformat.v4.new_code_cell("last = 1")]
    nbformat.write(notebook, path)
    result = run_notebook(path, store=store)
    assert states(executed(result.run_id)) == [
        ("completed", 1),
        ("pending", None),
        ("completed", 2),
    ]


def test_a_kernel_that_does_not_start_says_why(store, write, project, monkeypatch):
    spec = project / "jupyter/kernels/broken/kernel.json"
    spec.parent.mkdir(parents=True)
    words = "import sys; sys.exit('no module named ipykernel')"
    spec.write_text(
        json.dumps({"argv": [sys.executable, "-c", words], "display_name": "Broken"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(project / "jupyter"))
    path = write("a = 1")
    with pytest.raises(NotebookError, match="did not start") as caught:
        run_notebook(path, kernel_name="broken", store=store)
    assert "no module named ipykernel" in caught.value.traceback
    assert caught.value.cell_index is None
    assert queries.get_run(store, caught.value.run_id).status == "FAILED"


def test_an_output_that_can_no_longer_be_written_fails_the_step_and_loses_nothing(
    store, write, executed
):
    path = write("import shutil; shutil.rmtree('out')")
    with pytest.raises(UsageError, match="Cannot write") as caught:
        run_notebook(path, output="out/train.ipynb", store=store)
    (run,) = all_runs(store)
    assert run.status == "FAILED"
    assert f"kept in nbmlops/notebook.ipynb of run {run.run_id}" in caught.value.fix
    assert states(executed(run.run_id)) == [("completed", 1)]


def test_files_that_the_store_does_not_take_are_kept_and_sent_later(
    store, write, executed, project
):
    path = write(
        "import shutil, time\nfrom pathlib import Path\n"
        "while not [*Path('.nbmlops/artifacts').rglob('environment.txt')]:\n"
        "    time.sleep(0.01)\n"
        "shutil.rmtree('.nbmlops/artifacts')\n"
        "Path('.nbmlops/artifacts').touch()"
    )
    result = run_notebook(path, store=store)
    assert "kept in .nbmlops/journal/" in result.notes[0]
    (project / ".nbmlops" / "artifacts").unlink()
    sent = nm.sync(store)
    assert sent.is_complete, sent
    (run,) = all_runs(store)
    assert run.status == "FINISHED"
    assert states(executed(run.run_id)) == [("completed", 1)]


def test_importing_the_step_loads_nothing_heavy():
    heavy = ("mlflow", "nbclient", "nbconvert", "nbformat", "pandas", "papermill")
    code = (
        "import sys, nbmlops.execution.run\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "[]\n"


def test_a_notebook_of_an_old_format_runs(store, project):
    cell = {
        "cell_type": "code",
        "input": ["print(3)"],
        "outputs": [],
        "language": "python",
        "collapsed": False,
        "metadata": {},
        "prompt_number": 1,
    }
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "x"},
        "worksheets": [{"metadata": {}, "cells": [cell]}],
    }
    path = project / "old.ipynb"
    path.write_text(json.dumps(old))
    out = project / "out.ipynb"
    run_notebook(path, output=out, store=store)
    assert nbformat.read(out, 4).cells[0].outputs[0].text == "3\n"


def test_a_kernel_whose_port_another_process_took_is_started_again(
    store, write, monkeypatch
):
    find, taken = LocalPortCache.find_available_port, []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def find_taken(self, ip):
            taken.append(None)
            return other.getsockname()[1] if len(taken) == 1 else find(self, ip)

        monkeypatch.setattr(LocalPortCache, "find_available_port", find_taken)
        result = run_notebook(write("1 + 1"), store=store, cold=True)
    assert result.status == "FINISHED"
    assert len(taken) > 5
