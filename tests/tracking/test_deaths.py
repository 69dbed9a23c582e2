"""Every way a process can die without its exit, and what the reaper makes of it."""

import json
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.store.runs.queries import list_runs
from tests.faults.kills import nbmlops
from tests.kernels import kernel
from tests.notebooks import write_notebook

# What kills the process under the run; memory that runs out first is an exception.
DEATHS = {
    "kill-9": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "sigterm": "import os, signal, time\n"
    "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(20)",
    "sighup": "import os, signal, time\n"
    "os.kill(os.getpid(), signal.SIGHUP)\ntime.sleep(20)",
    "exit": "import os\nos._exit(0)",
    "abort": "import os\nos.abort()",
    "segfault": "import ctypes\nctypes.string_at(0)",
}
WAYS = pytest.mark.parametrize(
    "ways",
    [("kill-9", "exit"), pytest.param(tuple(DEATHS), marks=pytest.mark.slow)],
    ids=["two", "all"],
)
# Python says MemoryError, and the run can still tell; the kernel's killer does not ask.
OUT_OF_MEMORY = """import resource
def all_memory():
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 28), now + (1 << 28)))
    kept = []
    while True:
        kept.append(bytearray(1 << 26))
all_memory()
"""


def _runs(project):
    store = connect(load_settings(project))
    return {run.name: run for run in list_runs(store)}


def _reap(project):
    done = nbmlops(project, "doctor", "--fix", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _check_killed(project, runs):
    client = connect(load_settings(project)).client
    for name, run in runs.items():
        assert run.status == "KILLED", name
        stored = client.get_run(run.run_id)
        assert stored.data.metrics == {"loss": 0.5}, name
        assert stored.data.tags["nbmlops.ended_because"], name
        assert stored.info.end_time >= stored.info.start_time, name


def _popen(project, source, name="script", **pipes):
    path = project / f"{name}.py"
    path.write_text("import nbmlops as nm\n" + source, encoding="utf-8")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | pipes
    return subprocess.Popen(
        [sys.executable, str(path)], cwd=project, text=True, **pipes
    )


def _tracked_block(name, code):
    body = textwrap.indent(code, "    ")
    return f"with nm.track({name!r}) as run:\n    run.log(loss=0.5, step=3)\n{body}\n"


@pytest.mark.kernel
def test_scripts_that_die_are_marked_killed(project):
    # One script that has imported all, and a fork of it for each death.
    blocks = {name: _tracked_block(name, code) for name, code in DEATHS.items()}
    process = _popen(
        project,
        "import os\nfrom nbmlops.store import connect\nconnect().load()\n"
        f"for name, block in {blocks!r}.items():\n"
        "    if os.fork() == 0:\n        exec(block)\n"
        "    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)\n",
    )
    assert process.communicate(timeout=120)[0].split() == [
        "-9",
        "-15",
        "-1",
        "0",
        "-6",
        "-11",
    ]
    assert {run.status for run in _runs(project).values()} == {"RUNNING"}
    _reap(project)
    runs = _runs(project)
    assert set(runs) == set(DEATHS)
    _check_killed(project, runs)


@pytest.mark.kernel
@WAYS
def test_cells_whose_kernel_dies_are_marked_killed(project, ways):
    connect(load_settings(project))
    with ExitStack() as stack:
        kernels = [stack.enter_context(kernel(project)) for _ in ways]
        for k, name in zip(kernels, ways, strict=True):
            k.send("%load_ext nbmlops")
            k.send(f"%%track {name}\n%track log loss=0.5 --step 3\n{DEATHS[name]}")
        for k in kernels:
            k.manager.provisioner.process.wait(120)
        _reap(project)
    runs = _runs(project)
    assert set(runs) == set(ways)
    _check_killed(project, runs)


@pytest.mark.kernel
@WAYS
def test_steps_whose_kernel_dies_are_killed_and_so_are_their_cells(project, ways):
    connect(load_settings(project))
    for name in ways:
        cell = f"%%track {name}\n%track log loss=0.5 --step 3\n{DEATHS[name]}"
        cells = ["%load_ext nbmlops", cell, "after = 1"]
        write_notebook(project / f"step-{name}.ipynb", cells)
    with ThreadPoolExecutor(3) as pool:
        steps = [f"step-{name}" for name in ways]
        done = list(pool.map(lambda s: nbmlops(project, "run", f"{s}.ipynb"), steps))
    assert [each.returncode for each in done] == [1] * len(ways)
    _reap(project)
    runs = _runs(project)
    assert {runs.pop(step).status for step in steps} == {"KILLED"}
    assert set(runs) == set(ways)
    _check_killed(project, runs)


@pytest.mark.kernel
def test_script_whose_memory_runs_out_has_failed(project):
    process = _popen(project, _tracked_block("it", OUT_OF_MEMORY))
    assert "MemoryError" in process.communicate(timeout=120)[1]
    assert _runs(project)["it"].status == "FAILED"


@pytest.mark.kernel
def test_reaper_leaves_alone_who_lives_or_is_stopped(project):
    code = "run.flush()\nprint('now', flush=True)\nimport sys\nsys.stdin.read()"
    with _popen(project, _tracked_block("it", code), stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "now\n"
        for number in (signal.SIGSTOP, signal.SIGCONT):
            process.send_signal(number)
            _reap(project)
            assert _runs(project)["it"].status == "RUNNING"
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert _runs(project)["it"].status == "FINISHED"
