import json

import numpy as np
import pandas as pd
import pytest

from nbmlops.deployment import local
from nbmlops.deployment.handle import EndpointHandle, _layout, _plain
from nbmlops.errors import NotFoundError, UsageError


def sent(frame):
    return json.loads(json.dumps(_layout(frame), default=_plain))


def test_a_frame_is_sent_whole_with_gaps_as_null():
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "x": [0.1 + 0.2, np.nan],
            "t": ["a", None],
            "when": pd.to_datetime(["2026-01-02", None]),
            "kind": pd.Categorical(["u", "v"]),
        }
    )
    assert sent(frame) == {
        "dataframe_split": {
            "columns": ["n", "x", "t", "when", "kind"],
            "data": [
                [1, 0.30000000000000004, "a", "2026-01-02T00:00:00", "u"],
                [2, None, None, None, "v"],
            ],
        }
    }


def test_a_series_is_one_row_and_an_array_and_dicts_are_rows():
    row = pd.Series({"a": 1, "b": "x"})
    assert sent(row)["dataframe_split"] == {"columns": ["a", "b"], "data": [[1, "x"]]}
    assert sent(np.array([[1.5, np.nan]])) == {"inputs": [[1.5, None]]}
    assert sent(np.array(["text"])) == {"inputs": ["text"]}
    assert sent([{"a": np.int64(1), "b": float("nan")}]) == {
        "dataframe_records": [{"a": 1, "b": None}]
    }


@pytest.mark.parametrize("rows", [None, 3, "text", [[1, 2]], {"a": 1}])
def test_what_is_no_table_is_refused(rows):
    with pytest.raises(UsageError, match=type(rows).__name__):
        sent(rows)


@pytest.mark.server
def test_a_handle_predicts_tells_its_state_and_follows_its_endpoint(
    store, versions, models, frame
):
    endpoint, _ = local.deploy(store, versions[0], name="credit")
    handle = EndpointHandle(store.settings, endpoint)
    found = handle.predict(frame)
    np.testing.assert_array_equal(found, models[0].predict(frame))
    assert handle.predict(frame.iloc[0]).tolist() == found[:1].tolist()
    assert (handle.name, handle.version, handle.url) == ("credit", 1, endpoint.url)
    assert len(handle.token) == 43
    assert "credit/1 · ready" in repr(handle)
    local.deploy(store, versions[1], name="credit")
    np.testing.assert_array_equal(handle.predict(frame), models[1].predict(frame))
    assert handle.status().version == handle.version == 2
    local.undeploy(store.settings, "credit")
    with pytest.raises(NotFoundError):
        handle.status()


@pytest.mark.server
def test_a_model_of_arrays_takes_arrays(store, register):
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 3))
    rows[::7, 1] = np.nan
    model = HistGradientBoostingRegressor(max_iter=5).fit(rows, rows[:, 0])
    version = register("arrays", model, rows)
    endpoint, _ = local.deploy(store, version, name="arrays")
    found = EndpointHandle(store.settings, endpoint).predict(rows)
    np.testing.assert_array_equal(found, model.predict(rows))


@pytest.mark.server
def test_a_model_of_texts_takes_texts(store, register):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    texts = np.array(["good day", "bad day", "good night", "bad night"])
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, [1, 0, 1, 0])
    endpoint, _ = local.deploy(store, register("texts", model, texts), name="texts")
    found = EndpointHandle(store.settings, endpoint).predict(np.array(["good", "bad"]))
    assert found.tolist() == [1, 0]
