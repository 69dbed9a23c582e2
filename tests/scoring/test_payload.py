import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from nbmlops.entities import Column
from nbmlops.errors import UsageError
from nbmlops.scoring.payload import arrange, encode, parts, payload
from nbmlops.scoring.signature import InputSpec


def taking(kind, *names):
    columns = tuple(Column(name=name, type="double") for name in names or ("0",))
    return InputSpec(kind=kind, columns=columns)


FRAME = taking("frame", "a", "b")


def sent(rows, spec=FRAME):
    return json.loads(encode(payload(arrange(rows, spec))))


def test_a_frame_is_sent_whole_with_gaps_as_null():
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "x": [0.1 + 0.2, np.nan],
            "t": ["a", None],
            "when": pd.to_datetime(["2026-01-02", None]),
            "kind": pd.Categorical(["u", "v"]),
            "exact": [Decimal("0.5"), None],
            "id": pd.array([2**60 + 1, None], "Int64"),
        }
    )
    assert sent(frame) == {
        "dataframe_split": {
            "columns": list(frame.columns),
            "data": [
                [
                    1,
                    0.30000000000000004,
                    "a",
                    "2026-01-02T00:00:00",
                    "u",
                    0.5,
                    2**60 + 1,
                ],
                [2, None, None, None, "v", None, None],
            ],
        }
    }


@pytest.mark.parametrize(
    ("rows", "spec", "expected"),
    [
        (pd.Series({"a": 1, "b": "x"}), FRAME,
         {"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"]]}}),
        (pd.Series([1.5, 2.5]), taking("array", "0", "1"),
         {"dataframe_split": {"columns": ["0", "1"], "data": [[1.5, 2.5]]}}),
        (pd.Series([1.5, 2.5]), taking("array"), {"inputs": [1.5, 2.5]}),
        (pd.Series(["x", None], index=[7, 8]), taking("series"),
         {"inputs": ["x", None]}),
        (pd.DataFrame({"text": ["x", "y"]}), taking("series"), {"inputs": ["x", "y"]}),
        (["x", "y"], taking("vector"), {"inputs": ["x", "y"]}),
        (("x", "y"), taking("vector"), {"inputs": ["x", "y"]}),
        (np.array(["text"]), taking("vector"), {"inputs": ["text"]}),
        (np.array([[1.5, np.nan]]), taking("array", "0", "1"),
         {"inputs": [[1.5, None]]}),
        ([[1, 2]], taking("array", "0", "1"), {"inputs": [[1, 2]]}),
        (np.array(["2026-01-02"], dtype="datetime64[ns]"), taking("vector"),
         {"inputs": ["2026-01-02T00:00:00"]}),
        ([{"a": np.int64(1), "b": float("nan")}], FRAME,
         {"dataframe_records": [{"a": 1, "b": None}]}),
        (pd.Series([{"a": 1}, {"a": 2}]), taking("dicts", "a"),
         {"dataframe_records": [{"a": 1}, {"a": 2}]}),
        (scipy.sparse.csc_matrix([[0.0, 2.0]]), taking("sparse", "0", "1"),
         {"inputs": {"data": [2.0], "indices": [1], "indptr": [0, 1],
                     "shape": [1, 2]}}),
        (scipy.sparse.coo_array([[0.0, 2.0]]), taking("array", "0", "1"),
         {"inputs": [[0.0, 2.0]]}),
    ],
)  # fmt: skip
def test_rows_are_sent_in_the_form_the_model_takes(rows, spec, expected):
    assert sent(rows, spec) == expected


@pytest.mark.parametrize("rows", [None, 3, "text", {"a": 1}, {1, 2}])
def test_what_is_no_rows_is_refused(rows):
    with pytest.raises(UsageError, match=f"be sent a {type(rows).__name__}"):
        sent(rows)


def test_rows_that_could_be_read_once_only_are_not_used_up():
    rows = (row for row in [[1, 2], [3, 4]])
    with pytest.raises(UsageError, match="used up") as refused:
        sent(rows)
    assert "list(rows)" in refused.value.fix
    assert list(rows) == [[1, 2], [3, 4]]


@pytest.mark.parametrize("n_rows", [1, 7, 1000, 1001, 5000])
def test_a_batch_is_sent_in_parts_that_hold_every_row_once(n_rows):
    # Rows grow, so that what fits at the beginning does not at the end.
    texts = ["x" * (i // 10) for i in range(n_rows)]
    params = {"output": "probabilities"}
    found = []
    for first, body in parts(texts, params, most_bytes=4000):
        assert len(body) <= 4000
        request = json.loads(body)
        assert request["params"] == params
        assert first == len(found)
        found += request["inputs"]
    assert found == texts


def test_a_row_that_is_too_large_by_itself_is_a_request_by_itself():
    texts = ["a", "b" * 500, "c"]
    bodies = [(first, len(body)) for first, body in parts(texts, {}, most_bytes=100)]
    assert [first for first, _ in bodies] == [0, 1, 2]
    assert [size > 100 for _, size in bodies] == [False, True, False]


def test_a_batch_that_fits_is_one_request():
    frame = pd.DataFrame({"a": np.arange(20_000.0), "b": 1.0})
    ((first, body),) = parts(frame, {}, most_bytes=10_000_000)
    assert first == 0
    assert len(json.loads(body)["dataframe_split"]["data"]) == 20_000
    ((_, body),) = parts(frame[:0], {}, most_bytes=100)
    assert json.loads(body)["dataframe_split"]["data"] == []
