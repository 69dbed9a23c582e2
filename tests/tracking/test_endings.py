"""Every way a tracked run can end that lets its process run its exit."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from nbmlops.config import load_settings
from nbmlops.errors import NotebookError
from nbmlops.execution.run import run_notebook
from nbmlops.store import connect
from nbmlops.store.runs.queries import list_runs
from tests.kernels import kernel
from tests.notebooks import write_notebook
from tests.tiers import some

# What the code under the run does, and the status that it has earned.
ENDINGS = {
    "comes to its end": ("x = 1", "FINISHED"),
    "catches its own exception": (
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass",
        "FINISHED",
    ),
    "raises": ("1 / 0", "FAILED"),
    "raises in a function": ("def f():\n    raise KeyError('k')\nf()", "FAILED"),
    "raises what is no Exception": (
        "class Odd(BaseException):\n    pass\nraise Odd()",
        "FAILED",
    ),
    "sys.exit(0)": ("import sys\nsys.exit(0)", "FAILED"),
    "sys.exit(1)": ("import sys\nsys.exit(1)", "FAILED"),
    "sys.exit with words": ("import sys\nsys.exit('no data')", "FAILED"),
    "a failed assertion": ("assert 1 == 2", "FAILED"),
    "an interrupt": (
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)",
        "KILLED",
    ),
    "a cancelled task": ("import asyncio\nraise asyncio.CancelledError()", "KILLED"),
}

LEFT_OPEN = {
    "left open, all well": ("x = 1", "FINISHED"),
    "left open after an exception": ("1 / 0", "FAILED"),
    "left open after an interrupt": ("raise KeyboardInterrupt", "KILLED"),
}


def _statuses(project):
    store = connect(load_settings(project))
    return {run.name: run.status for run in list_runs(store)}


def _script(project, source):
    path = project / "script.py"
    path.write_text("import nbmlops as nm\n" + source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(path)], cwd=project, capture_output=True, check=False
    )


@pytest.mark.kernel
@pytest.mark.parametrize("ending", some(ENDINGS))
def test_script_ends_with_the_status_it_earned(project, ending):
    code, status = ENDINGS[ending]
    body = textwrap.indent(code, "    ")
    done = _script(project, f"with nm.track('it'):\n{body}\n")
    assert _statuses(project) == {"it": status}
    assert (done.returncode == 0) == (status == "FINISHED" or ending == "sys.exit(0)")


@pytest.mark.kernel
@pytest.mark.parametrize("ending", LEFT_OPEN)
def test_script_that_leaves_its_run_open(project, ending):
    code, status = LEFT_OPEN[ending]
    _script(project, f"run = nm.track('it').__enter__()\n{code}\n")
    assert _statuses(project) == {"it": status}


@pytest.mark.kernel
def test_cells_end_with_the_status_they_earned(project):
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        replies = {
            name: k.run(f"%%track {i}\n{code}")
            for i, (name, (code, _)) in enumerate(ENDINGS.items())
        }
        k.run("%%track 99\n1 +")
    expected = {str(i): s for i, (_, s) in enumerate(ENDINGS.values())}
    assert _statuses(project) == expected | {"99": "FAILED"}
    for name, reply in replies.items():
        assert (reply.status == "ok") == (ENDINGS[name][1] == "FINISHED"), name


@pytest.mark.kernel
def test_interrupting_the_kernel_kills_the_run_of_the_cell(project):
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        sent = k.send(
            "%%track it\nprint('now', flush=True)\nimport time\ntime.sleep(60)"
        )
        k.await_text("now")
        k.interrupt()
        assert k.reply_to(sent)["status"] == "error"
    assert _statuses(project) == {"it": "KILLED"}


@pytest.mark.kernel
def test_awaiting_cell_that_is_interrupted_is_killed(project):
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        k.send("%%track it\nimport asyncio\nprint('now')\nawait asyncio.sleep(60)")
        k.await_text("now")
        k.interrupt()
        # ipykernel notices with the next message, and sends no reply for the cell,
        # tracked or not; so the store is watched.
        k.send("1")
        deadline = time.monotonic() + 30
        while _statuses(project)["it"] == "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert _statuses(project) == {"it": "KILLED"}


@pytest.mark.kernel
@pytest.mark.parametrize("ending", some(LEFT_OPEN))
def test_kernel_that_is_shut_down_ends_the_open_run(project, ending):
    code, status = LEFT_OPEN[ending]
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        k.run("%track on it")
        k.run(code)
    assert _statuses(project) == {"it": status}


@pytest.mark.kernel
def test_session_whose_failed_cell_was_mended_is_finished(project):
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        for cell in ("%track on it", "1 / 0", "x = 1", "%track off"):
            k.run(cell)
    assert _statuses(project) == {"it": "FINISHED"}


@pytest.mark.kernel
@pytest.mark.parametrize("ending", some(ENDINGS))
def test_step_and_its_cell_end_with_the_status_they_earned(project, ending):
    code, status = ENDINGS[ending]
    cells = ["%load_ext nbmlops", f"%%track cell\n{code}", "after = 1"]
    notebook = write_notebook(project / "step.ipynb", cells)
    step_status = status
    if status == "FINISHED":
        run_notebook(notebook)
    else:
        with pytest.raises(NotebookError) as caught:
            run_notebook(notebook)
        assert caught.value.cell_index == 1
        # The step itself failed because a cell did; only the cell was interrupted.
        step_status = "FAILED"
    assert _statuses(project) == {"step": step_status, "cell": status}


@pytest.mark.kernel
@pytest.mark.parametrize("ending", LEFT_OPEN)
def test_step_that_leaves_a_run_open(project, ending):
    code, status = LEFT_OPEN[ending]
    notebook = write_notebook(
        project / "step.ipynb", ["%load_ext nbmlops", "%track on it", code]
    )
    if status == "FINISHED":
        run_notebook(notebook)
    else:
        with pytest.raises(NotebookError):
            run_notebook(notebook)
    assert _statuses(project)["it"] == status


@pytest.mark.kernel
def test_script_stopped_from_outside_is_killed(project):
    path = project / "script.py"
    path.write_text(
        "import nbmlops as nm, time\n"
        "with nm.track('it'):\n    print('now', flush=True)\n    time.sleep(60)\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [sys.executable, str(path)], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "now\n"
    os.kill(process.pid, signal.SIGINT)
    process.wait(30)
    assert _statuses(project) == {"it": "KILLED"}
