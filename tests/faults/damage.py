"""Journals with damage of every kind, and what of them reaches the store.

A journal is written as a run writes it, its process then taken for dead, and its files
are damaged at random places: bits turned, stretches overwritten, zeroed, cut off, cut
out, put in, the head or the state emptied. A record whose bytes are all there still is
good, and is to arrive; nothing else may.
"""

import random
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from uuid import UUID

from nbmlops.lifecycle.doctor import doctor
from nbmlops.processes.process_id import ProcessId, boot
from nbmlops.store.backend import backend
from nbmlops.store.runs.runs import find_by_key
from nbmlops.tracking.journal.reader import RunHeader, list_journals, list_unreadable
from nbmlops.tracking.journal.records import record_of
from nbmlops.tracking.journal.segment import HEAD
from nbmlops.tracking.journal.writer import Journal
from nbmlops.tracking.sync.recovery import reap
from nbmlops.tracking.sync.sync import store_hash, sync
from tests.faults.ledger import METRIC, value_of

STARTED_MS = 1_700_000_000_000
EXPERIMENT = "damaged"


@dataclass(kw_only=True)
class Tally:
    """What came of a number of damaged journals.

    Attributes
    ----------
    journals, good, damaged : int
        Journals; records of values that were whole, and that were not.
    crashes : int
        Calls that raised, and journals that are stuck.
    wrong : int
        Values in the store that were not logged.
    lost : int
        Good records that the store does not have.
    unknown : int
        Journals that were not sent although one place still tells their run.
    unnamed : int
        Journals with damaged bytes of which nobody tells.
    running : int
        Runs that have not ended.
    """

    journals: int = 0
    good: int = 0
    damaged: int = 0
    crashes: int = 0
    wrong: int = 0
    lost: int = 0
    unknown: int = 0
    unnamed: int = 0
    running: int = 0

    def __add__(self, other):
        both = zip(asdict(self).items(), asdict(other).values(), strict=True)
        return Tally(**{name: mine + theirs for (name, mine), theirs in both})

    @property
    def faults(self):
        """Return what must not be, by name; empty when all went well."""
        fine = ("journals", "good", "damaged")
        return {k: v for k, v in asdict(self).items() if v and k not in fine}


@dataclass
class Written:
    """A journal as it was written, its records by what they say."""

    key: str
    header: RunHeader
    journal: Journal
    records: dict = field(default_factory=dict)

    def add(self, what, *entry):
        """Write an entry that is reported from all others."""
        self.records[what] = record_of(entry)
        self.journal.append(self.records[what])


def write_journal(store, source, number):
    """Write the journal of a run that has not been sent at all."""
    key = f"k{UUID(int=source.getrandbits(128)).hex[1:]}"
    header = RunHeader(
        key=key,
        name=f"damaged {number}",
        experiment=EXPERIMENT,
        tags={"nbmlops.attempt_of": key, "nbmlops.attempt": "1"},
        started_at_ms=STARTED_MS + number,
        store=store_hash(store),
        kernel=replace(ProcessId.me(), started="1").kernel,  # one that is gone
        boot=boot(),
    )
    written = Written(key, header, Journal.create(store.settings.home, header))
    for i in range(5):
        written.add(("p", f"p{i}"), "p", f"p{i}", f"{key} {i}")
    for step in range(source.randrange(20, 200)):
        at_ms, value = STARTED_MS + step, value_of(key, step)
        written.add(("m", step), "m", at_ms, METRIC, value, step)
        if step % 40 == 39:  # a long one, as some are
            written.add(("t", f"t{step}"), "t", f"t{step}", "x" * 7000)

    def write(folder):
        (folder / "note.txt").write_text(key)

    kept = written.journal.keep(write)
    written.add(("file",), "file", str(kept / "note.txt"), "")
    if source.random() < 0.7:
        written.add(("end",), "end", "FINISHED", STARTED_MS + 10_000)
    return written


def _turn_bit(content, source):
    at = source.randrange(len(content))
    content[at] ^= 1 << source.randrange(8)


def _stretch(content, source):
    start = source.randrange(len(content))
    return slice(start, start + min(source.choice((1, 16, 300, 4096)), len(content)))


def _overwrite(content, source):
    at = _stretch(content, source)
    content[at] = source.randbytes(len(content[at]))


def _zero(content, source):
    at = _stretch(content, source)
    content[at] = bytes(len(content[at]))


def _cut_out(content, source):
    del content[_stretch(content, source)]


def _cut_off(content, source):
    del content[source.randrange(len(content)) :]


def _put_in(content, source):
    at = source.randrange(len(content))
    content[at:at] = source.randbytes(source.choice((1, 16, 300)))


def _repeat(content, source):
    at = _stretch(content, source)
    content[at.start : at.start] = content[at]


KINDS = (_turn_bit, _turn_bit, _overwrite, _zero, _cut_out, _cut_off, _put_in, _repeat)


def damage(written, source):
    """Damage one to four places of a journal's parts, and maybe its head or state."""
    folder = written.journal.reader.folder
    for path in written.journal.reader.segment_paths():
        whole = bytearray(path.read_bytes())
        used = len(whole.rstrip(b"\0"))
        content, room = whole[:used], whole[used:]
        for _ in range(source.randint(1, 4)):
            if content:
                source.choice(KINDS)(content, source)
        path.write_bytes(content + (room if source.random() < 0.8 else b""))
    for name in ("run", "run.copy", "state"):
        path, luck = folder / name, source.random()
        if luck < 0.1:
            path.write_bytes(b"")
        elif luck < 0.15:
            path.unlink()
        elif luck < 0.4:
            content = bytearray(path.read_bytes())
            source.choice((_turn_bit, _overwrite, _zero))(content, source)
            path.write_bytes(content)


def is_good(written, what):
    """Return whether a record is still there, byte for byte."""
    record = written.records[what][:-1]  # its newline holds nothing
    paths = written.journal.reader.segment_paths()
    return any(record in path.read_bytes() for path in paths)


def tells_its_run(written, whole):
    """Return whether one of the places that tell a journal's run is as it was."""
    header = record_of(["run", asdict(written.header)])[:-1]
    folder = written.journal.reader.folder
    return any(
        (folder / name).exists() and (folder / name).read_bytes() == content
        for name, content in whole.items()
    ) or any(
        header in path.read_bytes() for path in written.journal.reader.segment_paths()
    )


def has_traces(written):
    """Return whether there are bytes that are neither record nor room."""
    for path in written.journal.reader.segment_paths():
        content = path.read_bytes()[HEAD:]
        header = record_of(["run", asdict(written.header)])
        for record in (header, *written.records.values()):
            # Its newline holds nothing, whatever has become of it.
            content = re.sub(re.escape(record[:-1]) + b".?", b"", content, flags=re.S)
        if content.strip(b"\0"):
            return True
    return False


def damage_journals(store, n, seed):
    """Write ``n`` journals, damage them, have them sent, and return the tally."""
    source, tally = random.Random(seed), Tally(journals=n)  # noqa: S311
    journals = [write_journal(store, source, number) for number in range(n)]
    good, traces, nameless = {}, set(), set()
    for written in journals:
        folder = written.journal.reader.folder
        whole = {name: (folder / name).read_bytes() for name in ("run", "run.copy")}
        damage(written, source)
        if not tells_its_run(written, whole):
            nameless.add(written.key)
        good[written.key] = {w for w in written.records if is_good(written, w)}
        tally.good += len(good[written.key])
        # What a part says of its run is there four times: only values are reported.
        if len(good[written.key]) < len(written.records) and has_traces(written):
            traces.add(written.key)
        tally.damaged += len(written.records) - len(good[written.key])
    reported = ""
    for do in (lambda: doctor(store=store), lambda: reap(store), lambda: sync(store)):
        try:
            reported = f"{reported}{do()}"
        except Exception:  # noqa: BLE001 - they are what is counted
            tally.crashes += 1
    reported += repr(doctor(store=store))
    tally.crashes += len(list_journals(store.settings.home))
    unknown = {folder.name for folder, _ in list_unreadable(store.settings.home)}
    for written in journals:
        if written.key in unknown:
            tally.unknown += written.key not in nameless
            tally.unnamed += written.key not in reported
            continue
        _compare(store, written, good[written.key], tally)
        tally.unnamed += written.key in traces and written.key not in reported
    return tally


def _compare(store, written, good, tally):
    runs = find_by_key(store, written.key, experiment=EXPERIMENT)
    if not runs:
        tally.lost += len(good)
        return
    (run,) = runs
    tally.running += run.info.status == "RUNNING"
    found = set()
    history = backend(store).get_metric_history(run.info.run_id, METRIC)
    for point in history:
        found.add(("m", point.step))
        tally.wrong += point.value != value_of(written.key, point.step)
    tally.wrong += len(history) - len(found)
    for name, value in run.data.params.items():
        found.add(("p", name))
        tally.wrong += value != f"{written.key} {name[1:]}"
    found |= {("t", name) for name in run.data.tags if name[0] == "t"}
    note = Path(run.info.artifact_uri.removeprefix("file://")) / "note.txt"
    if note.exists():
        found.add(("file",))
        tally.wrong += note.read_text() != written.key
    if run.info.status == "FINISHED":
        found.add(("end",))
    tally.lost += len(good - found)
    tally.wrong += len(found - good)
