"""Runs that were ended for a process that was only silent: it comes back, and goes on.

A process of another machine that shares the folder is judged by its heartbeat. Stopped
for eleven minutes it counts as gone.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import nbmlops as nm
from nbmlops.processes.process_id import SILENT_S
from nbmlops.store.runs.queries import get_run, list_runs
from nbmlops.tracking.journal.reader import list_journals
from nbmlops.tracking.run.deferred import DeferredRun
from nbmlops.tracking.sync.recovery import find_dead, reap
from nbmlops.tracking.sync.sender import UploadTask

WEEK_S = 7 * 24 * 3600


@pytest.fixture
def elsewhere(monkeypatch):
    """Have runs be opened by a process of another machine, whose heart is ours."""
    heartbeat = UploadTask.heartbeat
    monkeypatch.setattr(UploadTask, "heartbeat", lambda self: None)

    def go_on():
        monkeypatch.setattr(UploadTask, "heartbeat", heartbeat)

    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "elsewhere")
        yield patch.undo, go_on


def _fall_silent(store, seconds=SILENT_S + 60):
    """Have the last heartbeat of the only run be long ago."""
    (reader,) = list_journals(store.settings.home)
    then = time.time() - seconds
    os.utime(reader.folder / "state", (then, then))
    return reader


def _steps(store, run_id):
    return sorted(m.step for m in store.client.get_metric_history(run_id, "loss"))


def _wait_for(is_true, limit_s=60):
    deadline = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_run_that_was_ended_in_its_silence_goes_on(store, elsewhere):
    come_home, go_on = elsewhere
    run = nm.track("it", store=store).__enter__()
    come_home()
    run.log(step=0, loss=1.0)
    run.flush()
    reader = _fall_silent(store)
    (reaped,) = reap(store)
    assert "elsewhere" in reaped.reason
    found = get_run(store, run.run_id)
    assert (found.status, found.tags["nbmlops.ended_because"]) == (
        "KILLED",
        reaped.reason,
    )
    assert reap(store) == find_dead(store.settings) == ()
    assert reader.exists()
    go_on()
    _wait_for(lambda: get_run(store, run.run_id).status == "RUNNING")
    found = get_run(store, run.run_id)
    assert found.ended_at is None
    assert nm.runs(store=store).page.items[0].ended_at is None
    assert "nbmlops.ended_because" not in found.tags
    run.log(step=1, loss=2.0)
    assert run.flush() is None
    run.close()
    assert get_run(store, run.run_id).status == "FINISHED"
    assert _steps(store, run.run_id) == [0, 1]
    assert not reader.exists()


def test_run_that_another_process_sends_goes_on_too(store, elsewhere):
    come_home, _ = elsewhere
    run = DeferredRun(store, name="it", experiment="e", kind="pipeline", source="p")
    come_home()
    run.log(step=0, loss=1.0)
    _fall_silent(store)
    reap(store)
    assert list_runs(store).items[0].status == "KILLED"
    run.heartbeat()
    run.log(step=1, loss=2.0)
    nm.sync(store)
    (found,) = list_runs(store)
    assert found.status == "RUNNING"
    assert _steps(store, found.run_id) == [0, 1]


def test_journal_of_a_process_that_never_comes_back_is_gone_after_a_week(
    store, elsewhere
):
    come_home, _ = elsewhere
    DeferredRun(store, name="it", experiment="e", kind="pipeline", source="p").log(
        loss=1.0
    )
    come_home()
    reader = _fall_silent(store)
    reap(store)
    ended_at = list_runs(store).items[0].ended_at
    _fall_silent(store, WEEK_S + 60)
    reap(store)
    assert not reader.exists()
    (found,) = list_runs(store)
    assert found.status == "KILLED"
    assert found.ended_at <= ended_at


def test_journal_that_somebody_has_deleted_is_begun_anew(store):
    with nm.track("it", store=store) as run:
        run.log(step=0, loss=1.0)
        run.flush()
        (reader,) = list_journals(store.settings.home)
        shutil.rmtree(reader.folder)
        run.log(step=1, loss=2.0)
        assert run.flush() is None
        run.log(step=2, loss=3.0)
    assert get_run(store, run.run_id).status == "FINISHED"
    assert _steps(store, run.run_id) == [0, 1, 2]


_TRACKS_ELSEWHERE = """
import socket, sys
socket.gethostname = lambda: "elsewhere"
import nbmlops as nm
with nm.track("it") as run:
    run.log(step=0, loss=1.0)
    run.flush()
    print(run.run_id, flush=True)
    sys.stdin.readline()
    run.log(step=1, loss=2.0)
"""


@pytest.mark.kernel
def test_process_that_was_stopped_for_eleven_minutes_loses_nothing(store):
    with subprocess.Popen(
        [sys.executable, "-c", _TRACKS_ELSEWHERE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        run_id = process.stdout.readline().strip()
        process.send_signal(signal.SIGSTOP)
        _fall_silent(store)
        assert [each.is_ended for each in reap(store)] == [True]
        assert get_run(store, run_id).status == "KILLED"
        process.send_signal(signal.SIGCONT)
        process.communicate("\n", timeout=120)
    assert get_run(store, run_id).status == "FINISHED"
    assert _steps(store, run_id) == [0, 1]
    assert list_journals(store.settings.home) == ()
