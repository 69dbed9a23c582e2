"""A pipeline whose runs are sent by a forked process."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import nbmlops as nm
from nbmlops.engines.local import OF_RUN
from nbmlops.errors import UsageError
from nbmlops.pipeline.runner import journal_sender
from nbmlops.pipeline.runner.journal_sender import JournalSender
from nbmlops.store import artifacts
from nbmlops.store.runs import queries
from nbmlops.tracking.journal.reader import list_journals
from nbmlops.tracking.run.deferred import DeferredRun
from tests.pipeline.pipelines import (
    ROOT,
    ledger,
    states,
    wait_for_senders,
    write_chain,
)

pytestmark = pytest.mark.kernel

LIGHT = """
import sys
from nbmlops.cli.main import invoke
code = invoke(["pipeline", "run", "pipeline.yaml", *sys.argv[1:]])
assert not {"mlflow", "sqlalchemy"} & sys.modules.keys()
sys.exit(code)
"""


@pytest.fixture
def light(monkeypatch):
    """Have the runner believe that it has not loaded MLflow."""
    monkeypatch.setattr(journal_sender, "sys", SimpleNamespace(modules={}))


def a_run(store):
    return DeferredRun(
        store, name="a", experiment="e", kind="pipeline", source="p.yaml"
    )


def test_the_runner_loads_no_mlflow_and_all_is_in_the_store_when_it_ends(
    store, project
):
    write_chain(project)
    for words, cached in ([], 0), (["--force", "train"], 1):
        done = subprocess.run(
            [sys.executable, "-c", LIGHT, *words],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found = queries.list_runs(store, filter="tags.nbmlops.kind = 'pipeline'")
        newest = next(iter(found))
        assert newest.run_id[:8] in done.stdout
        assert newest.status == "FINISHED"
        below = queries.list_runs(
            store, filter=f"tags.mlflow.parentRunId = '{newest.run_id}'"
        )
        assert sorted((run.name, run.status) for run in below) == [
            ("prepare", "FINISHED"),
            ("train", "FINISHED"),
        ]
        caches = [run.tags["nbmlops.cache"].partition(":")[0] for run in below]
        assert (caches.count("hit"), caches.count("miss")) == (cached, 2 - cached)
        report = artifacts.read_file(store, newest.run_id, "nbmlops/pipeline.json")
        assert b'"prepare"' in report
        assert not list_journals(store.settings.home)


def test_what_a_run_is_given_goes_in_pieces_and_ends_its_journal(store, light):
    run = a_run(store)
    sending = JournalSender(store, lambda: {OF_RUN: run.key})
    try:
        assert run.run_id == run.key
        assert sending.send(run)
        assert queries.get_run(store, run.run_id).status == "RUNNING"
        run.log_metrics({"auc": 0.5})
        assert sending.send(run)
        assert queries.get_run(store, run.run_id).metrics == {"auc": 0.5}
        run.end("FAILED", because="so")
        assert sending.send(run)
    finally:
        sending.close()
    found = queries.get_run(store, run.run_id)
    assert (found.status, found.tags["nbmlops.ended_because"]) == ("FAILED", "so")
    assert not list_journals(store.settings.home)


def test_when_the_sending_process_is_killed_the_runner_goes_on_itself(
    store, project, light, monkeypatch
):
    sent = []

    def send(self, run, really=JournalSender.send):
        if sent:
            self._process.kill()
            assert self._process.wait(30)
        sent.append(really(self, run))
        return sent[-1]

    monkeypatch.setattr(JournalSender, "send", send)
    report = nm.Pipeline.load(write_chain(project), store=store).run().report
    assert states(report) == {"prepare": "done", "train": "done"}
    (run,) = queries.list_runs(store, filter="tags.nbmlops.kind = 'pipeline'")
    assert (run.run_id, run.status) == (report.run_id, "FINISHED")
    assert ledger(project) == ["prepare", "train"]
    assert sent == [True, False]


def test_a_store_that_refuses_is_reported_as_if_the_runner_had_asked_it(
    store, project, light
):
    path = write_chain(project)
    made = store.client.create_experiment("chain")
    store.client.delete_experiment(made)
    with pytest.raises(UsageError) as caught:
        nm.Pipeline.load(path, store=store).run()
    wait_for_senders()
    assert "chain" in str(caught.value)
    assert ledger(project) == []


def test_a_store_that_keeps_silent_is_given_up(store, light, monkeypatch):
    monkeypatch.setattr(journal_sender, "_PATIENCE_WITH_TABLES_S", 0.0)
    run = a_run(store)
    sending = JournalSender(store, dict)
    assert not sending.send(run)
    assert sending._process is None
    assert not sending.send(run)
    assert run.send() is None
    run.end("FINISHED")
    assert queries.get_run(store, run.run_id).status == "FINISHED"
