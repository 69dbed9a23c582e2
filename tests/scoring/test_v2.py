import json

import numpy as np
import pandas as pd
import pytest

from nbmlops.entities import Column
from nbmlops.errors import UsageError
from nbmlops.scoring.rows import to_rows
from nbmlops.scoring.signature import InputSpec
from nbmlops.scoring.v2 import read_infer

JSON = "application/json"


def columns(**types):
    return tuple(
        Column(name=name, type=each, is_required=False) for name, each in types.items()
    )


MIXED = InputSpec(kind="frame", columns=columns(age="double", city="string"))
NUMBERS = InputSpec(kind="frame", columns=columns(a="double", b="long", c="double"))
ARRAY = InputSpec(kind="array", columns=columns(**{"0": "double", "1": "double"}))
TEXTS = InputSpec(kind="vector", columns=columns(**{"0": "string"}))
MIXED_ARRAY = InputSpec(kind="array", columns=columns(**{"0": "string", "1": "double"}))
DICTS = InputSpec(kind="dicts", columns=columns(age="double", city="string"))
SPARSE = InputSpec(kind="sparse", columns=ARRAY.columns)


def tensor(name, datatype, data, shape=None, **parameters):
    entry = {
        "name": name,
        "shape": [len(data)] if shape is None else shape,
        "datatype": datatype,
        "data": data,
    }
    return {**entry, "parameters": parameters} if parameters else entry


def read(spec, *inputs, **more):
    body = json.dumps({"inputs": list(inputs), **more}).encode()
    return read_infer(body, JSON, spec)


def rows(spec, *inputs, **more):
    return to_rows(read(spec, *inputs, **more).table, spec)


def refused(spec, *inputs, **more):
    with pytest.raises(UsageError) as found:
        rows(spec, *inputs, **more)
    assert found.value.status == 400
    return found.value


def test_an_input_for_each_column_makes_a_frame():
    expected = pd.DataFrame({"age": [41.0, np.nan], "city": ["Rom", "Oslo"]})
    for n, parameters in (([2], {}), ([2, 1], {"content_type": "pd"})):
        found = rows(
            MIXED,
            tensor("city", "BYTES", ["Rom", "Oslo"], n, content_type="str"),
            tensor("age", "FP32", [41, None], n),
            parameters=parameters,
        )
        pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    "data", [[1, 2, 3, 4, 5.5, 6], [[1, 2, 3], [4, 5.5, 6]]], ids=["flat", "nested"]
)
def test_a_tensor_of_two_dimensions_is_read_row_by_row(data):
    two_by_three = tensor("x", "FP64", data, [2, 3], content_type="np")
    found = rows(
        InputSpec(kind="array", columns=columns(**dict.fromkeys("012", "double"))),
        two_by_three,
    )
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 5.5, 6]])
    frame = rows(NUMBERS, two_by_three)
    assert list(frame) == ["a", "b", "c"]
    assert frame.b.tolist() == [2, 5.5]


def test_a_frame_of_one_column_is_taken_by_any_name_of_a_table():
    spec = InputSpec(kind="frame", columns=columns(a="double"))
    for name in ("a", "input-0"):
        assert rows(spec, tensor(name, "FP64", [1, 2], [2, 1])).a.tolist() == [1, 2]
    assert "Unknown column 'b'" in refused(spec, tensor("b", "FP64", [1])).problem
    by_name = {"parameters": {"content_type": "pd"}}
    error = refused(spec, tensor("b", "FP64", [1], [1, 1]), **by_name)
    assert "Unknown column 'b'" in error.problem
    error = refused(MIXED, tensor("agee", "FP64", [1], [1, 1]))
    assert "Unknown column 'agee'. Did you mean 'age'?" in error.problem


def test_texts_dicts_sparse_rows_and_mixed_arrays_are_sent_too():
    for shape in ([2], [2, 1]):
        found = rows(TEXTS, tensor("text", "BYTES", ["a", "b"], shape))
        assert found.tolist() == ["a", "b"]
    found = rows(
        DICTS, tensor("city", "BYTES", ["a", None]), tensor("age", "FP64", [1, 2])
    )
    assert found == [{"city": "a", "age": 1}, {"age": 2}]
    found = rows(SPARSE, tensor("x", "FP64", [0, 1, 2, 0], [2, 2]))
    assert found.toarray().tolist() == [[0, 1], [2, 0]]
    both = tensor("1", "FP64", [1.5]), tensor("0", "BYTES", ["a"])
    assert rows(MIXED_ARRAY, *both).tolist() == [["a", 1.5]]


def test_times_and_json_of_their_own_are_read():
    spec = InputSpec(kind="frame", columns=columns(at="datetime", flag="boolean"))
    found = rows(
        spec,
        tensor("at", "BYTES", ["2026-01-02T03:00:00"], [1, 1], content_type="datetime"),
        tensor("flag", "BYTES", ["true"], [1, 1], content_type="pd_json"),
    )
    assert found["at"][0] == pd.Timestamp("2026-01-02 03:00")
    assert found["flag"].tolist() == [True]
    broken = tensor("flag", "BYTES", ["{"], [1, 1], content_type="pd_json")
    assert "Row 0 of input 'flag' is not JSON" in refused(spec, broken).problem


@pytest.mark.parametrize(
    ("datatype", "good", "bad"),
    [
        ("BOOL", [True, False], [1, "true"]),
        ("INT8", [-128, 127, 3.0], [128, -129, 1.5, True]),
        ("INT16", [2**15 - 1], [2**15]),
        ("INT32", [-(2**31)], [2**31]),
        ("INT64", [2**63 - 1], [2**63, "1"]),
        ("UINT8", [0, 255], [-1, 256]),
        ("UINT16", [65535], [65536]),
        ("UINT32", [2**32 - 1], [2**32]),
        ("UINT64", [2**64 - 1], [2**64]),
        ("FP16", [65504, 0.1], [65505.0]),
        ("FP32", [3.4e38], [3.5e38, True]),
        ("FP64", [1e308, 1], ["1", False]),
        ("BYTES", ["", "é"], [1, 2.5]),
    ],
)
def test_values_are_of_the_datatype_they_are_sent_as(datatype, good, bad):
    spec = InputSpec(kind="frame", columns=columns(x="any"))
    table = read(spec, tensor("x", datatype, [*good, None])).table
    assert list(table.columns[0]) == [*good, None]
    error = refused(spec, tensor("x", datatype, [None, *bad]))
    assert [(f["row"], f["column"]) for f in error.faults] == [
        (row, "x") for row in range(1, len(bad) + 1)
    ]
    assert all(datatype in fault["problem"] for fault in error.faults)


def test_faults_of_a_tensor_have_the_row_and_column_of_the_model():
    error = refused(NUMBERS, tensor("x", "INT8", [1, 2, 300, 4, "x", 6], [2, 3]))
    assert [(f["row"], f["column"]) for f in error.faults] == [(0, "c"), (1, "b")]
    error = refused(MIXED, tensor("agee", "FP64", [1]), tensor("city", "FP64", [3]))
    assert [(f["row"], f["column"]) for f in error.faults] == [
        (None, "agee"),
        (0, "city"),
    ]


def test_an_id_and_the_outputs_in_their_order_are_kept():
    age = tensor("age", "FP64", [1])
    plain = read(MIXED, age)
    assert (plain.id, plain.outputs) == (None, ("predictions",))
    both = [{"name": "probabilities"}, {"name": "predictions", "parameters": None}]
    asked = read(MIXED, age, id="42", outputs=both, model_name="m", parameters=None)
    assert (asked.id, asked.outputs) == ("42", ("probabilities", "predictions"))
    assert read(MIXED, age, outputs=[]).outputs == ("predictions",)


def test_an_unknown_output_names_those_there_are():
    body = json.dumps(
        {"inputs": [tensor("age", "FP64", [1])], "outputs": [{"name": "probability"}]}
    )
    with pytest.raises(
        UsageError, match=r"'probability'.*mean 'probabilities'"
    ) as found:
        read_infer(body.encode(), JSON, MIXED)
    assert found.value.fix == "The model has predictions and probabilities."
    body = body.replace("probability", "probabilities")
    with pytest.raises(UsageError, match="Unknown output 'probabilities'") as found:
        read_infer(body.encode(), JSON, MIXED, outputs=("predictions",))
    assert found.value.fix == "The model has predictions."


AGE = tensor("age", "FP64", [1])


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([], "not an object"),
        ({}, "'inputs' is not a list"),
        ({"inputs": []}, "'inputs' is not a list"),
        ({"inputs": {"age": 1}}, "'inputs' is not a list"),
        ({"input": [AGE]}, "Unknown field 'input'. Did you mean 'inputs'"),
        ({"inputs": [3]}, "Input 0 has no name"),
        ({"inputs": [AGE, {"name": 3}]}, "Input 1 has no name"),
        ({"inputs": [{**AGE, "type": "FP64"}]}, "Unknown field 'type' in input 'age'"),
        ({"inputs": [{**AGE, "shape": None}]}, "shape of input 'age'"),
        ({"inputs": [{**AGE, "shape": [-1]}]}, "shape of input 'age'"),
        ({"inputs": [{**AGE, "shape": [True]}]}, "shape of input 'age'"),
        ({"inputs": [{**AGE, "shape": [1, 1, 1]}]}, "shape of input 'age'"),
        ({"inputs": [{**AGE, "shape": [2]}]}, "has 1 values, its shape [2] has 2"),
        ({"inputs": [{**AGE, "shape": [2**62, 2**62]}]}, "has 1 values, its shape"),
        ({"inputs": [{**AGE, "shape": [10**99, 1]}]}, "shape of input 'age'"),
        ({"inputs": [{**AGE, "data": [], "shape": [0]}]}, "no rows"),
        ({"inputs": [{**AGE, "data": [], "shape": [3, 0]}]}, "no rows"),
        ({"inputs": [{**AGE, "data": 1}]}, "'data' of input 'age' is not a list"),
        ({"inputs": [{**AGE, "data": [[1]]}]}, "[1] is not FP64"),
        ({"inputs": [{**AGE, "data": [[1, 2], [3]], "shape": [2, 2]}]}, "has 2 values"),
        ({"inputs": [{**AGE, "datatype": "FP65"}]}, "'FP65'. Did you mean 'FP64'"),
        ({"inputs": [{**AGE, "datatype": [[]]}]}, "of datatype [[]]"),
        ({"inputs": [{**AGE, "parameters": 1}]}, "'parameters' of input 'age'"),
        (
            {"inputs": [{**AGE, "parameters": {"content_type": "base64"}}]},
            "Content type 'base64' of input 'age'",
        ),
        (
            {"inputs": [AGE], "parameters": {"content_type": "hg_json"}},
            "Content type 'hg_json' of the request",
        ),
        ({"inputs": [AGE], "id": 42}, "'id' is not a text"),
        ({"inputs": [AGE], "outputs": {"name": "x"}}, "'outputs' is not a list"),
        ({"inputs": [AGE], "outputs": ["predictions"]}, "An output has no name"),
        ({"inputs": [AGE], "outputs": [{"name": "predictions"}] * 2}, "for twice"),
        (
            {"inputs": [AGE], "outputs": [{"name": "predictions", "x": 1}]},
            "Unknown field 'x' in an output",
        ),
        ({"inputs": [AGE, tensor("city", "BYTES", ["a"] * 2)]}, "'city' is of shape"),
        ({"inputs": [tensor("age", "FP64", [1, 2], [1, 2])]}, "takes 2 by name"),
        ({"inputs": [AGE, AGE]}, "'age' is there twice"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_with_what_is_wrong(document, expected):
    body = json.dumps(document).encode()
    with pytest.raises(UsageError) as found:
        to_rows(read_infer(body, JSON, MIXED).table, MIXED)
    assert found.value.status == 400
    assert expected in found.value.problem
    assert len(str(found.value)) < 500


BINARY_INPUT = {
    "name": "age",
    "shape": [1],
    "datatype": "FP64",
    "parameters": {"binary_data_size": 8},
}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"inputs": [BINARY_INPUT]}).encode(),
        json.dumps({"inputs": [BINARY_INPUT]}).encode() + np.float64(1).tobytes(),
        json.dumps({"inputs": [BINARY_INPUT]}).encode() + b"\xff" * 8,
        json.dumps(
            {"inputs": [AGE], "parameters": {"binary_data_output": True}}
        ).encode(),
        json.dumps(
            {
                "inputs": [AGE],
                "outputs": [
                    {"name": "predictions", "parameters": {"binary_data": True}}
                ],
            }
        ).encode(),
    ],
)
@pytest.mark.parametrize("content_type", [JSON, "application/octet-stream"])
def test_binary_tensors_are_refused_by_name(body, content_type):
    with pytest.raises(UsageError) as found:
        read_infer(body, content_type, MIXED)
    if content_type == JSON or b"binary_data_size" in body:
        assert found.value.status == 400
        assert "Binary tensor data" in found.value.problem
        assert "binary_data=False" in found.value.fix
    else:
        assert found.value.status == 415


def test_inputs_of_an_array_that_are_not_its_columns_are_refused():
    error = refused(ARRAY, tensor("0", "FP64", [1]), tensor("x", "FP64", [1]))
    assert "not the columns" in error.problem
    assert error.fix == "Send an input of shape [n_rows] for each of 0, 1."
    error = refused(ARRAY, tensor("0", "FP64", [1, 2, 3], [1, 3]))
    assert "Rows have 3 values, the model takes 2" in error.problem
    error = refused(TEXTS, tensor("a", "BYTES", ["a"]), tensor("b", "BYTES", ["b"]))
    assert "not the columns" in error.problem


FROM_CLIENTS = {
    "MLServer 1.7, PandasCodec": (
        InputSpec(
            kind="frame",
            columns=columns(age="double", n="long", city="string", f="float", b="any"),
        ),
        '{"parameters": {"content_type": "pd"}, "inputs": ['
        '{"name": "age", "shape": [2, 1], "datatype": "FP64", "data": [41.5, null]}, '
        '{"name": "n", "shape": [2, 1], "datatype": "INT64", "data": [1, 2]}, '
        '{"name": "city", "shape": [2, 1], "datatype": "BYTES", '
        '"parameters": {"content_type": "str"}, "data": ["Rom", "Oslo"]}, '
        '{"name": "f", "shape": [2, 1], "datatype": "FP32", "data": [0.5, 1.0]}, '
        '{"name": "b", "shape": [2, 1], "datatype": "BYTES", '
        '"parameters": {"content_type": "pd_json"}, "data": ["true", "\\"x\\""]}]}',
        [[41.5, 1, "Rom", 0.5, True], [None, 2, "Oslo", 1.0, "x"]],
    ),
    "MLServer 1.7, NumpyRequestCodec": (
        ARRAY,
        '{"id": null, "parameters": {"content_type": "np", "headers": null}, '
        '"inputs": [{"name": "input-1", "shape": [2, 2], "datatype": "FP64", '
        '"parameters": {"content_type": "np", "headers": null}, '
        '"data": [1.0, 2.5, 3.0, null]}], "outputs": null}',
        [[1, 2.5], [3, None]],
    ),
    "MLServer 1.7, StringRequestCodec": (
        TEXTS,
        '{"parameters": {"content_type": "str"}, "inputs": [{"name": "input-1", '
        '"shape": [2, 1], "datatype": "BYTES", '
        '"parameters": {"content_type": "str"}, "data": ["a", "b"]}]}',
        ["a", "b"],
    ),
    "KServe 0.21, InferRequest": (
        ARRAY,
        '{"id": "f86d3d01", "model_name": "m", "inputs": [{"name": "x", '
        '"shape": [2, 2], "datatype": "FP64", "data": [1.0, 2.5, 3.0, 4.0]}], '
        '"outputs": [{"name": "probabilities"}, {"name": "predictions"}], '
        '"parameters": {"p": 1}}',
        [[1, 2.5], [3, 4]],
    ),
}
"""What the clients of published packages send, as they wrote it."""


@pytest.mark.parametrize("client", FROM_CLIENTS)
def test_what_published_clients_send_is_read(client):
    spec, body, expected = FROM_CLIENTS[client]
    found = to_rows(read_infer(body.encode(), JSON, spec).table, spec)
    found = pd.DataFrame(found).astype(object)
    assert found.where(found.notna(), None).to_numpy().tolist() == (
        expected if isinstance(expected[0], list) else [[each] for each in expected]
    )
