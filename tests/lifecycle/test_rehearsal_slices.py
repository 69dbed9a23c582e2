"""What stands out among changed predictions is named; else there is silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nbmlops.lifecycle.rehearsal.changes import compare_predictions

N_TRIALS = 30
SHORT = 2


def applicants(seed, n=2000):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=n) for i in range(16)})
    frame["home"] = rng.choice(
        ["rent", "own", "mortgage", "other"], n, p=[0.5, 0.4, 0.07, 0.03]
    )
    frame["region"] = rng.choice([f"r{i}" for i in range(30)], n)
    frame["children"] = rng.integers(0, 6, n)
    frame["income"] = rng.lognormal(size=n)
    frame.loc[rng.random(n) < 0.05, "income"] = np.nan
    return frame, rng


def none(rows):
    return np.zeros(len(rows), dtype=bool)


def tail(rows):
    return rows.x3 > rows.x3.quantile(0.9)


def category(rows):
    return rows.home == "other"


def both(rows):
    return (rows.home == "rent") & (rows.x5 > rows.x5.quantile(0.75))


def missing(rows):
    return rows.income.isna()


FAULTS = {
    tail: ("x3",),
    category: ("home",),
    both: ("home", "x5"),
    missing: ("income",),
}


def changes(seed, where, *, share=0.4, noise=0.01, numbers=False):
    """Return what is found of a fault in some rows, and of noise in all."""
    rows, rng = applicants(seed)
    hit = np.asarray(where(rows)) & (rng.random(len(rows)) < share)
    if numbers:
        before = (2 * rows.x0 + rows.x1).to_numpy()
        after = before + noise * rng.normal(size=len(rows)) + hit
    else:
        before = np.where(rows.x0 + rows.x1 > 0, "good", "bad")
        flipped = hit | (rng.random(len(rows)) < noise)
        after = np.where(flipped, np.where(before == "good", "bad", "good"), before)
    return compare_predictions(
        rows, before.tolist(), lambda part: after[part.index].tolist()
    )


def _trials(n):
    for seed in range(n):
        for numbers in (False, True):
            equal = changes(seed, none, noise=0, numbers=numbers)
            assert (equal.different.sum(), equal.slices) == (0, ())
            elsewhere = changes(seed, none, noise=0.05, numbers=numbers)
            assert elsewhere.different.any()
            assert elsewhere.slices == ()
            for where, columns in FAULTS.items():
                found = changes(seed, where, numbers=numbers)
                assert found.slices, (seed, where)
                assert sorted(found.slices[0].columns) == sorted(columns), (seed, where)
                assert found.slices[0].p_value < 0.01


def test_planted_faults_are_named_and_equal_models_are_silent():
    _trials(SHORT)


@pytest.mark.slow
def test_thirty_planted_faults_are_named_each_time():
    _trials(N_TRIALS)


@pytest.mark.slow
def test_changes_that_have_no_place_are_silent_in_300_trials():
    """At a rate of 1 %, more than 9 of 300 have a probability of 0.1 %."""
    alarms = sum(
        bool(changes(1000 + seed, none, noise=0.1, numbers=seed % 2 == 0).slices)
        for seed in range(300)
    )
    assert alarms <= 9


def test_a_slice_says_what_it_is():
    found = changes(1, category).slices[0]
    rows, _ = applicants(1)
    assert found.name == "home = 'other'"
    assert found.n_rows == (rows.home == "other").sum()
    assert 0.25 < found.share < 0.55
    assert found.share_elsewhere < 0.03
    found = changes(1, tail).slices[0]
    assert found.name.startswith("x3 > ")
    edge = float(found.name.removeprefix("x3 > "))
    assert found.n_rows == (rows.x3 > edge).sum()
    assert changes(1, missing).slices[0].name == "income is missing"


def test_the_p_value_is_that_of_fishers_exact_test_times_the_slices():
    from scipy.stats import fisher_exact

    found = changes(2, category)
    (first, *_) = found.slices
    rows, _ = applicants(2)
    inside = (rows.home == "other").to_numpy()
    table = [
        [(found.changed & inside).sum(), (~found.changed & inside).sum()],
        [(found.changed & ~inside).sum(), (~found.changed & ~inside).sum()],
    ]
    exact = fisher_exact(table, alternative="greater").pvalue
    assert first.p_value == pytest.approx(exact * found.n_slices, rel=1e-6)


def test_a_row_that_was_sent_often_counts_once():
    rows, _ = applicants(3, 200)
    rows = pd.concat([rows, *[rows.iloc[[0]]] * 200], ignore_index=True)
    before = ["good"] * len(rows)
    after = ["bad" if n == 0 or n >= 200 else "good" for n in range(len(rows))]
    found = compare_predictions(
        rows, before, lambda part: [after[n] for n in part.index]
    )
    assert found.changed.sum() == 201
    assert found.slices == ()


def test_where_the_version_raises_is_a_slice_too():
    rows, _ = applicants(4)

    def predict(part):
        if (part.region == "r7").any():
            raise KeyError("r7")
        return ["good"] * len(part)

    found = compare_predictions(rows, ["good"] * len(rows), predict)
    assert found.failed.tolist() == (rows.region == "r7").tolist()
    (place,) = found.slices
    assert (place.name, place.what, place.share) == ("region = 'r7'", "failed", 1.0)
    assert place.share_elsewhere == 0
    (error,) = found.errors
    assert (error.message, error.n_rows) == ("KeyError: 'r7'", found.failed.sum())
    assert error.row == rows.index[rows.region == "r7"][0]
    assert not found.changed.any()


def test_a_version_that_always_raises_is_asked_a_bounded_number_of_times():
    rows, _ = applicants(5, 5000)
    calls = []

    def predict(part):
        calls.append(len(part))
        raise ValueError("no")

    found = compare_predictions(rows, ["good"] * len(rows), predict)
    assert found.failed.all()
    assert len(calls) < 2100


@pytest.mark.parametrize(
    ("before", "after", "kind", "n_different"),
    [
        (["a", "b", None], ["a", "a", None], "classes", 1),
        ([True, False], [True, True], "classes", 1),
        ([0, 1, 1], [0, 1, 0], "classes", 1),
        ([1.0, 2.0], [1, 2], "classes", 0),
        ([1.5, 2.0, float("nan")], [1.5, 2.0, None], "numbers", 0),
        ([1.5, 2.0], [1.5 + 1e-13, 2.0], "numbers", 0),
        ([1.5, 2.0, 3.0], [1.5, None, 3.0], "numbers", 1),
        ([1.5, 2.0, 3.0], [1.5, 2.1, 3.0], "numbers", 1),
    ],
)
def test_classes_are_equal_or_not_and_numbers_differ(before, after, kind, n_different):
    rows = pd.DataFrame({"x": range(len(before))})
    found = compare_predictions(rows, before, lambda part: [after[n] for n in part.x])
    assert (found.kind, found.different.sum()) == (kind, n_different)


def test_the_shift_is_that_of_the_differences():
    rows = pd.DataFrame({"x": np.arange(1000.0)})
    before = (rows.x / 7).tolist()
    found = compare_predictions(rows, before, lambda part: (part.x / 7 + 2.5).tolist())
    assert found.shift.mean == pytest.approx(2.5)
    assert found.shift.quantiles == pytest.approx((2.5,) * 5)
    assert found.shift.mean_after - found.shift.mean_before == pytest.approx(2.5)
    assert found.changed.all()
    assert found.slices == ()


def test_columns_of_all_kinds_can_name_a_slice():
    rng = np.random.default_rng(1)
    n = 1000
    moments = pd.date_range("2026-01-01", periods=n, freq="h")
    rows = pd.DataFrame(
        {
            "when": moments.where(rng.random(n) > 0.02),
            "flag": rng.random(n) < 0.1,
            "maybe": pd.array(rng.choice([1, 2], n), dtype="Int64"),
            "list": [[1, 2]] * n,
            "constant": 1,
            "gaps": np.nan,
        }
    )
    before = ["a"] * n
    for name, where in (
        ("flag = True", rows.flag),
        ("when > 2026-02-", rows.when > "2026-02-07 12:00"),
    ):
        after = np.where(where & (rng.random(n) < 0.5), "b", "a")
        found = compare_predictions(
            rows, before, lambda p, a=after: a[p.index].tolist()
        )
        assert found.slices[0].name.startswith(name)
