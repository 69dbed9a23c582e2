import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_matrix, csc_matrix

from nbmlops._hashing import (
    array_digest,
    code_hash,
    frame_digest,
    list_digest,
    set_hash,
    sparse_digest,
)


def _frame():
    n = 20_000
    return pd.DataFrame(
        {
            "number": np.arange(n, dtype=float),
            "text": [f"t{i % 7}" for i in range(n)],
            "flag": np.arange(n) % 2 == 0,
            "when": pd.date_range("2026-01-01", periods=n, freq="min"),
            "kind": pd.Categorical(["a", "b"] * (n // 2)),
        }
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("number", -1.0),
        ("text", "other"),
        ("flag", True),
        ("when", pd.Timestamp("2027-01-01")),
        ("kind", "a"),
    ],
)
def test_digest_sees_one_changed_value_far_down_in_any_column(column, value):
    frame = _frame()
    before = frame_digest(frame)
    frame.loc[15_001, column] = value
    assert frame_digest(frame) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.rename(columns={"number": "n"}),
        lambda f: f.astype({"flag": int}),
        lambda f: f.iloc[::-1],
        lambda f: f[f.columns[::-1]],
        lambda f: f.iloc[:-1],
        lambda f: f.set_index("text"),
    ],
)
def test_digest_sees_names_types_order_and_index(change):
    assert frame_digest(change(_frame())) != frame_digest(_frame())


def test_digest_takes_missing_values_lists_and_empty_frames():
    odd = pd.DataFrame({"x": [np.nan, 1.0], "y": [[1], {"a": 2}], "z": [None, "t"]})
    assert frame_digest(odd) == frame_digest(odd.copy(deep=True))
    assert frame_digest(odd.head(0)) != frame_digest(odd)


def test_digests_of_other_data_see_shape_values_and_types():
    zeros = [array_digest(np.zeros(shape)) for shape in ((2, 3, 4), (4, 3, 2))]
    assert zeros[0] != zeros[1]
    assert sparse_digest(coo_matrix([[0, 1]])) == sparse_digest(csc_matrix([[0, 1]]))
    assert sparse_digest(coo_matrix([[0, 1]])) != sparse_digest(coo_matrix([[0, 2]]))
    assert list_digest([{"a": 1, "b": 2}]) == list_digest([{"b": 2, "a": 1}])
    assert list_digest([1, "1"]) != list_digest(["1", 1])


def test_hashes_of_code_see_order_and_those_of_sets_do_not():
    assert code_hash(["x = 1"]) == code_hash(["x = 1 "]) != code_hash(["x = 2"])
    assert code_hash(["x", "y"]) != code_hash(["y", "x"])
    assert set_hash(["a", "b"]) == set_hash(["b", "a"])
