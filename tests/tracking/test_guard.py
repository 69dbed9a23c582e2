import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time

import pytest

import nbmlops as nm
from nbmlops.errors import UsageError
from nbmlops.store.runs.queries import list_runs
from nbmlops.tracking.resources.budget import RunKilled, RunKilledForGood
from nbmlops.tracking.resources.usage import MemoryUsage

LONG_S = 60


def _track(store, budget, work):
    with nm.track("it", store=store, budget=budget):
        return work()


def _wait():
    time.sleep(LONG_S)


def _ended(store):
    (run,) = list_runs(store)
    return run.status, run.tags.get("nbmlops.ended_because")


def _limit_mb(more):
    return (
        MemoryUsage().measure() // 10**6 + more
    )  # servers of other tests are children


def test_time_that_is_used_up_interrupts_a_call_that_waits(store):
    began = time.monotonic()
    with pytest.raises(RunKilled, match=r"budget of 0\.5 s used up"):
        _track(store, "0.5s", _wait)
    assert time.monotonic() - began < LONG_S / 2
    assert _ended(store) == ("KILLED", "budget of 0.5 s used up")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_memory_that_is_used_up_interrupts_a_loop_and_says_how_much(store):
    def grow():
        held = []
        while True:
            held.append(bytearray(2_000_000))
            time.sleep(0.005)

    limit_mb = _limit_mb(200)
    with pytest.raises(RunKilled, match=r"budget of [\d.]+ [MG]B: [\d.]+ [MG]B used"):
        _track(store, ["60s", f"{limit_mb}MB"], grow)
    (run,) = list_runs(store)
    assert run.status == "KILLED"
    peak = int(run.tags["nbmlops.cost.peak_rss_bytes"])
    assert limit_mb * 10**6 < peak < (limit_mb + 500) * 10**6


def test_memory_of_a_child_counts_and_the_child_is_interrupted_too(store):
    code = "import time; x = b'1' * 400_000_000; time.sleep(60)"
    child = [sys.executable, "-c", code]
    began = time.monotonic()
    with pytest.raises(RunKilled, match="used"):
        _track(store, f"{_limit_mb(100)}MB", lambda: subprocess.check_call(child))
    assert time.monotonic() - began < LONG_S / 2


def test_pages_shared_with_a_forked_child_count_once():
    code = (
        "import os, time\n"
        "from nbmlops.tracking.resources.usage import MemoryUsage\n"
        "x = b'1' * 300_000_000\n"
        "alone = MemoryUsage().measure()\n"
        "if os.fork() == 0: time.sleep(30)\n"
        "time.sleep(0.3)\n"
        "print((MemoryUsage().measure() - alone) // 10**6, flush=True)\n"
        "os.killpg(0, 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert int(done.stdout) < 100  # of the 300 MB they share


def test_code_that_swallows_the_interrupt_is_ended_all_the_same(store):
    swallowed = []

    def deaf():
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                _wait()
            swallowed.append(1)

    with pytest.raises(RunKilledForGood, match="used up"):
        _track(store, "0.2s", deaf)
    assert len(swallowed) == 3
    assert _ended(store) == ("KILLED", "budget of 0.2 s used up")


def test_a_block_that_swallows_it_and_ends_is_killed_and_fails(store):
    def deaf():
        with contextlib.suppress(KeyboardInterrupt):
            _wait()

    with pytest.raises(RunKilled, match="used up"):
        _track(store, "0.2s", deaf)
    assert _ended(store)[0] == "KILLED"


def test_an_error_made_of_the_interrupt_says_the_budget(store):
    def library():
        try:
            _wait()
        except KeyboardInterrupt:
            raise RuntimeError("worker lost") from None

    with pytest.raises(RuntimeError) as caught:
        _track(store, "0.2s", library)
    assert caught.value.__notes__ == ["budget of 0.2 s used up"]
    assert _ended(store)[0] == "KILLED"


def test_within_its_budget_a_block_is_left_alone(store):
    _track(store, "30s 100GB", lambda: time.sleep(0.2))
    assert _ended(store) == ("FINISHED", None)


def test_an_interrupt_of_the_user_stays_the_users(store):
    with pytest.raises(KeyboardInterrupt) as caught:
        _track(store, "30s", lambda: signal.raise_signal(signal.SIGINT))
    assert type(caught.value) is KeyboardInterrupt
    assert _ended(store)[0] == "KILLED"
    assert "KeyboardInterrupt" in _ended(store)[1]


def test_a_budget_that_ends_with_its_block_interrupts_nothing_after_it(store):
    for _ in range(20):
        with contextlib.suppress(RunKilled):
            _track(store, "0.02s", lambda: time.sleep(0.02))
        time.sleep(0.01)  # would raise here
    assert len(list_runs(store).items) == 20


def test_a_budget_that_is_used_up_at_the_very_start_leaves_no_guard_behind(store):
    # Shorter than it takes to enter the block: it falls due inside of nbmlops.
    for _ in range(20):
        with pytest.raises(RunKilled):
            _track(store, "0.000001s", _wait)
    assert {run.status for run in list_runs(store)} == {"KILLED"}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    names = [thread.name for thread in threading.enumerate()]
    assert "nbmlops-guard" not in names


def test_a_task_that_waits_is_cancelled_and_the_loop_goes_on(store):
    async def work():
        try:
            with nm.track("task", store=store, budget="0.3s"):
                await asyncio.sleep(LONG_S)
        except asyncio.CancelledError as error:
            asyncio.current_task().uncancel()
            return error.__notes__

    assert asyncio.run(work()) == ["budget of 0.3 s used up"]
    assert _ended(store)[0] == "KILLED"


def test_a_task_that_computes_is_interrupted_where_it_is(store):
    async def work():
        with nm.track("task", store=store, budget="0.3s"):
            await asyncio.sleep(0)
            time.sleep(LONG_S)

    with pytest.raises(RunKilled):
        asyncio.run(work())
    assert _ended(store)[0] == "KILLED"


def test_another_thread_is_refused_a_budget_before_a_run_is_made(store):
    caught = []

    def work():
        try:
            with nm.track("side", store=store, budget="1s"):
                pass
        except UsageError as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "main thread only" in caught[0]
    assert len(list_runs(store)) == 0


def test_bad_text_is_refused_before_a_run_is_made(store):
    with pytest.raises(UsageError, match="no budget"):
        nm.track("x", store=store, budget="soon")
    assert len(list_runs(store)) == 0


def test_each_call_of_a_decorated_function_has_the_whole_budget(store):
    @nm.track(store=store, budget="2s")
    def work(pause):
        time.sleep(pause)

    work(1.2)
    work(1.2)
    assert {run.status for run in list_runs(store)} == {"FINISHED"}
