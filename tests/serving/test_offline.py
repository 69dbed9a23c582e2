"""A model folder and rows in a file, to answers in another."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

from nbmlops.serving.offline import main
from nbmlops.store.models.files import save_model

N = 40


def prepare(folder, model, example, rows):
    (folder / "model").mkdir()
    save_model(model, folder / "model", example)
    rows.to_parquet(folder / "rows.parquet")
    options = {"model": "churn", "version": 2, "trust": []}
    (folder / "options.json").write_text(json.dumps(options))


def answers(folder):
    assert main(folder) == 0
    return json.loads((folder / "answers.json").read_text())


@pytest.fixture
def numbers():
    return pd.DataFrame(
        np.random.default_rng(1).normal(size=(N, 2)), columns=["a", "b"]
    )


def test_rows_of_a_frame(tmp_path, numbers):
    model = LogisticRegression().fit(numbers, numbers.a > 0)
    prepare(tmp_path, model, numbers, numbers[["b", "a"]].assign(other=1))
    found = answers(tmp_path)
    assert found["predictions"] == model.predict(numbers).tolist()
    assert found["has_classes"]
    assert found["errors"] == {}
    assert found["us_per_row"] > 0


def test_rows_of_an_array(tmp_path, numbers):
    model = LinearRegression().fit(numbers.to_numpy(), numbers.a)
    rows = numbers.set_axis(["0", "1"], axis="columns")
    prepare(tmp_path, model, numbers.to_numpy(), rows)
    found = answers(tmp_path)
    assert found["predictions"] == pytest.approx(numbers.a.tolist())
    assert not found["has_classes"]


def test_texts(tmp_path):
    texts = pd.Series(["good day", "bad day"] * (N // 2), name="text")
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    model.fit(texts, texts.str.startswith("good"))
    prepare(tmp_path, model, texts, texts.to_frame())
    assert answers(tmp_path)["predictions"] == [True, False] * (N // 2)


def test_dicts(tmp_path):
    rows = [{"home": "rent"}, {"home": "own", "age": 3.0}] * (N // 2)
    model = make_pipeline(DictVectorizer(), LogisticRegression())
    model.fit(rows, ["r", "o"] * (N // 2))
    prepare(tmp_path, model, rows, pd.DataFrame(rows))
    assert answers(tmp_path)["predictions"] == ["r", "o"] * (N // 2)


def test_times_and_gaps(tmp_path):
    moments = pd.date_range("2026-01-01", periods=N, freq="D")
    rows = pd.DataFrame({"when": moments, "n": [None, 2] * (N // 2)})
    model = DummyClassifier().fit(rows, ["a"] * N)
    prepare(tmp_path, model, rows, rows)
    found = answers(tmp_path)
    assert (found["predictions"], found["errors"]) == (["a"] * N, {})


def test_rows_that_are_refused_are_named(tmp_path, numbers):
    model = LinearRegression().fit(numbers, numbers.a)
    rows = numbers.copy()
    rows.loc[[3, 17], "b"] = np.nan
    prepare(tmp_path, model, numbers, rows)
    found = answers(tmp_path)
    assert sorted(found["errors"]) == ["17", "3"]
    assert "'b'" in found["errors"]["3"]
    assert found["predictions"][3] is None
    assert found["predictions"][4] == pytest.approx(numbers.a[4])


def test_a_model_that_cannot_be_used_says_why(tmp_path, numbers):
    model = LinearRegression().fit(numbers, numbers.a)
    prepare(tmp_path, model, numbers, numbers[["a"]])
    assert main(tmp_path) == 1
    refusal = json.loads((tmp_path / "refusal.json").read_text())
    assert "takes column 'b', which the logged requests" in refusal["problem"]
    assert refusal["fix"].startswith("Rehearse a version")
