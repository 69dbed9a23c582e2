"""Sending what journals hold, beside the processes that send their own."""

import dataclasses
import sys

import pytest

import nbmlops as nm
from nbmlops.tracking.journal.reader import list_journals
from nbmlops.tracking.sync import recovery
from nbmlops.tracking.sync.recovery import reap

sync = sys.modules[
    "nbmlops.tracking.sync.sync"
]  # the package has a function of its name


@pytest.mark.parametrize("moment", ["listed", "sorted"])
def test_journal_that_its_owner_sends_meanwhile_is_no_error(store, monkeypatch, moment):
    with nm.track("it") as run:
        run.log(loss=0.5)
        found = list_journals(store.settings.home)
        assert len(found) == 1
    assert not found[0].exists()
    if moment == "listed":
        monkeypatch.setattr(sync, "list_journals", lambda home: found)
    else:
        monkeypatch.setattr(sync, "journals_of", lambda store: list(found))
        monkeypatch.setattr(recovery, "journals_of", lambda store: list(found))
        monkeypatch.setattr(recovery, "find_dead", lambda settings, now: found)
    assert nm.sync().runs == ()
    assert reap(store) == ()


def test_journal_for_another_store_is_kept_and_says_so(store, tmp_path, monkeypatch):
    run = nm.track("it").__enter__()
    elsewhere = dataclasses.replace(store, uri="http://127.0.0.1:1")
    (kept,) = nm.sync(elsewhere).runs
    assert (kept.state, kept.name) == ("kept", "it")
    assert "another store" in kept.reason
    run.close()
    assert nm.sync().is_complete


def test_part_whose_maker_was_killed_before_it_had_room_holds_nothing(store):
    with nm.track("it") as run:
        (reader,) = list_journals(store.settings.home)
        (reader.folder / "000099-999999999.1.records").touch()
        run.log(loss=0.5)
    assert not reader.exists()
    assert dict(nm.runs().page.items[0].metrics) == {"loss": 0.5}
