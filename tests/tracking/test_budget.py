import pytest

from nbmlops.errors import UsageError
from nbmlops.tracking.resources.budget import Budget, parse_budget


@pytest.mark.parametrize(
    ("words", "budget"),
    [
        ("90s", Budget(wall_s=90)),
        ("1.5m", Budget(wall_s=90)),
        ("2h", Budget(wall_s=7200)),
        ("2GB", Budget(memory_bytes=2 * 10**9)),
        ("1GiB", Budget(memory_bytes=2**30)),
        (["500mb", "15min"], Budget(memory_bytes=5 * 10**8, wall_s=900)),
        ("90s 2GB", Budget(wall_s=90, memory_bytes=2 * 10**9)),
        ((), None),
    ],
)
def test_times_and_amounts_of_memory_are_read(words, budget):
    assert parse_budget(words) == budget


@pytest.mark.parametrize("words", ["soon", "90", "s", "-1s", "0s", "2GBs", "1e3s", "é"])
def test_what_is_no_budget_is_named(words):
    with pytest.raises(UsageError, match=f"'{words}' is no budget"):
        parse_budget(words)


@pytest.mark.parametrize("words", ["90s 2h", "1GB 500MB"])
def test_the_same_twice_is_refused(words):
    with pytest.raises(UsageError, match="is a second"):
        parse_budget(words)


def test_nothing_is_said_within_the_budget():
    budget = Budget(wall_s=90, memory_bytes=10**9)
    assert budget.excess(89.9, 10**9) is None
    assert budget.excess(90, 0) == "budget of 90 s used up"
    assert budget.excess(0, 1_234_000_000) == "budget of 1 GB: 1.2 GB used"


def test_a_budget_below_what_is_held_already_is_refused():
    with pytest.raises(UsageError, match=r"holds .* already, more than .* 5 MB"):
        Budget(memory_bytes=5_000_000).check_memory()
