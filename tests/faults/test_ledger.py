"""The count of lost and doubled values finds each kind of fault, and only that."""

import pytest
from mlflow.entities import Metric

from tests.faults.ledger import METRIC, Ledger, Tally, value_of

ALL = (0, 1, 2)


def _put(store, name, steps=ALL, *, at=1, status="FINISHED"):
    """Store a run as a logger would have."""
    run_id = store.client.create_run("0", run_name=name).info.run_id
    metrics = [Metric(METRIC, value_of(name, step), at, step) for step in steps]
    store.client.log_batch(run_id, metrics=metrics)
    if status != "RUNNING":
        store.client.set_terminated(run_id, status)
    return run_id


def _ledger(name="it", acknowledged=ALL, refused=()):
    ledger = Ledger()
    ledger.note(name, "open")
    for word, steps in (("ack", acknowledged), ("no", refused)):
        for step in steps:
            ledger.note(name, word, str(step))
    return ledger


def test_run_with_all_it_acknowledged_has_no_fault(store):
    _put(store, "it")
    tally = _ledger().compare(store.uri)
    assert tally == Tally(runs=1, acknowledged=3)
    assert tally.faults == {}


def test_value_that_was_under_way_or_refused_may_be_there_or_not(store):
    _put(store, "it", (0, 1, 2, 3, 5, 6))
    ledger = _ledger(refused=(3, 4, 5))
    assert ledger.compare(store.uri) == Tally(runs=1, acknowledged=3, refused=3)


@pytest.mark.parametrize(
    ("stored", "faults"),
    [
        ((0, 2), {"lost": 1}),
        ((), {"lost": 3}),
        ((0, 1, 2, 3, 4), {"unexplained": 1}),
    ],
)
def test_value_too_few_and_value_too_many_are_counted(store, stored, faults):
    _put(store, "it", stored)
    assert _ledger().compare(store.uri).faults == faults


def test_value_that_is_there_twice_or_differs_is_counted(store):
    run_id = _put(store, "it")
    again = [Metric(METRIC, value_of("it", 1), 2, 1), Metric(METRIC, 0.5, 3, 2)]
    store.client.log_batch(run_id, metrics=again)
    assert _ledger().compare(store.uri).faults == {"twice": 2, "unexplained": 1}


def test_run_that_is_missing_is_counted_with_its_values(store):
    assert _ledger().compare(store.uri).faults == {"missing": 1, "lost": 3}


def test_twin_and_running_run_are_counted(store):
    _put(store, "it")
    _put(store, "it", (), status="RUNNING")
    assert _ledger().compare(store.uri).faults == {"twins": 1, "running": 1}


def test_tallies_add_up():
    assert Tally(runs=1, lost=2) + Tally(lost=1) == Tally(runs=1, lost=3)
