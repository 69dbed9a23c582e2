import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from nbmlops.config import load_settings
from nbmlops.errors import UsageError
from nbmlops.store import connect, embedded

_FIRST_USE = """
import sys
from pathlib import Path
from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.store.runs import runs
sys.stdin.readline()
store = connect(load_settings(Path.cwd()))
runs.create_run(store, name="first", experiment="race")
"""


def test_first_use_makes_the_store_beside_its_artifacts(project):
    store = connect(load_settings(project))
    home = project / ".nbmlops"
    assert (home / ".gitignore").read_text(encoding="utf-8") == "*\n"
    assert not list(home.glob("mlflow.db.*")), "a draft was left"
    with sqlite3.connect(embedded.database(home)) as database:
        mode = database.execute("PRAGMA journal_mode").fetchone()
    assert mode == ("wal",)
    default = store.client.get_experiment("0")
    assert default.artifact_location == (home / "artifacts" / "0").as_uri()


def test_notebooks_in_sub_folders_share_the_store(project, monkeypatch):
    (project / "deep" / "er").mkdir(parents=True)
    first = connect()
    monkeypatch.chdir(project / "deep" / "er")
    assert connect().uri == first.uri


def test_plain_mlflow_experiments_keep_their_artifacts_in_the_store(project, store):
    identity = store.client.create_experiment("plain")
    location = store.client.get_experiment(identity).artifact_location
    assert str(project / ".nbmlops" / "artifacts") in location


@pytest.mark.server
def test_eight_processes_may_make_the_store_at_once(project):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _FIRST_USE],
            cwd=project,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, errors
    store = connect(load_settings(project))
    found = store.client.search_runs(
        [store.client.get_experiment_by_name("race").experiment_id]
    )
    assert len(found) == 8


def test_old_file_store_is_named_with_the_command_that_migrates_it(project):
    experiment = project / "mlruns" / "0"
    experiment.mkdir(parents=True)
    (experiment / "meta.yaml").write_text("name: Default\n", encoding="utf-8")
    with pytest.raises(UsageError, match="mlflow migrate-filestore") as caught:
        connect()
    assert str(project / "mlruns") in caught.value.problem
    assert not embedded.database(project / ".nbmlops").exists()


@pytest.mark.server
def test_command_that_is_named_brings_the_old_runs_over(project):
    old = {
        **os.environ,
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_TRACKING_URI": (project / "mlruns").as_uri(),
    }
    make = (
        "import mlflow\nwith mlflow.start_run(run_name='old'): mlflow.log_param('a', 1)"
    )
    subprocess.run([sys.executable, "-c", make], env=old, cwd=project, check=True)
    with pytest.raises(UsageError) as caught:
        connect()
    command = caught.value.fix.split(": ", 1)[1].split(" (or")[0]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-c", command], check=True, env={**os.environ, "PATH": path}
    )
    store = connect()
    (run,) = store.client.search_runs(["0"])
    assert run.data.params == {"a": "1"}


@pytest.mark.server
def test_read_only_project_is_said_before_anything_is_made(tmp_path):
    script = f"""
    mount -t tmpfs -o ro,size=9m none '{tmp_path}' && cd '{tmp_path}'
    '{sys.executable}' -m nbmlops.cli runs; echo "exit $?"; ls -A
    """
    done = _in_mount_namespace(script)
    assert f"{tmp_path}/.nbmlops cannot be written." in done.stderr, done
    assert "Traceback" not in done.stderr
    assert done.stdout == "exit 1\n"


def _in_mount_namespace(script):
    return subprocess.run(
        ["unshare", "-rm", "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.server
def test_full_disk_is_reported_with_its_free_bytes(tmp_path):
    script = f"""
    mount -t tmpfs -o size=1m none '{tmp_path}' && cd '{tmp_path}' && mkdir .nbmlops
    head -c 600000 /dev/zero > ballast
    '{sys.executable}' -m nbmlops.cli runs; echo "exit $?"; ls -A .nbmlops
    """
    done = _in_mount_namespace(script)
    assert "No space left for" in done.stderr, done
    assert "bytes are free" in done.stderr
    assert "exit 1" in done.stdout
    assert "mlflow.db" not in done.stdout
