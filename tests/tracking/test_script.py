"""A plain script: its body runs before MLflow is loaded, and its run is whole."""

import os
import subprocess
import sys
from contextlib import closing
from sqlite3 import connect as open_database

import pytest

from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.store.runs.queries import list_runs
from nbmlops.tracking.journal.reader import list_journals
from nbmlops.tracking.sync.recovery import reap

_HEAD = """
import sys
import nbmlops as nm
from nbmlops.tracking.sync import sender
sender._FLUSH_TIMEOUT_S = sender._UPLOAD_TIMEOUT_S = 60.0
with nm.track("it", experiment="e", params={"C": 1}) as run:
    heavy = {"mlflow", "pandas", "sqlalchemy"} & sys.modules.keys()
    assert not heavy, heavy
    run.log(loss=0.5)
"""
_ALONE = (
    _HEAD + "    assert 'mlflow' not in sys.modules\nprint(run.run_id, run.attempt)\n"
)
_WITH_MLFLOW = _HEAD + (
    "    import mlflow\n"
    "    mlflow.log_metric('theirs', 3)\n"
    "    assert mlflow.active_run().info.run_id == run.run_id\n"
    "assert mlflow.active_run() is None\n"
    "print(run.run_id, run.attempt)\n"
)
_WITHOUT_SENDER = _HEAD + (
    "    import os, signal\n"
    "    os.killpg(sender.sender().process.group, signal.SIGKILL)\n"
    "print(run.run_id, run.attempt)\n"
)


def _run(project, code, **environ):
    script = project / "script.py"
    script.write_text(code)
    with (project / "output").open("w+") as output:  # which a child may hold open
        subprocess.run(
            [sys.executable, script],
            cwd=project,
            env=os.environ | environ,
            stdout=output,
            timeout=300,
            check=True,
        )
        output.seek(0)
        return output.read()


@pytest.mark.kernel
@pytest.mark.parametrize("code", [_ALONE, _WITH_MLFLOW, _WITHOUT_SENDER])
def test_body_runs_before_mlflow_is_loaded_and_the_run_is_whole(project, code):
    run_id, _ = _run(project, code).split()
    (run,) = list_runs(connect(load_settings(project)))
    assert (run.run_id, run.status, run.experiment) == (run_id, "FINISHED", "e")
    assert (run.params["C"], run.metrics["loss"]) == ("1", 0.5)
    assert "nbmlops.environment_hash" in run.tags
    assert run.metrics.get("theirs") == (3.0 if code == _WITH_MLFLOW else None)
    if code == _ALONE:  # what its sender takes is not the run's
        assert int(run.tags["nbmlops.cost.peak_rss_bytes"]) < 150_000_000
    assert not list_journals(project / ".nbmlops")


_KILLED = _HEAD + (
    "    for step in range(1000):\n"
    "        run.log(step=step, x=step)\n"
    "    import os\n"
    "    if os.fork() == 0:\n"  # which does not keep the sender from ending
    "        os.execv('/bin/sleep', ['sleep', '60'])\n"
    "    os.kill(os.getpid(), 9)\n"
)


@pytest.mark.kernel
def test_all_that_a_killed_script_has_logged_is_in_the_store(store, project):
    with pytest.raises(subprocess.CalledProcessError):
        _run(project, _KILLED)
    reap(store)
    (run,) = list_runs(store)
    assert (run.status, run.metrics["x"]) == ("KILLED", 999)
    assert len(store.client.get_metric_history(run.run_id, "x")) == 1000
    assert not list_journals(store.settings.home)


@pytest.mark.server
@pytest.mark.parametrize("fixture", ["mlflow_server", "postgres_uri"])
def test_body_runs_before_mlflow_is_loaded_for_a_server_too(project, request, fixture):
    server = request.getfixturevalue(fixture)
    uri = getattr(server, "url", server)
    (run_id, attempt), (_, again) = (
        _run(project, _ALONE, MLFLOW_TRACKING_URI=uri).split() for _ in range(2)
    )
    assert len(run_id) == 32
    assert int(again) == int(attempt) + 1


@pytest.mark.kernel
def test_refused_experiment_is_an_error_at_the_end_of_the_block(store, project):
    store.client.delete_experiment(store.client.create_experiment("e"))
    code = "try:\n" + "".join(f"    {line}\n" for line in _HEAD.splitlines())
    code += "except ValueError as error:\n    print(error)\n"
    assert "Experiment 'e' was deleted." in _run(project, code)


@pytest.mark.kernel
def test_store_that_is_locked_gets_the_run_from_the_sender_later(store, project):
    path = store.settings.home / "mlflow.db"
    with closing(open_database(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        patient = _ALONE.replace("60.0", "0.1")
        key, _ = _run(project, patient).split()
        assert key.startswith("k")
        assert list_journals(store.settings.home)
        other.execute("ROLLBACK")


_DEFERRED = """
import sys
from nbmlops.store import connect
from nbmlops.tracking.run.deferred import DeferredRun
from nbmlops.tracking.sync import sender
sender._FLUSH_TIMEOUT_S = sender._UPLOAD_TIMEOUT_S = 60.0
run = DeferredRun(connect(), name="it", experiment="e", kind="pipeline", source="p")
assert run.send() is None
assert run.run_id != run.key
assert run.end("FINISHED") is None
assert "mlflow" not in sys.modules
"""


@pytest.mark.kernel
def test_deferred_run_is_sent_without_loading_mlflow(project):
    _run(project, _DEFERRED)
    (run,) = list_runs(connect(load_settings(project)))
    assert (run.name, run.status) == ("it", "FINISHED")
