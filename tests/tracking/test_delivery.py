"""Journals into a real store: all of it, in order, once."""

import json
import math
import sqlite3
import time
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nbmlops as nm
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store.artifacts import read_file
from nbmlops.store.runs import runs
from nbmlops.store.runs.fields import KEY, PARENT
from nbmlops.store.runs.queries import get_run, list_runs
from nbmlops.tracking.journal.reader import RunHeader, list_journals
from nbmlops.tracking.journal.segment import Segment
from nbmlops.tracking.journal.writer import Journal
from nbmlops.tracking.run.deferred import DeferredRun
from nbmlops.tracking.sync.sync import store_hash
from nbmlops.tracking.sync.uploader import JournalUploader


@pytest.fixture
def journal(store):
    header = RunHeader(
        key="k" + "ab1" * 10 + "c",
        name="it",
        experiment="e",
        tags={"nbmlops.attempt_of": "group"},
        started_at_ms=1_000_000,
        store=store_hash(store),
        kernel="elsewhere:1:1.0",
        boot="",
    )
    return Journal.create(store.settings.home, header)


def _only(store):
    (run,) = list_runs(store)
    return run


def _history(store, run_id, name="loss"):
    return store.client.get_metric_history(run_id, name)


def test_run_is_made_filled_and_ended(store, journal):
    journal.add("p", "C", "1")
    journal.add("m", 2_000_000, "loss", 0.5, 3)
    journal.add("t", "note", "x")
    journal.add("end", "KILLED", 3_000_000)
    assert JournalUploader(store, journal.reader).advance()
    run = _only(store)
    assert (run.status, run.params, run.metrics) == (
        "KILLED",
        {"C": "1"},
        {"loss": 0.5},
    )
    assert run.started_at.timestamp() == 1000
    assert run.ended_at.timestamp() == 3000
    assert not journal.reader.exists()


def test_sending_all_of_it_again_changes_nothing(store, journal):
    for i in range(2500):
        journal.add("m", 2_000_000 + i, "loss", float(i), i)
    journal.add("p", "C", "1")
    for _ in range(3):
        JournalUploader(store, journal.reader).advance()
        for path in journal.reader.segment_paths():
            Segment.read(path).mark(64)  # as if the word of it had been lost
    run = _only(store)
    assert [m.value for m in _history(store, run.run_id)] == [*map(float, range(2500))]


def test_run_whose_creation_was_not_confirmed_is_found_again(store, journal):
    made = runs.create_run(
        store, name="it", experiment="e", tags={KEY: journal.reader.key}
    )
    state = journal.reader.state()
    state.tries = 1
    journal.reader.set_state(state)
    journal.add("end", "FINISHED", 3_000_000)
    JournalUploader(store, journal.reader).advance()
    assert _only(store).run_id == made


def test_creation_that_took_effect_late_leaves_no_twin(store, journal):
    state = journal.reader.state()
    state.tries = 1
    journal.reader.set_state(state)
    JournalUploader(store, journal.reader).advance()
    late = {"name": "it", "experiment": "e", "tags": {KEY: journal.reader.key}}
    runs.create_run(store, **late)
    journal.add("end", "FINISHED", 3_000_000)
    JournalUploader(store, journal.reader).advance()
    assert _only(store).status == "FINISHED"


def test_value_the_store_refuses_is_set_aside_and_the_rest_arrives(store, journal):
    JournalUploader(store, journal.reader).advance()
    run = _only(store)
    store.client.log_param(run.run_id, "C", "1")
    journal.add("m", 2_000_000, "loss", 0.5, 0)
    journal.add("p", "C", "2")
    journal.add("p", "D", "3")
    uploader = JournalUploader(store, journal.reader)
    uploader.advance()
    run = _only(store)
    assert (run.params, run.metrics) == ({"C": "1", "D": "3"}, {"loss": 0.5})
    (reported,) = uploader.progress.refused
    refused = journal.reader.folder.with_name(f"{journal.reader.key}.refused")
    aside = refused / "entries.jsonl"
    assert str(aside) in reported
    assert json.loads(aside.read_text())[:3] == ["p", "C", "2"]


def test_values_for_a_deleted_run_are_kept(store, journal):
    JournalUploader(store, journal.reader).advance()
    runs.delete_run(store, _only(store).run_id)
    for i in range(3):
        journal.add("p", f"C{i}", "2")
    with pytest.raises(NotFoundError, match="was deleted"):
        JournalUploader(store, journal.reader).advance()
    assert journal.reader.count_unsent() == 3


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.floats(), min_size=1, max_size=40))
def test_floats_come_back_as_they_were(store, values):
    with nm.track("it", store=store) as run:
        for step, value in enumerate(values):
            run.log(step=step, x=value)
    history = {m.step: m.value for m in _history(store, run.run_id, "x")}
    for step, value in enumerate(values):
        found = history[step]
        if math.isnan(value):
            assert math.isnan(found)
        elif math.isinf(value):
            assert found == math.copysign(1.7976931348623157e308, value)
        else:
            assert found == value


def test_infinities_are_read_as_infinities(store):
    with nm.track("it", store=store) as run:
        run.log(up=math.inf, down=-math.inf, none=math.nan)
    found = get_run(store, run.run_id).metrics
    assert (found["up"], found["down"]) == (math.inf, -math.inf)
    assert math.isnan(found["none"])


def test_equal_values_without_steps_are_all_kept(store):
    with nm.track("it", store=store) as run:
        for _ in range(500):
            run.log(loss=0.5)
    assert len(_history(store, run.run_id)) == 500


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="\0a\ud800\N{SNOWMAN}\n"),
        st.integers(5990, 7010).map(lambda n: "x\N{SNOWMAN}" * (n // 2)),
    )
)
def test_any_text_is_kept_whole_as_param_and_tag(store, text):
    with nm.track("it", store=store) as run:
        run.log_params(p=text)
        run.log_tags({"t": text * 2})
    found = get_run(store, run.run_id)
    for kind, short, whole in (
        ("params/p", found.params["p"], text),
        ("tags/t", found.tags["t"], text * 2),
    ):
        if short != whole:
            kept = read_file(store, run.run_id, f"nbmlops/{kind}.txt")
            assert kept.decode("utf-8", "surrogatepass") == whole
            assert f"whole in nbmlops/{kind}.txt]" in short


@pytest.mark.parametrize("step", [1.5, "1", None, 2**63])
def test_step_that_is_no_integer_is_refused_before_anything_is_logged(store, step):
    with nm.track("it", store=store) as run, pytest.raises(UsageError, match="step"):
        run.log(step=step, a=1.0)
    assert get_run(store, run.run_id).metrics == {}


def test_one_bad_value_logs_none_of_the_call(store):
    with nm.track("it", store=store) as run, pytest.raises(UsageError, match="number"):
        run.log_metrics({"good": 1.0, "bad": "text"})
    assert get_run(store, run.run_id).metrics == {}
    assert run.metrics == {}


def test_artifact_store_that_takes_nothing_holds_up_no_values(store):
    artifacts = store.settings.home / "artifacts"
    artifacts.touch()
    with nm.track("it", store=store) as run:
        run.log(loss=0.5)
        run.log_bytes(b"whole", "note.txt")
    assert "kept in .nbmlops/journal/" in run.notes[0]
    found = get_run(store, run.run_id)
    assert (found.status, found.metrics) == ("FINISHED", {"loss": 0.5})
    artifacts.unlink()
    assert nm.sync(store).is_complete
    assert read_file(store, run.run_id, "note.txt") == b"whole"
    assert not list_journals(store.settings.home)


def test_locked_database_keeps_nobody_from_working(store):
    with nm.track("it", store=store) as run:
        run.flush()
        path = store.settings.home / "mlflow.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            begun = time.monotonic()
            for step in range(200):
                run.log(step=step, loss=0.5)
            assert time.monotonic() - begun < 100  # waiting for it takes seconds each
            kept = run.flush()
            other.execute("ROLLBACK")
        assert kept.n_entries == 200
        assert kept.folder.startswith(".nbmlops/journal/")
    assert run.notes == ()
    assert len(_history(store, run.run_id)) == 200


def _keep(journal, content):
    def write(folder):
        path = folder / "note.txt"
        path.write_text(content)

    kept = journal.keep(write)
    journal.add("file", str(kept / "note.txt"), "notes")


def test_values_go_together_whatever_files_lie_between_them(
    store, journal, monkeypatch
):
    backend = type(store.client._tracking_client.store)
    log_batch, sent = backend.log_batch, []

    def count(self, run_id, metrics, params, tags):
        sent.append((len(metrics), len(params), len(tags)))
        return log_batch(self, run_id, metrics, params, tags)

    monkeypatch.setattr(backend, "log_batch", count)
    journal.add("p", "C", "1")
    _keep(journal, "first")
    journal.add("t", "note", "old")
    journal.add("m", 2_000_000, "loss", 0.5, 3)
    _keep(journal, "second")
    journal.add("t", "note", "new")
    journal.add("end", "FINISHED", 3_000_000)
    JournalUploader(store, journal.reader).advance()
    run = _only(store)
    assert sent == [(1, 1, 2)]
    assert (run.params, run.metrics) == ({"C": "1"}, {"loss": 0.5})
    assert run.tags["note"] == "new"
    assert read_file(store, run.run_id, "notes/note.txt") == b"second"


def test_what_was_sent_ahead_of_a_file_does_not_let_the_file_be_forgotten(
    store, journal, monkeypatch
):
    journal.add("p", "C", "1")
    _keep(journal, "here")
    journal.add("m", 2_000_000, "loss", 0.5, 3)
    journal.add("end", "FINISHED", 3_000_000)
    uploader = JournalUploader(store, journal.reader)
    with monkeypatch.context() as patch:
        patch.setattr(uploader.entries, "_upload_file", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            uploader.advance()
    assert _only(store).metrics == {"loss": 0.5}
    JournalUploader(store, journal.reader).advance()
    run = _only(store)
    assert read_file(store, run.run_id, "notes/note.txt") == b"here"
    assert [m.value for m in _history(store, run.run_id)] == [0.5]
    assert run.status == "FINISHED"


def test_a_run_waits_for_the_one_above_it(store):
    above = DeferredRun(
        store, name="above", experiment="e", kind="pipeline", source="p"
    )
    tags = {PARENT: above.key}
    below = DeferredRun(
        store, name="below", experiment="e", kind="step", source="s", tags=tags
    )
    kept = below.send()
    assert kept is not None
    assert "above 'below' is not in the store yet" in kept.reason
    assert above.send() is None
    assert below.end("FINISHED") is None
    assert get_run(store, below.run_id).parent_run_id == above.run_id
    assert above.end("FINISHED") is None
