import json

import pytest

from nbmlops.errors import UsageError
from nbmlops.scoring.request import read_request

JSON = "application/json"
ROWS = [[1, "x"], [2, "y"]]


def read(document):
    return read_request(json.dumps(document).encode(), JSON)


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": {"columns": ["a", "b"], "data": ROWS}},
        {"dataframe_split": {"index": [7, 8], "columns": ["a", "b"], "data": ROWS}},
        {"dataframe_records": [{"a": 1, "b": "x"}, {"b": "y", "a": 2}]},
        {"instances": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]},
        {"instances": {"a": [1, 2], "b": ["x", "y"]}},
        {"inputs": {"a": [1, 2], "b": ["x", "y"]}},
        {"inputs": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "params": {}},
    ],
)
def test_every_layout_of_json_carries_the_same_table(document):
    table = read(document)
    found = dict(zip(table.names, map(list, table.columns), strict=True))
    assert found == {"a": [1, 2], "b": ["x", "y"]}


def test_a_key_a_record_lacks_is_a_gap():
    table = read({"dataframe_records": [{"a": 1}, {"b": 2}]})
    assert [list(column) for column in table.columns] == [[1, None], [None, 2]]


def test_scalars_by_name_are_one_row():
    assert read({"inputs": {"a": 1, "b": "x"}}).columns == ([1], ["x"])


def test_lists_without_names_are_rows_and_scalars_are_rows_of_one():
    assert read({"inputs": ROWS}).columns == ((1, 2), ("x", "y"))
    assert read({"instances": ["x", "y"]}).columns == (("x", "y"),)
    assert read({"inputs": ROWS}).names is None


def test_csv_of_a_spreadsheet_is_read_with_its_mark_quotes_and_gaps():
    body = '\ufeffa,b\r\n1,"x, ""y"""\r\n,z\r\n'.encode()
    table = read_request(body, "text/csv; charset=UTF-8")
    assert table.names == ("a", "b")
    assert table.columns == (("1", ""), ('x, "y"', "z"))
    assert table.is_text


def test_a_blank_line_in_a_csv_of_one_column_is_a_row():
    assert read_request(b"a\n1\n\n2\n", "text/csv").columns == (("1", "", "2"),)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "not JSON"),
        (b'{"inputs": [1, 2', "not JSON"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b"\xff\xfe", "byte 0"),
        (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b'{"inputs": [1' + b"0" * 5000 + b"]}", "digits"),
        (b'{"dataframe_splitt": 1}', "Did you mean 'dataframe_split'"),
        (b"{}", "0 of the fields"),
        (b'{"inputs": [1], "instances": [1]}', "2 of the fields"),
        (b'{"inputs": [1], "params": {"k": 1}}', "Unknown param 'k'"),
        (b'{"inputs": [1], "params": {"outputs": 1}}', "mean 'output'"),
        (b'{"inputs": [1], "params": [1]}', "'params' is not an object"),
        (b'{"inputs": [1], "params": {"output": ["x"]}}', "'output' is"),
        (b'{"inputs": [1], "params": {"output": "probability"}}', "'probabilities'"),
        (b'{"inputs": [1], "inputs": [2]}', "'inputs' is twice"),
        (b'{"inputs": [{"a": 1, "a": 2}]}', "'a' is twice"),
        (b'{"inputs": []}', "no rows"),
        (b'{"inputs": {}}', "no rows"),
        (b'{"inputs": 3}', "not a list"),
        (b'{"inputs": {"a": [1, 2], "b": [1]}}', "'b' of 'inputs' has 1 values"),
        (b'{"inputs": {"a": [1, 2], "b": 3}}', "'b' of 'inputs' has no list"),
        (b'{"inputs": [[1, 2], [3]]}', "Row 1 is 1 values, where 2"),
        (b'{"inputs": [[1], 3]}', "Row 1 is no list"),
        (b'{"inputs": [{"a": 1}, 3]}', "Row 1 of 'inputs' is not an object"),
        (b'{"dataframe_records": [3]}', "Row 0"),
        (b'{"dataframe_records": {"a": [1]}}', "not a list of rows"),
        (b'{"dataframe_split": [[1]]}', "no list 'data'"),
        (b'{"dataframe_split": {"colums": ["a"], "data": [[1]]}}', "mean 'columns'"),
        (b'{"dataframe_split": {"columns": "a", "data": [[1]]}}', "list of names"),
        (b'{"dataframe_split": {"columns": [[1]], "data": [[1]]}}', "list of names"),
        (b'{"dataframe_split": {"columns": ["a"], "data": []}}', "no rows"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', "Row 0"),
    ],
)
def test_a_broken_body_is_refused_with_what_is_wrong(body, expected):
    with pytest.raises(UsageError, match="(?s)" + expected) as refused:
        read_request(body, JSON)
    assert refused.value.status == 400
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1\n", "Row 0 is 1 values, where 2"),
        (b'a\n"1\n', "not CSV"),
        (b",a\n0,1\n", "index=False"),
    ],
)
def test_a_broken_csv_is_refused_with_what_is_wrong(body, expected):
    with pytest.raises(UsageError, match=expected):
        read_request(body, "text/csv")


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/jsonx",
        "application/json; charset=latin-1",
        "application/json; version=2",
        "multipart/form-data",
    ],
)
def test_another_content_type_is_415(content_type):
    with pytest.raises(UsageError) as refused:
        read_request(b'{"inputs": [1]}', content_type)
    assert refused.value.status == 415
