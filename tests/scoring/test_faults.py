import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbmlops.deployment.handle import _moved
from nbmlops.entities import Column
from nbmlops.errors import UsageError
from nbmlops.scoring.request import Table, read_request
from nbmlops.scoring.rows import to_rows
from nbmlops.scoring.signature import InputSpec

AGE = Column(name="age", type="double")
CITY = Column(name="city", type="string", is_required=False)
ID = Column(name="id", type="long", is_required=False)
JSON = "application/json"


def refused(document, *columns, kind="frame", content_type=JSON):
    is_text = isinstance(document, bytes)
    body = document if is_text else json.dumps(document).encode()
    spec = InputSpec(kind=kind, columns=columns)
    with pytest.raises(UsageError) as found:
        to_rows(read_request(body, content_type, kind=kind), spec)
    assert found.value.status == 400
    return found.value


def places(error):
    return [(fault["row"], fault["column"]) for fault in error.faults]


def test_all_faults_are_refused_at_once_columns_first_then_row_by_row():
    records = [
        {"agee": 1, "city": 3},
        {"agee": 1, "city": "Rom", "id": 2**63},
        {"agee": 1, "city": False, "id": 1},
    ]
    error = refused({"dataframe_records": records}, AGE, CITY, ID)
    assert error.problem == (
        "The request has 5 faults: Unknown column 'agee'. Did you mean 'age'?; "
        "Column 'age' is missing; Row 0, column 'city': 3 is not text; Row 1, column "
        "'id': 9223372036854775808 is beyond what a number of 64 bits can hold; "
        "Row 2, column 'city': False is not text."
    )
    assert places(error) == [
        *[(None, "agee"), (None, "age")],
        *[(0, "city"), (1, "id"), (2, "city")],
    ]
    assert error.faults[2]["problem"] == "3 is not text"
    assert error.fix == (
        "Send these columns: age, city, id. Send text (string in the model's "
        "signature). Send a number (long in the model's signature)."
    )


def test_one_fault_is_a_sentence_of_its_own():
    error = refused({"inputs": {"age": [1, None]}}, AGE, CITY)
    assert error.problem == "Row 1, column 'age': the value is missing."
    assert error.faults == [
        {"row": 1, "column": "age", "problem": "the value is missing"}
    ]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("0.2", "'0.2' is not a number"),
        (float("inf"), "inf is not finite"),
        (float("nan"), "the value is missing"),
        (2**53 + 1, "9007199254740993 is a whole number that a double cannot hold"),
        ([1], "[1] is not a number"),
    ],
)
def test_each_kind_of_fault_is_found_beside_the_others(value, problem):
    error = refused(
        {"inputs": {"age": [True, 1, value], "city": [1, "a", "b"]}}, AGE, CITY
    )
    assert places(error) == [(0, "age"), (0, "city"), (2, "age")]
    assert error.faults[2]["problem"] == problem


def test_a_whole_number_changed_by_a_gap_is_found_beside_another_fault():
    error = refused({"inputs": {"id": [2**53 + 1, None, "x"]}}, ID)
    assert places(error) == [(0, "id"), (2, "id")]
    assert "gaps and fractions make" in error.faults[0]["problem"]


def test_the_first_20_are_shown_the_first_1000_listed_and_all_counted():
    values = ["x"] * 3000
    error = refused({"inputs": {"age": values}}, AGE)
    assert error.problem.startswith("The request has 3000 faults, the first 20: Row 0,")
    assert [int(n) for n in re.findall(r"Row (\d+)", error.problem)] == [*range(20)]
    assert [fault["row"] for fault in error.faults] == [*range(1000)]
    assert error.fix == "Send a number (double in the model's signature)."


def test_one_column_all_wrong_hides_no_other():
    values = {"age": ["x"] * 5000, "city": [1] * 5000}
    error = refused({"inputs": values}, AGE, CITY)
    assert places(error)[:4] == [(0, "age"), (0, "city"), (1, "age"), (1, "city")]
    assert "10000 faults" in error.problem
    assert len(error.faults) == 1000


def test_columns_nobody_knows_are_counted_in_no_time():
    columns = [Column(name=f"c{i}", type="double") for i in range(5000)]
    names = {f"other{i}" * 20: [1] for i in range(20_000)}
    error = refused({"inputs": names}, *columns)
    assert "25000 faults" in error.problem
    assert len(error.problem) < 5000


def test_faults_of_a_csv_an_array_a_list_and_of_dicts():
    error = refused(b"age,city\nx,1\n,2\n", AGE, CITY, content_type="text/csv")
    assert places(error) == [(0, "age"), (1, "age")]
    columns = [Column(name=str(i), type="double", is_required=False) for i in (0, 1)]
    error = refused(
        {"inputs": [[1, "x"], [None, 2], [True, 3]]}, *columns, kind="array"
    )
    assert places(error) == [(0, "1"), (2, "0")]
    error = refused({"inputs": ["a", 1, 2]}, CITY, kind="vector")
    assert places(error) == [(1, "city"), (2, "city")]
    records = {"dataframe_records": [{"agee": 1}, {"age": "x"}, {"age": 2}]}
    error = refused(records, AGE, kind="dicts")
    assert error.problem == (
        "The request has 3 faults: Row 0: 'age' is missing; Row 0: unknown key 'agee'. "
        "Did you mean 'age'?; Row 1, column 'age': 'x' is not a number."
    )


def test_a_value_nested_as_deep_as_json_allows_is_refused():
    for depth in (100, 400, *range(800, 1000, 7)):
        body = b'{"inputs": {"age": [' + b"[" * depth + b"]" * depth + b"]}}"
        assert refused(body, AGE).problem


def test_rows_of_a_part_are_named_as_rows_of_the_whole():
    error = refused({"inputs": {"age": ["x", "y"], "city": [1, "b"]}}, AGE, CITY)
    moved = _moved(error.problem, 100)
    assert re.findall(r"(?:; |: )Row (\d+)", moved) == ["100", "100", "101"]
    assert _moved("Row 3, column 'a': 'x; Row 4' is not a number.", 10) == (
        "Row 13, column 'a': 'x; Row 4' is not a number."
    )


CELL = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6))
def test_the_faults_of_a_request_are_those_of_its_values_one_by_one(rows):
    spec = InputSpec(kind="frame", columns=(AGE, CITY, replaced(ID, "integer")))
    columns = tuple(zip(*rows, strict=True))

    def faults(columns):
        try:
            to_rows(Table(names=("age", "city", "id"), columns=columns), spec)
        except UsageError as error:
            return places(error)
        return []

    good = (1.0, "x", 1)
    alone = [
        (row, spec.columns[i].name)
        for row in range(len(rows))
        for i in range(3)
        if faults(tuple((columns[j][row],) if j == i else (good[j],) for j in range(3)))
    ]
    assert faults(columns) == alone


def replaced(column, type):
    return Column(name=column.name, type=type, is_required=column.is_required)
