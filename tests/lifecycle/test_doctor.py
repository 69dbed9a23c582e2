"""What doctor and sync say of a project, and what they fix."""

import json
import subprocess
import sys

import pytest

import nbmlops as nm
from nbmlops.store.runs.queries import list_runs
from nbmlops.tracking.journal.reader import list_journals

_DIES = """
import os, signal
import nbmlops as nm
with nm.track("it") as run:
    run.log(step=4, loss=1.0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _command(*words, **given):
    return subprocess.run(
        [sys.executable, "-m", "nbmlops.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        **given,
    )


@pytest.mark.kernel
def test_dead_run_is_found_named_and_ended(project, store):
    subprocess.run([sys.executable, "-c", _DIES], check=False)
    found = _command("doctor")
    assert found.returncode == 1
    assert "Run 'it' lost its process" in found.stdout
    assert "nbmlops doctor --fix" in found.stdout
    fixed = _command("doctor", "--fix", "--json")
    assert fixed.returncode == 0
    assert "its last step was 4" in json.loads(fixed.stdout)["fixed"][0]
    (run,) = list_runs(store)
    assert (run.status, run.metrics) == ("KILLED", {"loss": 1.0})
    assert _command("doctor").stdout.endswith("All is well.\n")


@pytest.mark.kernel
def test_what_a_dead_server_did_not_take_is_reported_and_kept(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:geheim@127.0.0.1:9")
    with nm.track("it") as run:
        run.log(loss=1.0)
    assert "127.0.0.1:9 does not answer" in run.notes[0]
    for words in (["sync"], ["doctor", "--fix"]):
        done = _command(*words)
        assert done.returncode == 1
        assert "127.0.0.1:9 does not answer" in done.stdout
        assert "geheim" not in done.stdout + done.stderr
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    other = json.loads(_command("sync", "--json").stdout)
    assert other[0]["state"] == "kept"
    assert "meant for another store" in other[0]["reason"]
    assert len(list_journals(project / ".nbmlops")) == 1
    kept = b"".join(p.read_bytes() for p in project.rglob("*") if p.is_file())
    assert b"geheim" not in kept


def test_doctor_says_where_each_setting_is_from(project, monkeypatch):
    (project / "pyproject.toml").write_text("[tool.nbmlops]\ndeploy_timeout_s = 5\n")
    monkeypatch.setenv("NBMLOPS_EXPERIMENT", "churn")
    rows = {name: rest for name, *rest in nm.doctor().settings}
    assert rows["deploy_timeout_s"] == ["5.0", "pyproject.toml"]
    assert rows["experiment"] == ["churn", "NBMLOPS_EXPERIMENT"]
    assert rows["max_request_bytes"][1] == "default"
    assert rows["project"][0] == str(project)


def test_nothing_to_send_is_said(store):
    assert repr(nm.sync(store)) == "Everything is in the store."
    assert nm.sync(store).is_complete
