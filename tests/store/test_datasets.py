"""What is recorded of data: a digest of its kind, and nothing of it changed."""

import copy
import decimal
import json
import random
import types
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from hypothesis.extra import pandas as frames_of
from sklearn.base import BaseEstimator

from nbmlops.errors import UsageError
from nbmlops.scoring.inference import record_example
from nbmlops.store.datasets import describe


def digest_of(data):
    return describe(data, name="d")[0]["digest"]


EYE = scipy.sparse.csr_matrix(np.eye(3))
UNSORTED = scipy.sparse.csr_matrix(
    (np.array([2.0, 1, 0, 3]), np.array([2, 0, 1, 1]), np.array([0, 3, 4, 4])), (3, 3)
)
SORTED = scipy.sparse.csr_matrix([[1.0, 0, 2], [0, 3, 0], [0, 0, 0]])
IMAGES = np.arange(24.0).reshape(2, 3, 4)
TWINS = pd.DataFrame([[1, "x"], [2, "y"]], columns=["a", "a"])


@pytest.mark.parametrize(
    "kinds",
    [
        (EYE, 2 * EYE, EYE.astype("float32"), EYE[:2], EYE[::-1], EYE.toarray()),
        (UNSORTED, scipy.sparse.csr_matrix((3, 3)), EYE),
        (IMAGES, IMAGES + 1, IMAGES.astype("float32"), IMAGES.reshape(4, 3, 2)),
        (["a", "b"], ["b", "a"], ["a", "b", "b"], [["a", "b"]], ["ab"]),
        ([1, "1"], ["1", 1], [1, 1], [1.0, "1"], [True, "1"]),
        ([{"a": 1}], [{"a": 1, "b": None}], [{"b": 1}], [{"a": 1.5}],
         [{"a": {"a": 1}}]),
        ([{1: "a"}], [{"1": "a"}], [{1.5: "a"}]),
        (pd.DataFrame({"x": [1, "1"]}), pd.DataFrame({"x": ["1", 1]}),
         pd.DataFrame({"x": [1, True]}, dtype=object)),
        (pd.DataFrame({"x": [np.zeros(2000), 1]}),
         pd.DataFrame({"x": [np.r_[np.zeros(999), 1, np.zeros(1000)], 1]})),
        (TWINS, TWINS.iloc[:, ::-1], TWINS.iloc[::-1],
         TWINS.set_axis(["a", "b"], axis=1)),
        ([decimal.Decimal("0.1")], [decimal.Decimal("0.10")], [0.1], ["0.1"]),
    ],
)  # fmt: skip
def test_what_differs_in_one_value_type_order_or_name_has_another_digest(kinds):
    digests = [digest_of(data) for data in kinds]
    assert len(set(digests)) == len(kinds)
    assert [digest_of(copy.deepcopy(data)) for data in kinds] == digests
    assert all(len(digest) == 32 for digest in digests)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (EYE, EYE.tocsc()),
        (EYE, EYE.tocoo()),
        (EYE, scipy.sparse.csr_array(EYE)),
        (UNSORTED, SORTED),
        ([{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
        ([{1, 2}], [{2, 1}]),
        ([1.0, float("nan")], [1.0, None]),
        ([np.float64(0.5), np.int64(2)], [0.5, 2]),
        (IMAGES, np.asfortranarray(IMAGES)),
        (pd.Series([1.0, 2], name="x"), pd.DataFrame({"x": [1.0, 2]})),
        (np.array([[1.0, 2]]), pd.DataFrame([[1.0, 2.0]])),
    ],
)
def test_what_is_equal_has_one_digest(one, other):
    assert digest_of(one) == digest_of(other)


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (EYE, (3, 3)),
        (IMAGES, (2, 3, 4)),
        (["a", "b"], (2, 1)),
        ([[1, 2, 3]], (1, 3)),
        ([{"a": 1}, {"b": 2}], (2, 2)),
        ([], (0, 1)),
        (TWINS, (2, 2)),
        ({"a": [1, 2]}, (2, 1)),
        (np.arange(3), (3, 1)),
        (pd.DataFrame(np.zeros((1, 30_000))), (1, 30_000)),
    ],
)
def test_the_profile_tells_rows_and_columns_and_mlflow_takes_the_schema(data, shape):
    described, found = describe(data, name="d")
    assert found == shape
    profile = json.loads(described["profile"])
    assert (profile["num_rows"], profile["num_elements"]) == (
        shape[0],
        int(np.prod(shape)),
    )
    assert len(described["schema"]) < 1_048_575
    assert json.loads(described["schema"])


@pytest.mark.parametrize("make", [iter, lambda rows: (row for row in rows), enumerate])
def test_what_reading_would_use_up_is_refused_and_left_alone(make):
    rows = make([[1.0], [2.0]])
    with pytest.raises(UsageError, match=f"a {type(rows).__name__}: reading it would"):
        describe(rows, name="rows")
    assert len(list(rows)) == 2


class Lazy:
    """Rows that are made when they are asked for, as a loader of images has them."""

    def __iter__(self):
        raise AssertionError("it was read")


def holding_itself():
    rows = []
    rows.append(rows)
    return rows


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (Lazy(), "a Lazy, not a table"),
        ("text", "a str, not a table"),
        (3, "a int, not a table"),
        ({1, 2}, "a set, not a table"),
        (np.array(3.0), "a ndarray, not a table"),
        ({"a": [1], "b": [1, 2]}, "a dict, not a table"),
        (types.SimpleNamespace(a=1), "a SimpleNamespace, not a table"),
        ([object()], "objects of type object"),
        (pd.DataFrame({"x": [len, object()]}), "objects of type object"),
        (holding_itself(), "holds itself"),
    ],
)
def test_what_has_no_digest_is_refused_by_name(data, expected):
    with pytest.raises(UsageError, match=f"Dataset 'd'.* {expected}"):
        describe(data, name="d")


class Drawing(BaseEstimator):
    """Draws its predictions, as some do, from the user's random numbers."""

    def predict(self, rows):
        n_rows = rows.shape[0] if hasattr(rows, "shape") else len(rows)
        return [random.random() + np.random.random() for _ in range(n_rows)]  # noqa: S311


CELLS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
DTYPES = ("float64", "float32", "int64", "int16", "bool", "datetime64[ns]", "U3")
FRAMES = frames_of.data_frames(
    [
        frames_of.column("a", dtype="float64"),
        frames_of.column("b", elements=st.none() | st.text(max_size=3)),
        frames_of.column("c", elements=CELLS, dtype=object),
        frames_of.column("d", dtype="int64"),
        frames_of.column("e", elements=st.sampled_from("uv")),
    ],
    index=frames_of.range_indexes(max_size=8),
).map(lambda frame: frame.astype({"e": "category"}))
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays_of.arrays(
        dtype, arrays_of.array_shapes(max_dims=3, max_side=4)
    )
)
MATRICES = st.builds(
    lambda values, form: form(values),
    arrays_of.arrays("float64", (3, 4), elements=st.sampled_from([0.0, 1.0, -2.5])),
    st.sampled_from(
        [
            getattr(scipy.sparse, f"{form}_{kind}")
            for form in ("csr", "csc", "coo", "lil", "dok")
            for kind in ("matrix", "array")
        ]
    ),
)
LISTS = st.lists(CELLS | st.dictionaries(st.text(max_size=2), CELLS), max_size=6)
DATA = FRAMES | FRAMES.map(lambda f: f["c"]) | ARRAYS | MATRICES | LISTS


def state_of(data):
    """Return all there is to see of data, as it is kept, for comparing."""
    if isinstance(data, pd.DataFrame):
        columns = [state_of(data.iloc[:, i]) for i in range(data.shape[1])]
        return repr(data.columns), repr(data.index), data.attrs, columns
    if isinstance(data, pd.Series):
        cells = [(type(value), repr(value)) for value in data.tolist()]
        return data.dtype, data.name, cells
    if isinstance(data, np.ndarray):
        return data.dtype, data.shape, data.strides, data.tobytes()
    if hasattr(data, "tocsr"):
        kept = vars(data).items()
        return type(data), repr(data), [(key, state_of(value)) for key, value in kept]
    return repr(data)


@settings(max_examples=60, deadline=None)
@given(DATA)
def test_recording_changes_nothing_of_the_users(data):
    before = state_of(data)
    states = random.getstate(), np.random.get_state()
    for record in (
        lambda: describe(data, name="d"),
        lambda: record_example(Drawing(), data),
    ):
        with suppress(UsageError):  # of data without rows
            record()
        assert state_of(data) == before
    assert random.getstate() == states[0]
    for mine, kept in zip(np.random.get_state(), states[1], strict=True):
        np.testing.assert_array_equal(mine, kept)
