"""A fork of a process with an open run: it logs to the run, and ends without a word."""

import os
import subprocess
import sys

import pytest

import nbmlops as nm
from nbmlops.processes.process_id import start_of
from nbmlops.store.runs.queries import list_runs
from nbmlops.tracking.journal.reader import list_journals
from nbmlops.tracking.sync.recovery import reap

# Each fork leaves in another way; what would wait, would wait for an hour.
_FORKS = """
import os, sys
import nbmlops as nm
from nbmlops.tracking.sync import sender

for way in ("exit", "raise", "flush", "close", "fall out"):
    with nm.track(way) as run:
        run.log(step=0, loss=1.0)
        child = os.fork()
        if child == 0:
            sender._FLUSH_TIMEOUT_S = sender._SILENT_STORE_TIMEOUT_S = 3600
            run.log(step=1, loss=2.0)
            if way == "exit":
                sys.exit(3)
            if way == "raise":
                raise ValueError("in the fork")
            if way == "flush":
                assert "opened the run" in run.flush().reason
                os._exit(0)
            if way == "close":
                run.close()
        else:
            print(way, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            assert nm.runs().frame()["status"][0] == "RUNNING"
            run.log(step=2, loss=3.0)
    if child == 0:
        sys.exit(0)
"""


@pytest.mark.kernel
def test_fork_ends_neither_the_run_nor_waits_for_it(store):
    done = subprocess.run(
        [sys.executable, "-c", _FORKS],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    ways = {"exit": 3, "raise": 1, "flush": 0, "close": 0, "fall out": 0}
    assert done.stdout.splitlines() == [f"{way} {code}" for way, code in ways.items()]
    found = {run.name: run for run in list_runs(store)}
    assert {run.status for run in found.values()} == {"FINISHED"}
    for way in ways:
        history = store.client.get_metric_history(found[way].run_id, "loss")
        assert sorted(m.value for m in history) == [1.0, 2.0, 3.0], way
    assert list_journals(store.settings.home) == ()


@pytest.mark.parametrize("is_same", [True, False], ids=["living", "reused number"])
def test_part_of_a_fork_is_kept_while_that_very_fork_lives(store, is_same):
    with nm.track("it", store=store) as run:
        run.log(step=0, loss=1.0)
        (reader,) = list_journals(store.settings.home)
        parent = os.getppid()
        started = start_of(parent) if is_same else "1"
        part = reader.folder / f"000007-{parent}.{started}.records"
        part.write_bytes(reader.segment_paths()[0].read_bytes())
    assert reader.exists() == is_same
    part.unlink(missing_ok=True)
    reap(store)
