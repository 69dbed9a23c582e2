"""What is read fast is what the reader of all requests reads."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbmlops.entities import Column
from nbmlops.errors import UsageError
from nbmlops.scoring.request import Table, read_request
from nbmlops.scoring.rows import to_rows
from nbmlops.scoring.signature import InputSpec
from nbmlops.serving.fast_reader import FastReader

NAMES = ("a", "b:c", "d")


def spec_of(kind="frame", types=("double", "long", "double"), required=True):
    columns = tuple(
        Column(name=name, type=each, is_required=required)
        for name, each in zip(NAMES, types, strict=True)
    )
    return InputSpec(kind=kind, columns=columns)


def slowly(body, spec):
    try:
        table = read_request(body, "application/json", kind=spec.kind)
        return np.asarray(to_rows(table, spec), dtype=float), table.output
    except UsageError:
        return None


ROW = {"a": 1.5, "b:c": 2, "d": -3}
LIST = [1.5, 2, -3]
SPLIT = {"columns": list(NAMES), "data": [LIST, LIST]}


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": {**SPLIT, "index": [0, 1]}},
        {"dataframe_split": {"columns": ["d", "a", "b:c"], "data": [[1, 2, 3]]}},
        {"dataframe_records": [ROW, dict(reversed(ROW.items()))]},
        {"instances": [ROW]},
        {"inputs": [ROW], "params": {"output": "probabilities"}},
        {"inputs": [ROW], "params": {}},
    ],
)
def test_a_request_of_numbers_is_read_fast(document):
    body = json.dumps(document).encode()
    array, output = FastReader(spec_of()).read(body)
    expected, expected_output = slowly(body, spec_of())
    assert array.tolist() == expected.tolist()
    assert output == expected_output


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"inputs": [{"a": 1, "b:c": 2, "d": 3, "a": 4}]}',
        '{"inputs": [{"a": 1, "b:c": 2}]}',
        '{"inputs": [{"a": 1, "b:c": 2, "d": 3, "e": 4}]}',
        '{"inputs": [{"a": "1", "b:c": 2, "d": 3}]}',
        '{"inputs": [{"a": true, "b:c": 2, "d": 3}]}',
        '{"inputs": [{"a": null, "b:c": 2, "d": 3}]}',
        '{"inputs": [{"a": 1e999, "b:c": 2, "d": 3}]}',
        '{"inputs": [{"a": NaN, "b:c": 2, "d": 3}]}',
        '{"inputs": [{"a": 9007199254740993, "b:c": 2, "d": 3}]}',
        '{"inputs": [[1, 2, 3]]}',
        '{"inputs": [], "instances": []}',
        '{"inputs": [{"a": 1, "b:c": 2, "d": 3}], "instances": [[1]]}',
        '{"dataframe_split": {"columns": ["a", "a", "d"], "data": [[1, 2, 3]]}}',
        '{"dataframe_split": {"columns": ["a", "b:c", "d"], "data": [[1, 2]]}}',
        '{"dataframe_split": {"data": [[1, 2, 3]]}}',
        '{"inputs": [{"a": 1, "b:c": 2, "d": 3}], "params": {"outptu": "x"}}',
    ],
)
def test_what_needs_a_second_look_is_left_to_the_other_reader(text):
    assert FastReader(spec_of()).read(text.encode()) is None


def test_a_gap_is_read_where_training_had_some():
    body = b'{"inputs": [{"a": null, "b:c": 2, "d": 3}]}'
    array, _ = FastReader(spec_of(required=False)).read(body)
    assert math.isnan(array[0, 0])


@pytest.mark.parametrize(
    ("types", "fits"),
    [
        (("double", "long", "integer"), True),
        (("float", "float", "float"), True),
        (("float", "double", "double"), False),
        (("double", "string", "double"), False),
        (("boolean", "double", "double"), False),
    ],
)
def test_models_of_plain_numbers_fit(types, fits):
    assert FastReader.fits(spec_of(types=types)) is fits


VALUES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.none(),
    st.booleans(),
    st.sampled_from(["1", "", "x:y"]),
)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.lists(VALUES, min_size=2, max_size=4), min_size=1, max_size=4),
    kind=st.sampled_from(["frame", "array"]),
    required=st.booleans(),
)
def test_it_never_reads_another_number_than_the_other_reader(rows, kind, required):
    spec = spec_of(kind, required=required)
    documents = [{"inputs": rows}, {"dataframe_split": {**SPLIT, "data": rows}}]
    for document in documents:
        body = json.dumps(document).encode()
        found = FastReader(spec).read(body)
        if found is not None:
            expected = slowly(body, spec)
            assert expected is not None
            np.testing.assert_array_equal(found[0], expected[0])


@settings(max_examples=300, deadline=None)
@given(
    columns=st.lists(st.lists(VALUES, min_size=2, max_size=2), min_size=2, max_size=4),
    names=st.permutations(NAMES),
    kind=st.sampled_from(["frame", "array"]),
    required=st.booleans(),
)
def test_it_never_reads_another_number_of_a_table(columns, names, kind, required):
    spec = spec_of(kind, required=required)
    given_names = tuple(names[: len(columns)]) if kind == "frame" else None
    table = Table(names=given_names, columns=tuple(columns))
    found = FastReader(spec).of(table)
    if found is not None:
        np.testing.assert_array_equal(found, np.asarray(to_rows(table, spec), float))


@pytest.mark.parametrize("kind", ["frame", "array"])
def test_a_table_of_numbers_is_read_fast(kind):
    names = ("d", "a", "b:c") if kind == "frame" else None
    table = Table(names=names, columns=([1, 4], [2.5, 5], [3, 6]))
    found = FastReader(spec_of(kind)).of(table)
    order = [1, 2, 0] if kind == "frame" else [0, 1, 2]
    assert found.tolist() == np.array([[1, 2.5, 3], [4, 5, 6]])[:, order].tolist()
