"""What the store refuses for good is set aside and said; all else is sent."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import nbmlops as nm
from nbmlops.store import datasets
from nbmlops.store.artifacts import read_file
from nbmlops.store.runs import runs
from nbmlops.store.runs.queries import get_run, list_runs
from nbmlops.tracking.journal.reader import list_journals
from nbmlops.tracking.run.deferred import DeferredRun

WIDE = pd.DataFrame(np.zeros((1, 25_000))).add_prefix("a column of the table ")
NARROW = pd.DataFrame({"a": [1]})


def _log_long_name(run):
    run.log_dataset(NARROW, name="x" * 600)


def _log_surrogate(run):  # no database keeps it, and SQLite does not say why
    run._journal.add("p", "C", "\ud800")


def _log_second_value(run):
    run._journal.add("p", "first", "2")


def _log_file_in_the_way(run):
    run.log_bytes(b"a file", "plots")
    run.log_bytes(b"below it", "plots/one.txt")


def _log_outside(run):
    run.log_bytes(b"outside", "../plots/one.txt")


def _log_long_path(run):
    run.log_bytes(b"deep", "y" * 300 + "/one.txt")


REFUSED = {
    "dataset 'xxx": _log_long_name,
    "param 'C'": _log_surrogate,
    "param 'first'": _log_second_value,
    "artifact 'plots/one.txt'": _log_file_in_the_way,
    "artifact '../plots/one.txt'": _log_outside,
    "artifact 'yyy": _log_long_path,
}


def test_wide_dataset_is_recorded_without_its_columns(store):
    with nm.track("it", store=store) as run:
        run.log_dataset(WIDE, name="wide")
    assert run.notes == ()
    (found,) = datasets.list_datasets(store, run.run_id)
    assert (found.name, found.n_rows, found.n_columns) == ("wide", 1, 25_000)


@pytest.mark.parametrize("what", list(REFUSED))
def test_run_ends_with_all_but_what_is_refused(store, what):
    with nm.track("it", store=store, params={"first": 1}) as run:
        run.log_dataset(NARROW, name="good")
        REFUSED[what](run)
        run.log(step=7, loss=0.5)
        run.log_params(later=1)
    (note,) = run.notes
    assert what in note
    assert f"{run.key}.refused" in note
    found = get_run(store, run.run_id)
    assert (found.status, found.metrics) == ("FINISHED", {"loss": 0.5})
    assert found.params == {"first": "1", "later": "1"}
    assert [d.name for d in datasets.list_datasets(store, run.run_id)] == ["good"]
    assert list_journals(store.settings.home) == ()
    assert nm.sync().runs == ()
    (problem,) = nm.doctor().problems
    assert what in problem[0]


def test_store_that_takes_nothing_is_no_refusal(store, monkeypatch):
    def fail(*_, **__):
        raise ValueError("of no use")

    with nm.track("it", store=store) as run:
        with monkeypatch.context() as patch:
            patch.setattr(runs, "send", fail)
            for step in range(3):
                run.log(step=step, loss=0.5)
                assert run.flush() is not None
        assert run.flush() is None
    assert run.notes == ()
    history = store.client.get_metric_history(run.run_id, "loss")
    assert [m.step for m in history] == [0, 1, 2]


def test_attempts_that_many_processes_open_at_once_have_numbers_of_their_own(store):
    left = [
        DeferredRun(store, name="it", experiment="e", kind="step", source="s")
        for _ in range(8)
    ]
    group = left[0].tags["nbmlops.attempt_of"]
    for run in left[1:]:  # as the processes of a sweep do, each counting for itself
        header = run.reader.header()
        header.tags["nbmlops.attempt_of"] = group
    send = sys.modules["nbmlops.tracking.sync.sync"].send_journal
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda run: send(store, run.reader), left))
    numbers = sorted(int(run.tags["nbmlops.attempt"]) for run in list_runs(store))
    assert numbers == [1, 2, 3, 4, 5, 6, 7, 8]


def test_attempt_whose_number_somebody_has_changed_is_counted_on(store):
    for changed in ("x", "7"):
        with nm.track("it", store=store) as run:
            group = run.tags["nbmlops.attempt_of"]
        store.client.set_tag(run.run_id, "nbmlops.attempt", changed)
        store.client.set_tag(run.run_id, "nbmlops.cost.wall_s", "long")
        store.client.set_tag(run.run_id, "nbmlops.attempt_of", "g")
    with nm.track("it", store=store, tags={"x": "y"}) as run:
        pass
    assert get_run(store, run.run_id).status == "FINISHED"
    assert group


def test_files_that_wait_are_sent_when_the_project_was_renamed(
    project, store, monkeypatch
):
    artifacts = store.settings.home / "artifacts"
    artifacts.touch()  # which takes no files
    with nm.track("it", store=store) as run:
        run.log_bytes(b"whole", "note.txt")
    assert run.notes
    artifacts.unlink()
    renamed = project.with_name("another name")
    project.rename(renamed)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it
    settings = nm.config.load_settings(renamed)
    moved = nm.store.connect(settings)
    assert nm.sync(moved).is_complete
    assert read_file(moved, run.run_id, "note.txt") == b"whole"
    assert not list(project.rglob("*"))
    assert not project.exists()
    assert list_journals(settings.home) == ()
