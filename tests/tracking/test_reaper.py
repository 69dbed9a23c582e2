"""Runs of dead processes are ended; those of living ones are left alone."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

import nbmlops as nm
from nbmlops.processes.process_id import SILENT_S, ProcessId
from nbmlops.store.runs import runs
from nbmlops.store.runs.queries import get_run, list_runs
from nbmlops.tracking.journal.reader import list_journals
from nbmlops.tracking.sync.recovery import find_dead, reap

_TRACKS = """
import sys, time
import nbmlops as nm
with nm.track("it") as run:
    for step in range(10):
        run.log(step=step, loss=1.0)
    print(run.run_id, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def tracking(store):
    """Return a process that holds a run open, and the run's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", _TRACKS], stdout=subprocess.PIPE, text=True
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()


def test_run_of_a_killed_process_is_killed_with_its_last_step(store, tracking):
    process, run_id = tracking
    process.kill()
    process.wait()
    (found,) = reap(store)
    run = get_run(store, run_id)
    assert run.status == "KILLED"
    assert f"process {process.pid} on" in run.tags["nbmlops.ended_because"]
    assert run.tags["nbmlops.ended_because"].endswith("its last step was 9.")
    assert found.is_ended
    assert len(store.client.get_metric_history(run_id, "loss")) == 10
    assert run.ended_at >= run.started_at
    assert reap(store) == ()


def test_process_that_nobody_waited_for_is_dead(store, tracking):
    process, run_id = tracking
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    reap(store)
    assert get_run(store, run_id).status == "KILLED"


def test_stopped_process_lives(store, tracking):
    process, run_id = tracking
    os.kill(process.pid, signal.SIGSTOP)
    assert reap(store, now=time.time() + 10 * SILENT_S) == ()
    assert get_run(store, run_id).status == "RUNNING"


def test_run_without_a_journal_is_ended_by_its_tags(store, tracking):
    process, run_id = tracking
    process.kill()
    process.wait()
    for reader in list_journals(store.settings.home):
        reader.remove()
    reap(store)
    assert get_run(store, run_id).status == "KILLED"


def test_many_reapers_at_once_end_a_run_once(store, tracking):
    process, run_id = tracking
    process.kill()
    process.wait()
    found = []
    reapers = [
        threading.Thread(target=lambda: found.extend(reap(store))) for _ in range(4)
    ]
    for reaper in reapers:
        reaper.start()
    for reaper in reapers:
        reaper.join()
    assert get_run(store, run_id).status == "KILLED"
    assert len(store.client.get_metric_history(run_id, "loss")) == 10
    assert [run.run_id for run in list_runs(store)] == [run_id]
    assert list_journals(store.settings.home) == ()


def test_run_of_plain_mlflow_is_left_alone(store):
    made = runs.create_run(store, name="theirs", experiment="e")
    assert reap(store) == ()
    assert get_run(store, made).status == "RUNNING"


def test_own_run_is_left_alone(store):
    with nm.track("it", store=store) as run:
        assert find_dead(store.settings) == ()
        assert reap(store) == ()
    assert get_run(store, run.run_id).status == "FINISHED"


def test_reused_process_id_is_not_taken_for_the_owner():
    me = ProcessId.me()
    earlier = dataclasses.replace(me, started=str(int(me.started) - 1))
    assert not me.is_dead(last_heartbeat=None, now=time.time())
    assert earlier.is_dead(last_heartbeat=time.time(), now=time.time())


@pytest.mark.parametrize("changed", [{"host": "elsewhere"}, {"boot": "before"}])
def test_process_elsewhere_or_before_a_reboot_is_judged_by_its_heartbeat(changed):
    other = dataclasses.replace(ProcessId.me(), **changed)
    assert not other.is_dead(last_heartbeat=1000, now=1000 + SILENT_S)
    assert other.is_dead(last_heartbeat=1000, now=1001 + SILENT_S)
    assert not other.is_dead(last_heartbeat=None, now=1000)


def test_owner_survives_its_tags():
    me = ProcessId.me()
    assert ProcessId.parse(me.kernel, me.boot) == me
    assert ProcessId.parse("not ours", "") is None


_ENDS_AT_ONCE = """
import os
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_line_magic("load_ext", "nbmlops")
os._exit(0)
"""


def test_a_kernel_that_ends_at_once_leaves_who_ends_the_runs_of_dead_ones(
    store, tracking
):
    process, run_id = tracking
    process.kill()
    process.wait()
    subprocess.run([sys.executable, "-c", _ENDS_AT_ONCE], check=True)
    deadline = time.monotonic() + 60
    while get_run(store, run_id).status == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert get_run(store, run_id).status == "KILLED"


def test_the_process_of_a_reaper_asks_no_store_while_no_run_is_dead(store, tracking):
    asked = "import sys\nprint('mlflow' in sys.modules)"
    code = f"from nbmlops.lifecycle.recovery_process import main\nmain()\n{asked}"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout == "False\n"
