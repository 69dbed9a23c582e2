import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbmlops.entities import Column
from nbmlops.errors import UsageError
from nbmlops.scoring.request import Table, read_request
from nbmlops.scoring.rows import to_rows
from nbmlops.scoring.signature import InputSpec


def taking(*columns, kind="frame", **dtypes):
    return InputSpec(kind=kind, columns=columns, dtypes=dtypes)


def optional(name, type):
    return Column(name=name, type=type, is_required=False)


def convert(values, type, *, is_required=True, is_text=False):
    table = Table(names=("x",), columns=(values,), is_text=is_text)
    column = Column(name="x", type=type, is_required=is_required)
    return to_rows(table, taking(column))["x"]


def test_the_frame_has_the_columns_of_the_signature_in_their_order():
    table = read_request(b'{"inputs": {"b": ["x"], "a": [1]}}', "application/json")
    columns = Column(name="a", type="double"), Column(name="b", type="string")
    frame = to_rows(table, taking(*columns))
    assert list(frame.columns) == ["a", "b"]
    assert frame.a.dtype == np.float64
    assert frame.b.tolist() == ["x"]


@pytest.mark.parametrize(
    ("type", "values", "dtype"),
    [
        ("double", [1, 2.5], "float64"),
        ("double", [2**53, 1e308], "float64"),
        ("float", [0.5, 3], "float32"),
        ("long", [3.0, -(2**63)], "int64"),
        ("long", [2**63 - 1], "int64"),
        ("integer", [2**31 - 1], "int32"),
        ("long", [2.5, 1], "float64"),
        ("integer", [2.5], "float64"),
        ("boolean", [True, False], "bool"),
        ("string", ["", "é\u0000😀"], None),
        ("any", [1, 2], "int64"),
    ],
)
def test_what_fits_arrives_as_it_was_sent(type, values, dtype):
    found = convert(values, type)
    assert found.tolist() == values
    assert dtype is None or found.dtype == dtype


@pytest.mark.parametrize(
    ("type", "value"),
    [
        ("double", "0.2"),
        ("double", True),
        ("double", float("inf")),
        ("double", 10**400),
        ("double", 2**53 + 1),
        ("double", [1]),
        ("double", {}),
        ("float", 1e300),
        ("long", float("-inf")),
        ("long", True),
        ("long", "3"),
        ("long", 2**63),
        ("integer", 2**31),
        ("boolean", 1),
        ("boolean", "true"),
        ("string", 1),
        ("string", ["a"]),
        ("datetime", "yesterday"),
        ("datetime", 20260101),
        ("any", [1]),
    ],
)
def test_a_value_that_would_be_changed_is_refused_with_its_place(type, value):
    with pytest.raises(UsageError, match="Row 1, column 'x': ") as refused:
        convert([None, value], type, is_required=False)
    assert type in refused.value.fix


@pytest.mark.parametrize("gap", [None, float("nan")])
@pytest.mark.parametrize(
    "type", ["double", "float", "long", "boolean", "string", "datetime", "any"]
)
def test_a_gap_is_taken_where_training_had_gaps_and_refused_elsewhere(type, gap):
    assert convert([gap, gap], type, is_required=False).isna().all()
    with pytest.raises(UsageError, match="Row 0, column 'x': the value is missing"):
        convert([gap], type)


def test_a_text_gap_is_the_one_pandas_reads_from_a_file():
    found = convert(["a", None], "string", is_required=False)
    assert found.dtype == pd.Series(["a"]).dtype
    assert isinstance(found[1], float)


def test_times_are_read_and_brought_to_utc():
    found = convert(["2026-01-02", "2026-01-02T03:00:00+02:00"], "datetime")
    assert found.tolist() == [
        pd.Timestamp("2026-01-02"),
        pd.Timestamp("2026-01-02 01:00"),
    ]


@pytest.mark.parametrize(
    ("type", "text", "expected"),
    [
        ("double", "1e3", 1000.0),
        ("double", "7", 7.0),
        ("long", "-12", -12),
        ("long", "3.0", 3),
        ("boolean", "True", True),
        ("string", "NA", "NA"),
        ("string", "007", "007"),
    ],
)
def test_csv_text_is_read_by_the_type_of_its_column(type, text, expected):
    assert convert([text], type, is_text=True).tolist() == [expected]


@pytest.mark.parametrize(
    ("type", "text"),
    [("double", "1_000"), ("double", "x"), ("long", "3,5"), ("boolean", "yes")],
)
def test_csv_text_that_is_not_of_the_type_is_refused(type, text):
    with pytest.raises(UsageError, match="Row 0, column 'x'"):
        convert([text], type, is_text=True)


def test_a_misspelt_column_names_the_nearest():
    table = Table(names=("Agee",), columns=((1,),))
    with pytest.raises(UsageError, match=r"'Agee'\. Did you mean 'Age'") as refused:
        to_rows(table, taking(Column(name="Age", type="double")))
    assert refused.value.fix == "Send these columns: Age."


def test_a_missing_column_is_named_and_an_optional_one_is_filled():
    columns = Column(name="a", type="double"), optional("b", "double")
    with pytest.raises(UsageError, match="'a' is missing"):
        to_rows(Table(names=("b",), columns=((1,),)), taking(*columns))
    frame = to_rows(Table(names=("a",), columns=((1, 2),)), taking(*columns))
    assert frame.b.isna().tolist() == [True, True]
    table = read_request(b"a\n1\n", "text/csv")
    assert to_rows(table, taking(*columns)).b.isna().tolist() == [True]


def test_a_column_sent_twice_is_refused():
    table = Table(names=("a", "a"), columns=((1,), (2,)))
    with pytest.raises(UsageError, match="'a' is there twice"):
        to_rows(table, taking(Column(name="a", type="double")))


def test_rows_without_names_are_taken_for_one_column_only():
    one = taking(Column(name="a", type="string"))
    assert to_rows(Table(names=None, columns=(("x",),)), one).a.tolist() == ["x"]
    two = taking(Column(name="a", type="double"), Column(name="b", type="double"))
    with pytest.raises(UsageError, match="without column names"):
        to_rows(Table(names=None, columns=((1,), (2,))), two)


def test_a_model_of_arrays_gets_an_array_and_decides_on_gaps_itself():
    arrays = taking(optional("0", "double"), optional("1", "double"), kind="array")
    found = to_rows(Table(names=None, columns=((1, None), (2, 4.5))), arrays)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, [[1, 2], [np.nan, 4.5]])
    with pytest.raises(UsageError, match="Rows have 1 values, the model takes 2"):
        to_rows(Table(names=None, columns=((1,),)), arrays)
    with pytest.raises(UsageError, match="Row 0, column '1'"):
        to_rows(Table(names=None, columns=((1,), ("2",))), arrays)


def test_a_model_of_texts_gets_a_flat_array():
    table = Table(names=None, columns=(("x", "y"),))
    found = to_rows(table, taking(optional("0", "string"), kind="vector"))
    assert found.shape == (2,)


CELL = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@settings(max_examples=300, deadline=None)
@given(st.lists(CELL | st.lists(st.integers(), max_size=1), min_size=1, max_size=4))
def test_no_number_is_ever_changed_on_its_way(values):
    body = json.dumps({"inputs": {"x": values}}).encode()
    table = read_request(body, "application/json")
    for type in ("double", "long", "boolean", "string", "datetime", "any"):
        try:
            found = to_rows(table, taking(optional("x", type)))["x"]
        except UsageError:
            continue
        for sent, arrived in zip(values, found, strict=True):
            is_gap = sent is None or sent != sent
            assert pd.isna(arrived) if is_gap else type == "datetime" or arrived == sent
