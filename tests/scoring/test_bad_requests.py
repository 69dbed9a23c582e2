"""No request, however malformed, ends in anything but rows or a refusal."""

import copy
import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nbmlops.entities import Column
from nbmlops.errors import UsageError
from nbmlops.scoring.request import read_request
from nbmlops.scoring.rows import to_rows
from nbmlops.scoring.signature import InputSpec
from nbmlops.scoring.v2 import DATATYPES, read_infer

JSON = "application/json"
TYPES = {
    "age": "double",
    "n": "long",
    "small": "integer",
    "f": "float",
    "city": "string",
    "flag": "boolean",
    "at": "datetime",
    "any": "any",
}
ROW = [1.5, 2, 3, 0.5, "Rom", True, "2026-01-02T03:04:05", "x"]


def columns(types, *, is_required=False):
    return tuple(
        Column(name=name, type=each, is_required=is_required)
        for name, each in types.items()
    )


FRAME = InputSpec(
    kind="frame",
    columns=columns(TYPES),
    dtypes={"city": {"categories": ["Rom", "Oslo"]}, "flag": {"gap": None}},
    ranges={"age": (0, 99), "n": (-5, 5), "small": (0, 9), "f": (0.0, 1.0)},
)
DOUBLES = dict.fromkeys("01", "double")
SPECS = {
    "frame": FRAME,
    "strict frame": replace(
        FRAME,
        columns=columns(TYPES, is_required=True),
        unseen_category="refuse",
        out_of_range="refuse",
    ),
    "numbers": InputSpec(kind="frame", columns=columns({"a": "double", "b": "long"})),
    "array": InputSpec(kind="array", columns=columns(DOUBLES), ranges={"0": (0, 1)}),
    "whole numbers": InputSpec(
        kind="array", columns=columns(dict.fromkeys("01", "long"))
    ),
    "mixed array": InputSpec(
        kind="array", columns=columns({"0": "string", "1": "double"})
    ),
    "sparse": InputSpec(kind="sparse", columns=columns(DOUBLES)),
    "texts": InputSpec(kind="vector", columns=columns({"0": "string"})),
    "series": InputSpec(kind="series", columns=columns({"0": "long"})),
    "dicts": InputSpec(kind="dicts", columns=columns(TYPES, is_required=True)),
    "open dicts": InputSpec(kind="dicts", columns=columns(TYPES)),
}
"""What models take, by a name."""


def row_of(spec):
    by_type = dict(zip(TYPES.values(), ROW, strict=True))
    return [by_type[column.type] for column in spec.columns]


def good_requests(spec):
    """Return requests in the layouts of MLflow's protocol."""
    names, row = [column.name for column in spec.columns], row_of(spec)
    records = [dict(zip(names, row, strict=True))] * 2
    split = {"columns": names, "index": [0, 1], "data": [row, row]}
    sparse = {"data": [1.5], "indices": [1], "indptr": [0, 1], "shape": [1, 2]}
    return [
        {"dataframe_split": split, "params": {"output": "predictions"}},
        {"dataframe_records": records},
        {"inputs": {name: [value] * 2 for name, value in records[0].items()}},
        {"instances": [row, row]},
        {"inputs": [row[0], row[0]]},
        {"inputs": sparse},
    ]


def good_inferences(spec):
    """Return requests of the Open Inference Protocol."""
    datatypes = {"boolean": "BOOL", "double": "FP64", "float": "FP32"}
    datatypes |= {"long": "INT64", "integer": "INT32"}
    inputs = [
        {
            "name": column.name,
            "shape": [2, 1],
            "datatype": datatypes.get(column.type, "BYTES"),
            "data": [value, None],
            "parameters": {"content_type": "pd"},
        }
        for column, value in zip(spec.columns, row_of(spec), strict=True)
    ]
    table = {"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [[0, 1], [2, 3]]}
    outputs = [{"name": "probabilities", "parameters": {}}, {"name": "predictions"}]
    return [
        {"inputs": inputs, "id": "1", "outputs": outputs, "parameters": {}},
        {"inputs": [table], "model_name": "m"},
    ]


def csv_of(document):
    """Return what CSV can say of a mutated request, or what looks like it."""
    split = document.get("dataframe_split")
    split = split if isinstance(split, dict) else {}
    rows = split.get("data")
    lines = [split.get("columns"), *(rows if isinstance(rows, list) else [rows])]
    return "\n".join(
        ",".join(str(value) for value in line) if isinstance(line, list) else repr(line)
        for line in lines
    )


NUMBER = st.integers() | st.floats() | st.sampled_from([2**53 + 1, 2**63, 10**400])
TEXT = st.text(max_size=5) | st.sampled_from(["\ud800", "1e999", "0001-01-01", "NaN"])
SCALAR = st.none() | st.booleans() | NUMBER | TEXT
JUNK = st.recursive(
    SCALAR,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXT, each, max_size=3),
    max_leaves=8,
)
KEYS = "a 0 inputs data shape columns params output outputs pd_json datetime datatype"
WORDS = st.sampled_from([*TYPES, *DATATYPES, *KEYS.split(), "binary_data_size"])
CONTENT_TYPES = st.sampled_from(
    ["text/csv", "application/octet-stream", "", "application/json; charset=latin-1"]
) | st.text(max_size=20)


def mutate(draw, node):
    """Return JSON with one change at a place somewhere inside."""
    is_list, is_dict = isinstance(node, list), isinstance(node, dict)
    if not node or not (is_list or is_dict) or draw(st.integers(0, 4)) == 0:
        return draw(JUNK | WORDS)
    key = draw(st.sampled_from(range(len(node)) if is_list else sorted(node)))
    changed = copy.copy(node)
    match draw(st.sampled_from(["inside", "inside", "drop", "twice", "rename"])):
        case "inside":
            changed[key] = mutate(draw, node[key])
        case "drop":
            del changed[key]
        case "twice" if is_list:
            changed.insert(key, node[key])
        case _ if is_dict:
            changed[draw(WORDS | TEXT)] = changed.pop(key)
    return changed


@st.composite
def requests(draw):
    """Return a spec, a protocol, a body and its content type."""
    spec = SPECS[draw(st.sampled_from(sorted(SPECS)))]
    is_v2 = draw(st.booleans())
    good = good_inferences(spec) if is_v2 else good_requests(spec)
    document = draw(st.sampled_from(good) | JUNK)
    for _ in range(draw(st.integers(1, 3))):
        document = mutate(draw, document)
    content_type = JSON
    if not is_v2 and isinstance(document, dict) and draw(st.integers(0, 3)) == 0:
        content_type = "text/csv"
        body = csv_of(document).encode("utf-8", "surrogatepass")
    else:
        body = json.dumps(document).encode()
    if draw(st.integers(0, 9)) == 0:
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(body))] * 2)))
        body = body[:start] + draw(st.binary(max_size=9)) + body[end:]
    if draw(st.integers(0, 19)) == 0:
        content_type = draw(CONTENT_TYPES)
    return spec, is_v2, body, content_type


def is_refused(spec, is_v2, body, content_type):
    """Return whether a request is refused, as a request may be."""
    error = answered(spec, is_v2, body, content_type)
    if error is None:
        return False
    assert 400 <= error.status < 500
    for text in (error.problem, error.fix):
        assert text.encode()
        assert "\n" not in text
    assert len(error.problem) < 10_000
    assert json.dumps(list(error.faults)).encode()
    return True


def answered(spec, is_v2, body, content_type):
    """Return the error of a request; None if it has rows."""
    try:
        if is_v2:
            table = read_infer(body, content_type, spec).table
        else:
            table = read_request(body, content_type, kind=spec.kind)
        rows = to_rows(table, spec, unseen=Counter())
    except UsageError as error:
        return error
    assert (rows.shape[0] if hasattr(rows, "shape") else len(rows)) > 0
    return None


@pytest.mark.parametrize(
    ("n_requests", "n_refused"),
    [(600, 300), pytest.param(30_000, 20_000, marks=pytest.mark.slow)],
)
def test_a_generated_request_is_answered_or_refused_and_raises_nothing_else(
    n_requests, n_refused
):
    refused = 0

    @settings(
        max_examples=n_requests,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def check(request):
        nonlocal refused
        refused += is_refused(*request)

    check()
    assert refused >= n_refused


@pytest.mark.parametrize("name", SPECS)
def test_some_of_the_requests_that_are_changed_are_good_ones(name):
    spec = SPECS[name]
    assert not all(
        is_refused(spec, False, json.dumps(each).encode(), JSON)
        for each in good_requests(spec)
    )
    if name not in ("strict frame", "dicts"):  # which take no gaps
        assert not all(
            is_refused(spec, True, json.dumps(each).encode(), JSON)
            for each in good_inferences(spec)
        )


DEEP = [
    '{"inputs": DEEP}',
    '{"inputs": [DEEP]}',
    '{"inputs": {"age": DEEP}}',
    '{"inputs": [{"age": DEEP}]}',
    '{"inputs": [1], "params": {"output": DEEP}}',
    '{"inputs": [{"name": "x", "shape": [1], "datatype": DEEP}]}',
    '{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": DEEP}]}',
    '{"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["DEEP"], '
    '"parameters": {"content_type": "pd_json"}}]}',
]


@pytest.mark.parametrize("name", SPECS)
def test_deep_json_is_refused(name):
    for depth in (10, 300, *range(900, 1000, 9), 100_000):
        deep = "[" * depth + "]" * depth
        for document in DEEP:
            body = document.replace("DEEP", deep).encode()
            for is_v2 in (False, True):
                assert is_refused(SPECS[name], is_v2, body, JSON)
