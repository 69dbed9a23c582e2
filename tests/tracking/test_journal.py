"""Journals on disk: what is written is there, whatever happens to the writer."""

import os
import subprocess
import sys

import pytest

from nbmlops.tracking.journal.dirs import journal_dirs
from nbmlops.tracking.journal.reader import (
    JournalReader,
    RunHeader,
    SyncState,
    list_journals,
)
from nbmlops.tracking.journal.records import bodies, record_of
from nbmlops.tracking.journal.segment import Segment
from nbmlops.tracking.journal.writer import Journal


def _header(key="k" + "ab1" * 10 + "c"):
    return RunHeader(
        key=key,
        name="it",
        experiment="e",
        tags={},
        started_at_ms=1,
        store="",
        kernel="host:1:1.0",
        boot="",
    )


@pytest.fixture
def journal(project):
    return Journal.create(project / ".nbmlops", _header())


def _metric(i):
    return ["m", i, "loss", 0.5, i]


def _log(journal, *numbers):
    for i in numbers:
        journal.add(*_metric(i))


def _steps(reader):
    return [entry[4] for entry in reader.unsent()]


def test_entries_come_back_in_order(journal):
    _log(journal, 0, 1, 2)
    assert list(journal.reader.unsent()) == [_metric(0), _metric(1), _metric(2)]


def test_a_record_without_its_newline_does_not_take_the_next_one_along():
    first, second = record_of(_metric(0)), record_of(_metric(1))
    assert len(bodies(first[:-1] + second)) == 2
    assert len(bodies(first[:-1] + b"?" + second)) == 2


def test_another_process_reads_what_is_written(project, journal):
    journal.add("p", "C", "1 \N{SNOWMAN} \0")
    (found,) = list_journals(project / ".nbmlops")
    assert list(found.unsent()) == [["p", "C", "1 \N{SNOWMAN} \0"]]
    assert found.header() == _header()


def test_entries_larger_than_a_part_and_more_than_one_holds(journal):
    wanted = [["p", "x" * 10, str(i) * size] for i, size in enumerate([9, 200_000, 9])]
    wanted += [_metric(i) for i in range(20_000)]
    for entry in wanted:
        journal.add(*entry)
    assert len(journal.reader.segment_paths()) > 2
    assert list(journal.reader.unsent()) == wanted


def test_what_was_marked_as_sent_is_not_read_again(journal):
    _log(journal, 1, 2)
    part = Segment.read(journal.reader.segment_paths()[0])
    (_, end, _), _ = part.unsent(until=None, is_growing=False)
    part.mark(end)
    assert _steps(journal.reader) == [2]


def test_record_that_was_being_written_when_all_ended_is_no_entry(journal):
    _log(journal, 1)
    journal.append(record_of(_metric(2))[:-5])
    assert _steps(journal.reader) == [1]


def test_bytes_of_a_torn_record_do_not_make_an_entry(journal):
    _log(journal, 1)
    whole = record_of(_metric(2))
    journal.append(bytes(20) + whole[20:])  # its end came through, its start not
    assert _steps(journal.reader) == [1]


def test_unsent_gives_whole_records_of_about_the_size_of_a_batch(journal):
    journal.append(b"".join(record_of(_metric(i)) for i in range(20_000)))
    part = Segment.read(journal.reader.segment_paths()[0])
    pieces = part.unsent(until=None, is_growing=False)
    assert all(body is not None for *_, body in pieces)
    assert 300_000 < pieces[-1][1] - pieces[0][0] <= 400_000


def test_disk_that_takes_no_more_is_left_for_another(project, monkeypatch, tmp_path):
    elsewhere = tmp_path / "other disk"
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    elsewhere.mkdir()
    journal = Journal.create(project / ".nbmlops", _header())
    _log(journal, 1)
    make = Segment.make

    def full(path, size):
        if path is not None and elsewhere not in path.parents:
            raise OSError(28, "No space left on device")
        return make(path, size)

    monkeypatch.setattr(Segment, "make", full)
    journal.add("p", "x", "y" * 100_000)
    _log(journal, 3)
    found = JournalReader(journal.reader.key, journal_dirs(project / ".nbmlops"))
    assert [entry[0] for entry in found.unsent()] == ["m", "p", "m"]
    assert elsewhere in found.segment_paths()[1].parents
    assert (elsewhere / f"nbmlops-{os.getuid()}").stat().st_mode & 0o77 == 0


def test_folder_of_another_user_is_not_written_to(project, monkeypatch):
    (project / ".nbmlops" / "journal").mkdir()
    monkeypatch.setattr("os.getuid", lambda: 54321)
    with pytest.raises(OSError, match="another user"):
        Journal.create(project / ".nbmlops", _header())


def test_only_one_sender_holds_a_journal(journal):
    with journal.reader.locked() as first, journal.reader.locked() as second:
        assert (first, second) == (True, False)


def test_fork_writes_beside_its_parent(project):
    code = """
import os, sys
import nbmlops as nm
with nm.track("it") as run:
    run.log(step=0, loss=1.0)
    child = os.fork()
    if child == 0:
        run.log(step=1, loss=2.0)
        os._exit(0)
    os.waitpid(child, 0)
    run.log(step=2, loss=3.0)
from nbmlops.store import connect
print(sorted(m.value for m in connect().client.get_metric_history(run.run_id, "loss")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[1.0, 2.0, 3.0]\n"
    assert not any((project / ".nbmlops" / "journal").iterdir())


# Creates a journal in one fork after the other; the n-th dies at its n-th step.
_DIES_AT_EACH_STEP = """
import itertools, os, sys
from pathlib import Path
from nbmlops.tracking.journal.writer import Journal
from nbmlops.tracking.journal.reader import RunHeader

def dies_at(step):
    steps = itertools.count()
    def hook(event, args):
        if event in ("open", "os.mkdir", "os.rename") and next(steps) == step:
            os._exit(9)
    sys.addaudithook(hook)

opening = dict(name="it", experiment="e", tags={}, started_at_ms=1, store="",
               kernel="host:1:1.0", boot="")
for step in itertools.count():
    if os.fork() == 0:
        dies_at(step)
        Journal.create(Path(sys.argv[1]), RunHeader(key=f"k{step:031}", **opening))
        os._exit(0)
    if os.wait()[1] == 0:
        print(step)
        break
"""


def test_death_at_any_step_of_its_creation_leaves_no_journal_or_a_whole_one(project):
    home = project / ".nbmlops"
    done = subprocess.run(
        [sys.executable, "-c", _DIES_AT_EACH_STEP, str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) >= 4
    found = list_journals(home)
    assert f"k{int(done.stdout):031}" in {reader.key for reader in found}
    for reader in found:
        assert reader.header().key == reader.key
        assert reader.state() == SyncState()
        assert reader.count_unsent() == 0
