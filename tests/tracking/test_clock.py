"""A clock that is set back: order and durations stay as they are."""

import sys
import time
from datetime import datetime, timedelta

import pytest

import nbmlops as nm
from nbmlops.store.runs import runs
from nbmlops.store.runs.queries import get_run, list_runs
from nbmlops.store.runs.resolve import resolve_run
from nbmlops.tracking.journal import clock
from nbmlops.tracking.run.deferred import DeferredRun

HOUR_MS = 3_600_000


class _Shifted(datetime):
    by = timedelta(0)

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.by


@pytest.fixture
def shift(monkeypatch):
    """Return what sets the clock of the system back or forth by milliseconds."""
    real_ns, real = time.time_ns, time.time
    for name, module in list(sys.modules.items()):
        if name.startswith("nbmlops.") and getattr(module, "datetime", 0) is datetime:
            monkeypatch.setattr(module, "datetime", _Shifted)

    def by(ms):
        monkeypatch.setattr(_Shifted, "by", timedelta(milliseconds=ms))
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + ms * 1_000_000)
        monkeypatch.setattr(time, "time", lambda: real() + ms / 1000)

    return by


def _track(store, name):
    with nm.track(name, store=store) as run:
        run.log(loss=1.0)
    return run.run_id


def test_latest_is_the_run_that_began_last_though_the_clock_went_back(store, shift):
    _track(store, "first")
    shift(-HOUR_MS)
    _track(store, "second")
    assert resolve_run(store, "latest", experiment="my project").name == "second"
    assert nm.runs().frame()["name"].tolist() == ["second", "first"]
    third = _track(store, "third")
    assert resolve_run(store, "latest", experiment="my project").run_id == third


def test_another_process_knows_of_the_clock_that_went_back(store, shift):
    _track(store, "first")
    clock._latest.clear()  # as in a process that has opened none
    shift(-HOUR_MS)
    _track(store, "second")
    assert resolve_run(store, "latest", experiment="my project").name == "second"


def test_run_lasts_what_it_lasted_whatever_the_clock_does(store, shift):
    with nm.track("it", store=store) as run:
        run.log(step=0, loss=1.0)
        shift(-HOUR_MS)
        run.log(step=1, loss=2.0)
    found = get_run(store, run.run_id)
    assert 0 <= (found.ended_at - found.started_at).total_seconds() < 1000
    first, second = store.client.get_metric_history(run.run_id, "loss")
    assert first.timestamp <= second.timestamp
    with nm.track("it", store=store) as run:
        shift(HOUR_MS)
    found = get_run(store, run.run_id)
    assert 0 <= (found.ended_at - found.started_at).total_seconds() < 1000


def test_run_that_others_end_does_not_end_before_it_began(store, shift):
    made = runs.create_run(store, name="it", experiment="e")
    shift(-HOUR_MS)
    runs.end_run(store, made, "FAILED")
    found = get_run(store, made)
    assert found.ended_at >= found.started_at


def test_fits_of_a_cell_begin_and_end_within_it(store, shift):
    from sklearn.linear_model import Ridge

    with nm.track("it", store=store, autolog=True) as run:
        shift(-HOUR_MS)
        for _ in range(2):
            Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    nm.sync(store)
    (cell,) = [each for each in list_runs(store) if each.run_id == run.run_id]
    fits = [each for each in list_runs(store) if each.parent_run_id == run.run_id]
    assert len(fits) == 2
    for fit in fits:
        assert cell.started_at <= fit.started_at <= fit.ended_at


def test_clock_that_was_years_ahead_and_was_set_right_counts_from_now_on(store, shift):
    shift(1000 * 24 * HOUR_MS)
    DeferredRun(store, name="ahead", experiment="e", kind="step", source="s")
    shift(0)
    assert clock.start_ms(store.settings.home) <= time.time() * 1000


def test_damaged_file_of_the_last_start_is_passed_over(store):
    home = store.settings.home
    _track(store, "it")
    first = clock.start_ms(home)
    path = home / "tracking" / "clock"
    for content in (b"", b"\0" * 64, path.read_bytes()[:-9] + b"99999999\n"):
        path.write_bytes(content)
        clock._latest.clear()
        assert first < clock.start_ms(home) + 1 < time.time() * 1000 + HOUR_MS
