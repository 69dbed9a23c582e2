"""A model that is stored is served: what it was fitted on goes all the way."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from nbmlops.errors import UsageError
from nbmlops.scoring.example import read_example
from nbmlops.scoring.inference import record_example
from nbmlops.scoring.payload import arrange, encode, parts, payload
from nbmlops.serving.model import load
from nbmlops.store.models.files import save_model
from tests.serving.test_app import send

JSON = "application/json"
TEXTS = ["good a", "bad b", "good c", "bad d", "good é", "bad \u2028"]
CITIES = [{"city": "Rom" if i % 2 else "Oslo", "d": float(i)} for i in range(9)]
VARIED = [{"a": 1.0}, {"b": 2.0}, {"a": 1.0, "c": "x"}] * 3
NUMBERS = np.arange(20.0).reshape(10, 2)
MIXED = np.array([["a", 1.5], ["b", 2.0]] * 5, dtype=object)
IDS = pd.DataFrame({"id": np.arange(20) + 2**60, "v": np.arange(20.0)})
SPARSE = scipy.sparse.random(30, 50, 0.2, format="csr", random_state=0)


def homes(gap, **options):
    values = pd.Series(["own", gap, "rent", "own"] * 3, **options)
    return pd.DataFrame({"home": values, "v": np.arange(12.0)})


def texts():
    return make_pipeline(TfidfVectorizer(), LogisticRegression())


def dicts():
    return make_pipeline(DictVectorizer(), Ridge())


def encoding(*columns):
    encoder = make_column_transformer(
        (OneHotEncoder(), list(columns)), remainder="passthrough"
    )
    return make_pipeline(encoder, Ridge())


CASES = {
    "texts in a Series": (texts(), pd.Series(TEXTS, name="text"), "series"),
    "texts in a list": (texts(), TEXTS, "vector"),
    "texts in an array": (texts(), np.array(TEXTS), "vector"),
    "texts as objects": (texts(), np.array(TEXTS, dtype=object), "vector"),
    "dicts": (dicts(), CITIES, "dicts"),
    "dicts in a Series": (dicts(), pd.Series(CITIES), "dicts"),
    "dicts of varied keys": (dicts(), VARIED, "dicts"),
    "csr": (Ridge(), SPARSE, "sparse"),
    "csc": (Ridge(), SPARSE.tocsc(), "sparse"),
    "coo": (Ridge(), SPARSE.tocoo(), "sparse"),
    "sparse of float32": (Ridge(), SPARSE.astype("float32"), "sparse"),
    "sparse of whole numbers": (Ridge(), (SPARSE > 0.5).astype("int64"), "sparse"),
    **{
        dtype: (DecisionTreeRegressor(), NUMBERS.astype(dtype), "array")
        for dtype in ("float64", "float32", "float16", "int64", "int32", "uint8")
    },
    "flags": (DecisionTreeRegressor(), NUMBERS > 5, "array"),
    "lists": (LinearRegression(), NUMBERS.tolist(), "array"),
    "array of texts and numbers": (encoding(0), MIXED, "array"),
    "frame without names": (encoding(0), pd.DataFrame(MIXED.tolist()), "array"),
    "large ids": (DecisionTreeRegressor(), IDS, "frame"),
    "float32 columns": (Ridge(), pd.DataFrame(NUMBERS / 3).astype("float32")
                        .set_axis(["a", "b"], axis=1), "frame"),
    "text with gaps": (encoding("home"), homes(None), "frame"),
    "objects with None": (encoding("home"), homes(None, dtype=object), "frame"),
    "objects with NaN": (encoding("home"), homes(np.nan, dtype=object), "frame"),
    "flags with None": (
        encoding("b"), pd.DataFrame({"b": [True, None, False] * 3}), "frame"
    ),
    "categories": (
        HistGradientBoostingClassifier(categorical_features="from_dtype"),
        pd.DataFrame({"c": pd.Categorical(["u", "v", "u", "w"] * 5)}),
        "frame",
    ),
    "whole numbers with gaps": (
        HistGradientBoostingClassifier(),
        pd.DataFrame({"n": pd.array([1, None, 3, 4], "Int64")}),
        "frame",
    ),
}  # fmt: skip


def fitted(model, rows):
    n_rows = rows.shape[0] if hasattr(rows, "shape") else len(rows)
    return model.fit(rows, [i % 2 for i in range(n_rows)])


def ask(served, body, content_type):
    """Return an endpoint's answer; raise its refusal."""
    headers = {"content-type": content_type}
    answer = send("POST", "/invocations", model=served, content=body, headers=headers)
    if answer.status_code == 200:
        return answer.content
    error = UsageError(answer.json()["message"], fix=answer.json()["fix"])
    error.status = answer.status_code
    raise error


def asked(served, rows, most_bytes=300):
    found = []
    for first, body in parts(arrange(rows, served.spec), {}, most_bytes=most_bytes):
        assert first == len(found)
        found += json.loads(ask(served, body, JSON))["predictions"]
    return found


@pytest.mark.parametrize("name", CASES)
def test_what_a_model_was_fitted_on_is_answered_as_the_model_itself_does(
    name, tmp_path
):
    model, rows, kind = CASES[name]
    fitted(model, rows)
    assert save_model(model, tmp_path, rows).not_served is None
    served = load(tmp_path, name="m", version=1)
    assert served.spec.kind == kind
    expected = model.predict(rows)
    np.testing.assert_allclose(asked(served, rows), expected, rtol=1e-9)
    example = read_example(tmp_path)
    answer = json.loads(ask(served, encode(example.request()), JSON))
    np.testing.assert_allclose(answer["predictions"], expected[:5], rtol=1e-9)
    table = encode({"dataframe_split": example.table()})
    np.testing.assert_allclose(
        json.loads(ask(served, table, JSON))["predictions"], expected[:5], rtol=1e-9
    )


def test_mlflows_own_client_takes_texts_sparse_rows_and_large_ids(tmp_path):
    import mlflow.pyfunc

    for name in ("texts in a Series", "csr", "large ids", "int64", "float32 columns"):
        model, rows, _ = CASES[name]
        fitted(model, rows)
        folder = tmp_path / name
        folder.mkdir()
        save_model(model, folder, rows)
        stock = mlflow.pyfunc.load_model(str(folder))
        np.testing.assert_allclose(stock.predict(rows), model.predict(rows))
    folder = tmp_path / "dicts"
    folder.mkdir()
    save_model(fitted(dicts(), CITIES), folder, CITIES)
    stored = mlflow.models.Model.load(str(folder))
    assert stored.signature.inputs.input_names() == ["city", "d"]
    assert stored.load_input_example(str(folder)) == CITIES[:5]


def test_each_number_of_64_bits_arrives_exactly(tmp_path):
    class Echo(RegressorMixin, BaseEstimator):
        def predict(self, rows):
            return rows["id"].to_numpy()

    frame = pd.DataFrame({"id": [2**63 - 1, -(2**63), 2**53 + 1]})
    record = record_example(Echo(), frame)
    assert record.not_served is None
    assert '"long"' in record.fields["signature"]["inputs"]


class Picky(BaseEstimator):
    """Predicts rows by a function."""

    def __init__(self, function):
        self.function = function

    def predict(self, rows):
        return self.function(rows)


def _types(rows):
    return [str(type(value)) for value in rows.iloc[:, 0]]


def _times(rows):
    return [value.hour for value in rows["t"]]


@pytest.mark.parametrize(
    ("model", "rows", "expected"),
    [
        (Picky(_types), pd.DataFrame({"t": pd.to_timedelta([1, 2], "D")}),
         "becomes a DataFrame of str, which the model predicts otherwise"),
        (Picky(_times), pd.DataFrame({"t": [pd.Timestamp(0).time()]}),
         "the model raises 'str' object has no attribute 'hour'"),
        (Picky(len), pd.DataFrame({"a": [1.0]}), "one value for all rows"),
        (Picky(lambda rows: [1]), pd.DataFrame({"a": [1.0, 2.0]}),
         "predicts 1 values for 2 rows"),
        (Picky(_types), pd.DataFrame({"t": [b"ab"]}), "'t' is of type 'binary'"),
        (Picky(_types), pd.DataFrame({"t": [np.inf]}), "inf is not finite"),
        (Picky(_types), pd.DataFrame({"t": np.array([2**63], "uint64")}),
         "9223372036854775808 is beyond what a number of 64 bits can hold"),
        (Picky(_types), pd.DataFrame([[1, 2]], columns=["a", "a"]),
         "two columns 'a'"),
        (Picky(len), np.zeros((3, 2, 2)), r"arrays of shape \(-1, 2, 2\)"),
        (fitted(make_pipeline(FeatureHasher(8, input_type="string"), Ridge()),
                [["a", "b"], ["c"]]),
         [["a", "b"], ["c"]], "Row 1 is 1 values, where 2"),
        (Picky(len), [{1: "a"}], "The key 1 of a row is no text"),
        (Picky(len), [{"a": [1]}], "column 'a': .1. is not one value"),
        (Picky(lambda rows: [0] * len(rows)), "text", "Rows in a str cannot be sent"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_said_when_the_model_is_stored(model, rows, expected):
    record = record_example(model, rows)
    assert re.search(expected, record.not_served), record.not_served
    assert record.not_served.endswith(".")
    assert record.fields["metadata"]["nbmlops.not_served"] == record.not_served


def test_an_example_that_is_used_up_by_reading_is_refused_and_left_alone():
    rows = iter([[1.0], [2.0]])
    with pytest.raises(UsageError, match="use it up"):
        record_example(LinearRegression().fit([[1.0], [2.0]], [1, 2]), rows)
    assert list(rows) == [[1.0], [2.0]]
    with pytest.raises(UsageError, match="no rows"):
        record_example(LinearRegression(), np.zeros((0, 2)))


def served_by(model, rows, tmp_path):
    save_model(fitted(model, rows), tmp_path, rows)
    return load(tmp_path, name="m", version=1)


def refusal(served, request):
    with pytest.raises(UsageError) as refused:
        ask(served, encode(request), JSON)
    assert refused.value.status == 400
    return refused.value.problem


def test_rows_that_are_dicts_keep_to_the_keys_of_the_training_rows(tmp_path):
    served = served_by(dicts(), CITIES, tmp_path)
    row = {"city": "Rom", "d": 1}
    for layout in ("dataframe_records", "instances", "inputs"):
        assert ask(served, encode({layout: [row]}), JSON)
        problem = refusal(served, {layout: [row, {"citty": "Rom", "d": 1.0}]})
        assert problem == (
            "The request has 2 faults: Row 1: 'city' is missing; "
            "Row 1: unknown key 'citty'. Did you mean 'city'?"
        )
    rows = [row, {**row, "dd": 1}]
    assert "Row 1: unknown key 'dd'. Did you mean 'd'?" in refusal(
        served, {"inputs": rows}
    )
    problem = refusal(served, {"inputs": [{"city": 3, "d": 1}]})
    assert problem == "Row 0, column 'city': 3 is not text."
    assert "without names" in refusal(served, {"inputs": [["Rom", 1]]})
    assert "no rows" in refusal(served, {"inputs": []})
    csv = ask(served, b"city,d\nRom,1\nOslo,2.5\n", "text/csv")
    expected = served.predict([row, {"city": "Oslo", "d": 2.5}])
    np.testing.assert_allclose(json.loads(csv)["predictions"], expected)


def test_where_training_rows_had_varied_keys_any_key_is_taken(tmp_path):
    served = served_by(dicts(), VARIED, tmp_path)
    rows = [{"zz": 3.0}, {}, {"a": 2.0, "new": "t"}]
    np.testing.assert_allclose(asked(served, rows), served.predict(rows))
    assert "Row 0, column 'new'" in refusal(served, {"inputs": [{"new": [1]}]})
    # In a table each row has each column: a gap stands for a key that is not there.
    table = {"columns": ["a", "b"], "data": [[1.0, None], [None, 2.0]]}
    answer = json.loads(ask(served, encode({"dataframe_split": table}), JSON))
    np.testing.assert_allclose(
        answer["predictions"], served.predict([{"a": 1.0}, {"b": 2.0}])
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"shape": [2, 50]}, "do not fit"),
        ({"shape": [1, 51]}, r"shape \[1, 51\], the model takes 50"),
        ({"shape": [50]}, "the model takes 50"),
        ({"indices": [50, 1]}, "do not fit"),
        ({"indices": [-1, 1]}, "'indices' is not a list of whole numbers"),
        ({"indices": [1, 1]}, "Row 0 has two values for one column"),
        ({"indptr": [1, 2]}, "do not fit"),
        ({"indptr": "0"}, "'indptr' is not a list"),
        ({"data": [1.0, "x"]}, "'x' is not a number"),
        ({"data": [1.0]}, "do not fit"),
        ({"shape": [0, 50], "indptr": [0], "data": [], "indices": []}, "no rows"),
    ],
)
def test_sparse_rows_that_do_not_hold_together_are_refused(tmp_path, change, expected):
    served = served_by(Ridge(), SPARSE, tmp_path)
    good = {"data": [1.0, 2], "indices": [3, 1], "indptr": [0, 2], "shape": [1, 50]}
    row = np.zeros((1, 50))
    row[0, [3, 1]] = 1.0, 2.0
    for request in ({"inputs": good}, {"inputs": row.tolist()}):
        answer = json.loads(ask(served, encode(request), JSON))["predictions"]
        np.testing.assert_allclose(answer, served.predict(row))
    assert re.search(expected, refusal(served, {"inputs": {**good, **change}}))


def test_a_gap_among_texts_is_refused_where_the_model_takes_none(tmp_path):
    served = served_by(texts(), pd.Series(TEXTS), tmp_path)
    problem = refusal(served, {"inputs": ["a", None]})
    assert problem == "Row 1, column '0': the value is missing."
    assert "takes one a row" in refusal(served, {"inputs": [["a", "b"]]})


def test_whole_numbers_gaps_and_fractions_of_one_column_are_never_changed(tmp_path):
    frame = pd.DataFrame({"n": [1, 2, 3, 4]})
    served = served_by(HistGradientBoostingClassifier(), frame, tmp_path)
    received = []
    served = type(served)(
        name="m", version=1, spec=served.spec,
        predict=lambda rows: received.append(rows["n"].tolist()) or [0] * len(rows),
    )  # fmt: skip
    for values in ([1, 2.0], [2.5, 1], [2**62 + 1, 5], [1, None]):
        ask(served, encode(payload([{"n": value} for value in values])), JSON)
        arrived = [None if value != value else value for value in received[-1]]
        assert arrived == values
    for other in (None, 0.5):
        problem = refusal(served, payload([{"n": 2**53 + 1}, {"n": other}]))
        assert problem.startswith(
            "Row 0, column 'n': 9007199254740993 is a whole number"
        )


def test_an_unknown_category_is_the_models_to_judge(tmp_path):
    model, frame, _ = CASES["categories"]
    served = served_by(model, frame, tmp_path)
    received = []
    spied = type(served)(
        name="m", version=1, spec=served.spec,
        predict=lambda rows: received.append(rows["c"]) or [0] * len(rows),
    )  # fmt: skip
    ask(spied, encode({"inputs": {"c": ["w", "new", None]}}), JSON)
    assert received[0].cat.categories.tolist() == ["u", "v", "w", "new"]
    assert received[0].isna().tolist() == [False, False, True]


def test_a_classifier_gives_probabilities_in_the_order_of_its_classes(tmp_path):
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(NUMBERS, ["no", "yes"] * 5)
    save_model(model, tmp_path, NUMBERS)
    served = load(tmp_path, name="m", version=1)
    request = {"inputs": NUMBERS.tolist(), "params": {"output": "probabilities"}}
    answer = json.loads(ask(served, encode(request), JSON))
    np.testing.assert_allclose(answer["predictions"], model.predict_proba(NUMBERS))
    assert answer["classes"] == ["no", "yes"]
    request["params"] = {"output": "predictions"}
    answer = json.loads(ask(served, encode(request), JSON))
    assert answer == {"predictions": model.predict(NUMBERS).tolist()}


def test_a_model_without_probabilities_says_so(tmp_path):
    served = served_by(LinearRegression(), NUMBERS, tmp_path)
    request = {"inputs": NUMBERS.tolist(), "params": {"output": "probabilities"}}
    assert refusal(served, request) == "m/1 gives no probabilities."
