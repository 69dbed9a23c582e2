"""What is read from `.nbmlops` is not trusted: a journal may come from a stranger."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

import nbmlops as nm
from nbmlops.processes.process_id import ProcessId, boot
from nbmlops.store.artifacts import list_sizes, read_file
from nbmlops.store.runs.queries import list_runs
from nbmlops.tracking.journal.reader import RunHeader, list_journals, list_unreadable
from nbmlops.tracking.journal.records import record_of
from nbmlops.tracking.journal.writer import Journal
from nbmlops.tracking.sync.recovery import reap
from nbmlops.tracking.sync.sync import store_hash
from nbmlops.tracking.sync.uploader import JournalUploader

KEY = "k" + "0" * 31


@pytest.fixture
def journal(store):
    """Return the journal of a run whose process is gone."""
    header = RunHeader(
        key=KEY,
        name="theirs",
        experiment="e",
        tags={"nbmlops.attempt_of": "group"},
        started_at_ms=1_000_000,
        store=store_hash(store),
        kernel=dataclasses.replace(ProcessId.me(), started="1").kernel,
        boot=boot(),
    )
    return Journal.create(store.settings.home, header)


@pytest.fixture
def thesis(tmp_path):
    """Return a file of the user's, with another one beside it."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "other.txt").write_text("more")
    (folder / "thesis.txt").write_text("years")
    return folder / "thesis.txt"


def _link(journal, thesis):
    kept = journal.keep(lambda at: (at / "note.txt").symlink_to(thesis))
    return str(kept / "note.txt")


def _link_inside(journal, thesis):
    def write(folder):
        (folder / "plots").mkdir()
        (folder / "plots" / "note.txt").symlink_to(thesis)

    return str(journal.keep(write) / "plots")


def _linked_folder(journal, thesis):
    (journal.reader.folder / "files").symlink_to(thesis.parent.parent)
    return f"files/{thesis.parent.name}/{thesis.name}"


def _pipe(journal, thesis):
    kept = journal.keep(lambda at: os.mkfifo(at / "note.txt"))
    return str(kept / "note.txt")


NAMES = {
    "absolute": lambda journal, thesis: str(thesis),
    "upwards": lambda journal, thesis: os.path.relpath(thesis, journal.reader.folder),
    "through files": lambda journal, thesis: (
        "files/" + os.path.relpath(thesis, journal.reader.folder / "files")
    ),
    "a link": _link,
    "a link inside": _link_inside,
    "a linked folder": _linked_folder,
    "a pipe": _pipe,
    "the journal's own": lambda journal, thesis: "run",
}


@pytest.mark.parametrize("kind", ["file", "model"])
@pytest.mark.parametrize("how", list(NAMES))
def test_entry_that_leads_out_of_its_journal_copies_and_deletes_nothing(
    store, journal, thesis, how, kind
):
    rest = ["loot"] if kind == "file" else ["loot", "0" * 32]
    journal.add("m", 1, "loss", 0.5, 0)
    journal.add(kind, NAMES[how](journal, thesis), *rest)
    journal.add("p", "C", "1")
    reap(store)
    (run,) = list_runs(store)
    assert (run.status, run.metrics, run.params) == (
        "KILLED",
        {"loss": 0.5},
        {"C": "1"},
    )
    assert sorted(p.name for p in thesis.parent.iterdir()) == [
        "other.txt",
        "thesis.txt",
    ]
    assert thesis.read_text() == "years"
    assert not list(Path(store.settings.home, "artifacts").rglob("*.txt"))
    assert "The store refused of run 'theirs'" in repr(nm.doctor())


@pytest.mark.parametrize("folder", ["../../loot", "/loot", "a//b", "x" * 300, "\0"])
def test_artifact_with_a_bad_path_is_set_aside_and_not_tried_again(
    store, journal, folder
):
    kept = journal.keep(lambda at: (at / "note.txt").write_text("kept"))
    journal.add("file", str(kept / "note.txt"), folder)
    journal.add("end", "FINISHED", 2_000_000)
    (sent,) = nm.sync().runs
    assert sent.state == "incomplete"
    assert "note.txt" in sent.reason
    assert list_runs(store).items[0].status == "FINISHED"
    refused = journal.reader.folder.with_name(f"{KEY}.refused")
    assert [p.read_text() for p in refused.rglob("note.txt")] == ["kept"]
    assert nm.sync().runs == ()


@pytest.mark.parametrize("name", ["x" * 256, "a\0b", "a/", ".", "..", "\ud800"])
def test_artifact_that_no_file_can_be_named_as_is_refused_at_the_call(store, name):
    with nm.track("it", store=store) as run, pytest.raises(nm.errors.UsageError):
        run.log_bytes(b"", name)


WRONG = [
    ["m", "1", "loss", 0.5, 0],
    ["m", 1, "loss", "0.5", 0],
    ["m", 1, "loss", 10**400, 0],
    ["m", 1, "loss", 0.5, 2**70],
    ["m", 1, "loss", 0.5],
    ["p", "C"],
    ["p", "C", 1],
    ["t", ["C"], "1"],
    ["data", {"name": "X"}],
    ["data", "X"],
    ["end", "RUNNING", 1],
    ["end", "FINISHED", None],
    ["file", {}, ""],
    ["model", "files/x"],
    ["rm", "-rf", "/"],
    [],
    {"m": 1},
    "m",
    None,
]


def test_records_that_are_no_entries_are_set_aside_one_by_one(store, journal):
    journal.add("m", 1, "loss", 0.25, 0)
    for wrong in WRONG:
        journal.append(record_of(wrong))
    journal.add("m", 2, "loss", 0.5, 1)
    (found,) = reap(store)
    (run,) = list_runs(store)
    assert (run.metrics, run.params) == ({"loss": 0.5}, {})
    assert found.is_ended
    assert f"{len(WRONG)} records of run 'theirs' were damaged" in repr(nm.doctor())


def _rewritten(journal, **changes):
    header = dataclasses.asdict(journal.reader.header()) | changes
    for path in journal.reader.segment_paths():
        path.unlink()
    (journal.reader.folder / "state").write_bytes(b"\0")
    for name in ("run", "run.copy"):
        (journal.reader.folder / name).write_bytes(record_of(header))


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "k" + "1" * 31},
        {"tags": {"x": 1}},
        {"tags": []},
        {"started_at_ms": "1"},
        {"started_at_ms": 10**30},
        {"name": None},
        {"more": "x"},
    ],
)
def test_head_of_another_form_is_no_journal_and_is_named(store, journal, changes):
    _rewritten(journal, **changes)
    assert list_journals(store.settings.home) == ()
    assert f"journal/{KEY} cannot be read" in repr(nm.doctor())
    (named,) = nm.sync().runs
    assert (named.state, named.run_id) == ("kept", KEY)


def test_journal_of_an_older_version_is_named_with_the_way_to_be_rid_of_it(store):
    folder = store.settings.home / "journal" / KEY
    folder.mkdir(parents=True)
    (folder / "run").write_text(json.dumps({"key": KEY}))
    (folder / "state").write_text(json.dumps({"run_id": None}))
    (folder / "000000.jsonl").write_bytes(b"32\n")
    ((_, reason),) = list_unreadable(store.settings.home)
    assert "an older version of nbmlops" in reason
    (named,) = nm.sync().runs
    assert named.reason == (
        f".nbmlops/journal/{KEY} cannot be read: it is of an older version of nbmlops. "
        "Move or delete it."
    )
    assert "Move it away, or delete it." in repr(nm.doctor())


@pytest.mark.parametrize("name", ["run", "state", "000000.records", "pending"])
def test_pipe_in_place_of_a_file_of_a_journal_holds_up_nobody(store, journal, name):
    journal.add("m", 1, "loss", 0.5, 0)
    other = Journal.create(
        store.settings.home,
        dataclasses.replace(journal.reader.header(), key="k" + "1" * 31, name="other"),
    )
    other.add("end", "FINISHED", 2_000_000)
    path = journal.reader.folder / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    repr(nm.doctor())
    reap(store)
    nm.sync()
    by_name = {run.name: run.status for run in list_runs(store)}
    assert by_name["other"] == "FINISHED"


def test_journal_folder_that_is_a_link_is_none_of_ours(store, journal, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    journal.reader.folder.rename(elsewhere)
    journal.reader.folder.symlink_to(elsewhere)
    journal.reader.folder.with_name("not a journal").mkdir()
    reap(store)
    assert list_runs(store).items == ()
    assert elsewhere.exists()


def test_artifact_that_is_not_there_is_never_called_sent(store, journal):
    kept = journal.keep(lambda at: (at / "note.txt").write_text("lost"))
    journal.add("file", str(kept / "note.txt"), "notes")
    journal.add("m", 1, "loss", 0.5, 0)
    journal.add("end", "FINISHED", 2_000_000)
    (journal.reader.folder / kept / "note.txt").unlink()
    (sent,) = nm.sync().runs
    assert sent.state == "incomplete"
    assert "'notes/note.txt'" in sent.reason
    assert "is not in the journal any more" in sent.reason
    assert not nm.doctor().is_well
    (run,) = list_runs(store)
    assert (run.status, run.metrics) == ("FINISHED", {"loss": 0.5})


def test_file_that_was_sent_is_there_until_that_is_noted(store, journal, monkeypatch):
    kept = journal.keep(lambda at: (at / "note.txt").write_text("here"))
    journal.add("file", str(kept / "note.txt"), "notes")
    journal.add("end", "FINISHED", 2_000_000)
    uploader = JournalUploader(store, journal.reader)
    with monkeypatch.context() as patch:
        patch.setattr("nbmlops.tracking.journal.segment.Segment.mark", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            uploader.advance()
    (sent,) = nm.sync().runs
    assert sent.state == "sent"
    (run,) = list_runs(store)
    assert read_file(store, run.run_id, "notes/note.txt") == b"here"
    assert list(list_sizes(store, run.run_id, "notes")) == ["notes/note.txt"]
