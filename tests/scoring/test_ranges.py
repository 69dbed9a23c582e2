import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression

from nbmlops.errors import UsageError
from nbmlops.scoring.ranges import RangeCheck, find_ranges
from nbmlops.scoring.request import Table
from nbmlops.scoring.rows import to_rows
from nbmlops.scoring.signature import read_input_spec, read_mlmodel
from nbmlops.store.models.files import save_model

NUMBERS = pd.DataFrame({"age": [18, 40, 65], "pay": [0.5, np.nan, 90.25]})


def saved(model, rows, folder):
    save_model(model.fit(rows, [0, 1, 1]), folder, rows)
    return read_input_spec(read_mlmodel(folder))


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    model = HistGradientBoostingClassifier(categorical_features="from_dtype")
    rows = NUMBERS.assign(city=pd.Categorical(["Rom", "Oslo", "Rom"]))
    return saved(model, rows, tmp_path_factory.mktemp("model"))


def request(**columns):
    return Table(names=tuple(columns), columns=tuple(columns.values()))


def test_ranges_of_training_are_stored_with_the_model(spec):
    assert spec.ranges == {"age": (18, 65), "pay": (0.5, 90.25)}
    assert [type(end) for end in spec.ranges["age"]] == [int, int]


def test_what_training_did_not_have_passes_and_is_counted(spec):
    unseen = Counter()
    table = request(
        age=[17, 18, 65, 66], pay=[None, 91, 0, 1], city=["Rom", "x", "y", None]
    )
    frame = to_rows(table, spec, unseen=unseen)
    assert unseen == {"out_of_range": 4, "unseen_category": 2}
    assert frame.age.tolist() == [17, 18, 65, 66]
    assert frame.city.tolist()[:3] == ["Rom", "x", "y"]
    many = request(age=[17] * 50, pay=[None] * 50, city=["x"] * 50)
    to_rows(many, spec, unseen=unseen)
    assert unseen == {"out_of_range": 54, "unseen_category": 52}


def test_what_training_had_counts_nothing(spec):
    unseen = Counter()
    table = request(age=[18, 65], pay=[0.5, 90.25], city=["Rom", None])
    to_rows(table, spec, unseen=unseen)
    assert not unseen


def test_by_setting_it_is_refused_with_its_place(spec):
    table = request(age=[17, 40], pay=["x", 91], city=["Oslo", "oslo"])
    strict = replace(spec, unseen_category="refuse", out_of_range="refuse")
    with pytest.raises(UsageError) as refused:
        to_rows(table, strict, unseen=Counter())
    found = {(each["row"], each["column"]): each for each in refused.value.faults}
    assert [*found] == [(0, "age"), (0, "pay"), (1, "pay"), (1, "city")]
    ranges = "is out of the range of the training data"
    assert found[0, "age"]["problem"] == f"17 {ranges}"
    assert found[1, "pay"]["problem"] == f"91 {ranges}"
    unseen = "'oslo' is not a category of the training data"
    assert found[1, "city"]["problem"] == unseen
    assert "Send a number from 18 to 65." in refused.value.fix
    table = request(age=[18], pay=[1], city=["Oslo"])
    assert len(to_rows(table, strict)) == 1
    table = request(age=[17], pay=[1], city=["x"])
    with pytest.raises(UsageError, match="2 faults"):
        to_rows(table, strict)


def test_a_number_of_32_bits_is_within_its_own_range(tmp_path):
    rows = pd.DataFrame({"x": np.array([0.1, 0.2, 0.3], dtype="float32")})
    spec = replace(saved(LinearRegression(), rows, tmp_path), out_of_range="refuse")
    assert to_rows(request(x=[0.1, 0.3]), spec).x.tolist() == rows.x.tolist()[::2]


@pytest.mark.parametrize("n_rows", [1, 100])
def test_an_array_is_checked_column_by_column_or_at_once(tmp_path, n_rows):
    rows = np.array([[1.0, -2.0], [3.0, 2.0], [2.0, 0.0]])
    spec = saved(LinearRegression(), rows, tmp_path)
    assert spec.ranges == {"0": (1, 3), "1": (-2, 2)}
    unseen = Counter()
    table = Table(names=None, columns=((1, 4)[:1] * n_rows, (2.5,) * n_rows))
    array = to_rows(table, spec, unseen=unseen)
    assert unseen["out_of_range"] == RangeCheck(spec).count(array) == n_rows
    gap = np.full((1, 2), np.nan)
    assert RangeCheck(spec).count(gap) == 0
    assert RangeCheck(replace(spec, ranges={})).count(array * 1e300) == 0


def test_ranges_are_numbers_of_each_kind_and_of_nothing_else():
    frame = pd.DataFrame(
        {
            "id": [2**60 + 1, 1, 2],
            "nullable": pd.array([1, None, 2], dtype="Int64"),
            "objects": np.array([1, None, 2**70], dtype=object),
            "single": np.array([0.5, 1, 2], dtype="float32"),
            "infinite": [np.inf, 1, 2],
            "gaps": [np.nan] * 3,
            "text": ["1", "2", "3"],
            "flag": [True, False, True],
            "flags": np.array([True, None, 1], dtype=object),
            "time": pd.to_datetime(["2026"] * 3),
            "category": pd.Categorical([1, 2, 1]),
        }
    )
    assert find_ranges(frame) == {
        "id": [1, 2**60 + 1],
        "nullable": [1, 2],
        "objects": [1, 2**70],
        "single": [0.5, 2],
        "infinite": [1, 2],
    }
    assert find_ranges(np.array([["a", 1], ["b", 2.5]], dtype=object)) == {
        "1": [1, 2.5]
    }
    assert (
        find_ranges(pd.Series([3, 1])) == find_ranges(np.array([3, 1])) == {"0": [1, 3]}
    )
    assert find_ranges(pd.Series(["a"])) == find_ranges([{"a": 1}]) == {}
    assert find_ranges(scipy.sparse.eye(3).tocsr()) == {}
    assert find_ranges(np.zeros((3, 1001))) == {}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats() | st.integers(-(2**62), 2**62)] * 2), min_size=1)
)
def test_no_number_of_the_training_data_is_out_of_its_range(rows):
    for table in (
        np.array(rows, dtype=float),
        np.array(rows, dtype=object),
        pd.DataFrame(rows, columns=["0", "1"]),
    ):
        found = find_ranges(table)
        for i in (0, 1):
            column = np.asarray(table)[:, i].astype(float)
            finite = column[np.isfinite(column)]
            assert bool(len(finite)) == (str(i) in found)
            if len(finite):
                assert found[str(i)] == [finite.min(), finite.max()]


def test_ranges_of_a_model_file_that_are_none_are_passed_over():
    types = {"age": "long", "n": "string"}
    inputs = [{"name": name, "type": each} for name, each in types.items()]
    document = {
        "signature": {"inputs": json.dumps(inputs)},
        "metadata": {"nbmlops.ranges": {"age": [0, 9], "n": [0, 1], "x": [1, 2]}},
    }
    assert read_input_spec(document).ranges == {"age": (0, 9)}
    for stated in (
        None,
        3,
        {"age": 3},
        {"age": [1]},
        {"age": ["a", "b"]},
        {"age": [True, 2]},
    ):
        document["metadata"]["nbmlops.ranges"] = stated
        assert read_input_spec(document).ranges == {}
