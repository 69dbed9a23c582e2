import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression

from nbmlops.scoring.signature import read_input_spec, read_mlmodel
from nbmlops.scoring.v2 import read_infer
from nbmlops.scoring.v2_answer import model_metadata, write_infer
from nbmlops.store.models.files import save_model


def written(values, name="predictions", **more):
    body = write_infer({name: values}, model_name="m", model_version="3", **more)
    (output,) = json.loads(body)["outputs"]
    assert output["name"] == name
    return output


@pytest.mark.parametrize(
    ("values", "shape", "datatype", "data"),
    [
        (np.array([1, 0]), [2], "INT64", [1, 0]),
        (np.array([1], dtype="uint8"), [1], "UINT8", [1]),
        (np.array([1], dtype="int16"), [1], "INT16", [1]),
        (np.array([True, False]), [2], "BOOL", [True, False]),
        (np.array([0.5, np.nan, np.inf]), [3], "FP64", [0.5, None, None]),
        (np.array([0.5], dtype="float32"), [1], "FP32", [0.5]),
        (np.array([0.5], dtype="float16"), [1], "FP16", [0.5]),
        (np.array([0.5], dtype=np.longdouble), [1], "FP64", [0.5]),
        (np.array([[1, 2], [3, 4]]), [2, 2], "INT64", [1, 2, 3, 4]),
        (np.asfortranarray([[1, 2], [3, 4]]), [2, 2], "INT64", [1, 2, 3, 4]),
        (np.array(["a", "é"]), [2], "BYTES", ["a", "é"]),
        (np.array(["a", None], dtype=object), [2], "BYTES", ["a", None]),
        (np.array([1, None], dtype=object), [2], "INT64", [1, None]),
        (np.array([1, 2.5], dtype=object), [2], "FP64", [1, 2.5]),
        (np.array([True, None], dtype=object), [2], "BOOL", [True, None]),
        (np.array(["a", 1], dtype=object), [2], "BYTES", ["a", "1"]),
        ([1, 2], [2], "INT64", [1, 2]),
        ([[1], [1, 2]], [2], "BYTES", ["[1]", "[1, 2]"]),
        (pd.Series(["a", "b"]), [2], "BYTES", ["a", "b"]),
        (pd.Series([1, None], dtype="Int64"), [2], "FP64", [1, None]),
        (pd.DataFrame({"a": [1.5], "b": [2.0]}), [1, 2], "FP64", [1.5, 2]),
        (scipy.sparse.csr_matrix([[0, 1]]), [1, 2], "INT64", [0, 1]),
        (
            np.array(["2026-01-02", "NaT"], dtype="datetime64[s]"),
            *([2], "BYTES", ["2026-01-02T00:00:00", None]),
        ),
    ],
)  # fmt: skip
def test_predictions_are_a_tensor_row_by_row(values, shape, datatype, data):
    output = written(values)
    assert output["shape"] == shape
    assert output["datatype"] == datatype
    assert output["data"] == data


def test_an_answer_has_the_outputs_in_the_order_they_were_asked_for_and_its_id():
    outputs = {
        "probabilities": np.array([[0.25, 0.75]]),
        "predictions": np.array(["b"]),
    }
    body = write_infer(
        outputs,
        model_name="m",
        model_version="3",
        request_id="4\ud8002",
        classes=np.array(["a", "b"]),
    )
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "3",
        "id": "4\ud8002",
        "outputs": [
            {
                "name": "probabilities",
                "shape": [1, 2],
                "datatype": "FP64",
                "data": [0.25, 0.75],
                "parameters": {"classes": ["a", "b"]},
            },
            {
                "name": "predictions",
                "shape": [1],
                "datatype": "BYTES",
                "data": ["b"],
                "parameters": {"content_type": "str"},
            },
        ],
    }
    assert "id" not in json.loads(
        write_infer(outputs, model_name="m", model_version="3")
    )


@pytest.fixture(scope="module")
def frame_model(tmp_path_factory):
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "n": [1, 2, 3, 4]})
    model = LogisticRegression().fit(frame, ["no", "no", "yes", "yes"])
    folder = tmp_path_factory.mktemp("model")
    save_model(model, folder, frame)
    return model, frame, read_mlmodel(folder)


def test_metadata_name_inputs_and_outputs(frame_model):
    model, _, document = frame_model
    found = model_metadata(document, name="m", versions=[3], classes=model.classes_)
    assert found == {
        "name": "m",
        "versions": ["3"],
        "platform": "mlflow_sklearn",
        "inputs": [
            {"name": "a", "datatype": "FP64", "shape": [-1]},
            {"name": "n", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [
            {"name": "predictions", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
        ],
    }
    outputs = model_metadata(document, name="m", versions=[3])["outputs"]
    assert [each["name"] for each in outputs] == ["predictions"]


def test_a_request_made_from_the_metadata_is_answered_as_the_model_does(frame_model):
    from nbmlops.scoring.rows import to_rows

    model, frame, document = frame_model
    spec = read_input_spec(document)
    metadata = model_metadata(document, name="m", versions=[3], classes=model.classes_)
    inputs = [
        {**each, "shape": [4], "data": frame[each["name"]].tolist()}
        for each in metadata["inputs"]
    ]
    outputs = [{"name": each["name"]} for each in metadata["outputs"]]
    body = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
    asked = read_infer(body, "application/json", spec)
    rows = to_rows(asked.table, spec)
    methods = {"predictions": model.predict, "probabilities": model.predict_proba}
    answer = json.loads(
        write_infer(
            {name: methods[name](rows) for name in asked.outputs},
            model_name="m",
            model_version="3",
        )
    )
    labels, probabilities = answer["outputs"]
    assert labels["data"] == model.predict(frame).tolist()
    found = np.reshape(probabilities["data"], probabilities["shape"])
    np.testing.assert_array_equal(found, model.predict_proba(frame))


def test_an_array_is_one_input_and_a_mixed_one_an_input_for_each_column(tmp_path):
    from sklearn.tree import DecisionTreeRegressor

    rows = np.arange(6, dtype="float32").reshape(2, 3)
    save_model(DecisionTreeRegressor().fit(rows, [[0.0, 1], [1, 0]]), tmp_path, rows)
    found = model_metadata(read_mlmodel(tmp_path), name="m", versions=[1])
    assert found["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3]}]
    assert found["outputs"][0] == {
        "name": "predictions",
        "datatype": "FP64",
        "shape": [-1, 2],
    }
    types = [{"type": "string", "required": True}, {"type": "double", "required": True}]
    document = {"signature": {"inputs": json.dumps(types), "outputs": None}}
    found = model_metadata(document, name="m", versions=[1])
    assert [each["datatype"] for each in found["inputs"]] == ["BYTES", "FP64"]
    assert found["outputs"] == []
