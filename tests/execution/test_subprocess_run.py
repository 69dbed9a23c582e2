"""``nbmlops run``: a notebook run by a process that has loaded all it takes."""

import os
import signal
import subprocess
import sys

import pytest

from nbmlops.forkserver.runtime_dir import ForkUnavailable
from nbmlops.store.runs import queries
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import (
    ROOT,
    command,
    finish,
    ledger,
    wait_until,
    write_chain,
)

pytestmark = pytest.mark.kernel


def write_sleeper(project):
    note = "print('began', file=open('ledger.txt', 'a'))"
    return write_notebook(
        project / "a.ipynb", [f"{note}\nimport time; time.sleep(120)"]
    )


def begin(project):
    write_sleeper(project)
    process = command(project, "run", "a.ipynb")
    wait_until(lambda: ledger(project) == ["began"])
    return process


def the_run(store):
    (run,) = queries.list_runs(store)
    return run


LIGHT = """
import sys
from nbmlops.cli.main import invoke
code = invoke(["run", "a.ipynb", "out.ipynb"])
heavy = {"mlflow", "nbformat", "sqlalchemy", "pandas"} & sys.modules.keys()
assert not heavy, heavy
sys.exit(code)
"""


def test_the_command_itself_loads_nothing_heavy(store, project):
    write_notebook(project / "a.ipynb", ["x + 1"], parameters="x: int = 1")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", LIGHT]
    done = subprocess.run(words, cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = the_run(store)
    assert run.run_id in done.stdout
    assert (run.status, run.params) == ("FINISHED", {"x": "1"})
    assert (project / "out.ipynb").exists()


MANY = """
import os, resource, sys
from nbmlops.cli.main import invoke
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = [open(os.devnull) for _ in range(1100)]
code = invoke(["run", "prepare.ipynb"]) or invoke(["pipeline", "run", "pipeline.yaml"])
assert "mlflow" not in sys.modules
sys.exit(code)
"""


def test_a_process_with_many_open_files_runs_notebooks_and_pipelines(store, project):
    write_chain(project)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", MANY]
    done = subprocess.run(words, cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ledger(project) == ["prepare", "prepare", "train"]


def test_an_error_is_reported_as_it_was_raised_with_its_traceback_for_debugging(
    store, project
):
    write_notebook(project / "a.ipynb", ["1 / 0"])
    code, _, err = finish(command(project, "run", "a.ipynb"))
    assert code == 1
    assert err.splitlines()[1].startswith("In cell 0 of a.ipynb: ZeroDivisionError")
    assert "Traceback" not in err
    assert the_run(store).status == "FAILED"
    code, _, err = finish(command(project, "--debug", "run", "a.ipynb"))
    assert code == 1
    assert "in run_notebook" in err


def test_ctrl_c_kills_the_run(store, project):
    process = begin(project)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finish(process, limit_s=60)
    assert (code, err.splitlines()[-1]) == (130, "Interrupted.")
    run = the_run(store)
    assert run.status == "KILLED"
    assert "was interrupted in cell 0" in run.tags["nbmlops.ended_because"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_reported_to_go_away_ends_the_run_first(store, project, number):
    process = begin(project)
    os.kill(process.pid, number)
    code, _, _ = finish(process, limit_s=60)
    assert code == -number
    assert the_run(store).status == "KILLED"


def test_the_run_ends_with_the_command_that_is_killed(store, project):
    process = begin(project)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    wait_until(lambda: the_run(store).status == "KILLED")


def test_a_process_beside_that_dies_is_reported(store, project):
    kill = (
        "import os, time\nos.kill(int(os.environ['JPY_PARENT_PID']), 9)\ntime.sleep(60)"
    )
    write_notebook(project / "a.ipynb", [kill])
    code, _, err = finish(command(project, "run", "a.ipynb"), limit_s=60)
    assert code == 1
    assert "The process that ran 'a.ipynb' ended: signal 9" in err
    assert "doctor --fix" in err
    assert the_run(store).status == "RUNNING"
    code, out, _ = finish(command(project, "doctor", "--fix"))
    assert code == 0, out
    assert the_run(store).status == "KILLED"


def test_where_none_can_be_forked_the_command_runs_it_itself(
    store, project, monkeypatch, capsys
):
    from nbmlops.cli.main import invoke
    from nbmlops.engines import local

    def refused(*_):
        raise ForkUnavailable("no")

    monkeypatch.setattr(local, "fork", refused)
    write_notebook(project / "a.ipynb", ["1"])
    assert invoke(["run", "a.ipynb"]) == 0
    assert "FINISHED" in capsys.readouterr().out
    assert the_run(store).status == "FINISHED"
