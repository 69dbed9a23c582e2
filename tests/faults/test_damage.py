"""Damaged journals: what is good arrives, what is not is named, nothing is wrong."""

import pytest

from tests.faults.damage import damage_journals

SEED = 20261130


def test_damaged_journals_lose_no_good_record_and_send_no_wrong_one(store):
    tally = damage_journals(store, 50, SEED)
    assert tally.good > 4000
    assert tally.damaged > 500
    assert tally.faults == {}


@pytest.mark.slow
def test_a_thousand_damaged_journals_lose_no_good_record(store):
    tally = damage_journals(store, 1000, SEED)
    assert tally.faults == {}
