import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from nbmlops.tracking.capture import (
    assigned_names,
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
    found = find_example({"other": X[["a"]], "wider": wider}, ("other", "wider"), model)
    assert list(found.columns) == ["a", "b"]
    assert find_example({"other": X[["a"]]}, ("other",), model) is None


def test_example_of_an_array_has_its_width():
    model = KMeans(2, n_init=1).fit(X.to_numpy())
    space = {"flat": np.zeros(2), "narrow": np.zeros((3, 1)), "right": X.to_numpy()}
    assert find_example(space, tuple(space), model) is space["right"]
