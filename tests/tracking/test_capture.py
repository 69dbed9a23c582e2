import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.cluster import KMeans
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nbmlops.tracking.run.capture import (
    DataNames,
    assigned_names,
    data_names,
    find_example,
    find_model,
    read_names,
)

X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
y = [0, 0, 1, 1]


def test_names_in_functions_are_not_the_cells_own():
    source = "def f():\n    inner = 1\nouter = f()\nfor i in []:\n    looped = i"
    assert set(assigned_names(source)) == {"outer", "i", "looped"}


def test_code_that_cannot_be_parsed_binds_and_reads_nothing():
    assert assigned_names("a = ") == read_names("a = ") == ()


def test_last_predictor_wins_over_a_later_transformer():
    namespace = {
        "first": LogisticRegression().fit(X, y),
        "second": LogisticRegression().fit(X, y),
        "scaler": StandardScaler().fit(X),
        "unfitted": LogisticRegression(),
    }
    names = ("first", "second", "scaler", "unfitted", "missing")
    assert find_model(namespace, names)[0] == "second"
    assert find_model(namespace, ("scaler",))[0] == "scaler"
    assert find_model(namespace, ("unfitted",)) is None


def test_example_has_the_columns_the_estimator_knows_in_its_order():
    model = LogisticRegression().fit(X, y)
    wider = X.assign(target=y)[["target", "b", "a"]]
    space = {"other": X[["a"]], "wider": wider}
    found = find_example(space, DataNames(read=("other", "wider")), model)
    assert list(found.columns) == ["a", "b"]
    assert find_example(space, DataNames(read=("other",)), model) is None


def test_example_of_an_array_has_its_width():
    model = KMeans(2, n_init=1).fit(X.to_numpy())
    space = {"flat": np.zeros(2), "narrow": np.zeros((3, 1)), "right": X.to_numpy()}
    assert find_example(space, DataNames(read=tuple(space)), model) is space["right"]
    for rows in (scipy.sparse.csr_matrix(X), X.to_numpy().tolist()):
        space = {"y": y, "ragged": [[1.0, 2], [3.0]], "right": rows}
        assert find_example(space, DataNames(read=tuple(space)), model) is rows


class Bunch:
    def __init__(self, data):
        self.data = data
        self.counted = 0

    @property
    def broken(self):
        raise ValueError


TEXTS = ["good", "bad", "good", "bad"]
LABELS = ["p", "n", "p", "n"]


@pytest.mark.parametrize(
    ("source", "space"),
    [
        ("m.fit(docs, y)", {"docs": TEXTS}),
        ("m = P().fit(docs, y)", {"docs": pd.Series(TEXTS)}),
        ("m.fit(docs, y)", {"docs": np.array(TEXTS)}),
        ("m.fit(train.data, y)", {"train": Bunch(TEXTS)}),
        ("m.fit(frame['text'], y)", {"frame": pd.DataFrame({"text": TEXTS})}),
        ("m.fit(frame.text, y)", {"frame": pd.DataFrame({"text": TEXTS})}),
    ],
)
def test_texts_are_found_by_the_fit_they_were_given_to(source, space):
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, LABELS)
    space = {"y": LABELS, "names": ["a", "b"], **space}
    found = find_example(space, data_names(f"names\ny\n{source}"), model)
    assert list(found) == TEXTS


def test_texts_that_only_stand_in_the_code_are_no_example():
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, LABELS)
    space = {"y": LABELS, "docs": TEXTS, "train": Bunch(TEXTS), "it": iter(TEXTS)}
    for code in (
        "y\ndocs",
        "m.fit(load(docs), y)",
        "m.fit(train.missing, y)",
        "m.fit(train.broken, y)",
        "m.fit(docs['a'], y)",
        "m.fit(it, y)",
        "m.fit((",
    ):
        assert find_example(space, data_names(code), model) is None
    assert find_example(space, data_names("y", ["docs"]), model) is TEXTS
    assert next(space["it"]) == "good"


def test_rows_that_are_dicts_are_found():
    rows = [{"city": "Rom", "d": 1.0}, {"city": "Oslo", "d": 2.0}] * 2
    model = make_pipeline(DictVectorizer(), LogisticRegression()).fit(rows, LABELS)
    space = {"y": LABELS, "rows": rows}
    assert find_example(space, data_names("m.fit(rows, y)"), model) is rows
