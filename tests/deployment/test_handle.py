import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nbmlops.deployment import actions, endpoints
from nbmlops.deployment.handle import EndpointHandle
from nbmlops.errors import DeployError, NotFoundError, UsageError


@pytest.mark.server
def test_a_handle_predicts_tells_its_state_and_follows_its_endpoint(
    store, versions, models, frame
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    handle = EndpointHandle(store.settings, endpoint)
    found = handle.predict(frame)
    np.testing.assert_array_equal(found, models[0].predict(frame))
    assert handle.predict(frame.iloc[0]).tolist() == found[:1].tolist()
    assert (handle.name, handle.version, handle.url) == ("credit", 1, endpoint.url)
    assert len(handle.token) == 43
    assert "credit/1 · ready" in repr(handle)
    actions.deploy(store, versions[1], name="credit")
    np.testing.assert_array_equal(handle.predict(frame), models[1].predict(frame))
    assert handle.status().version == handle.version == 2
    actions.undeploy(store.settings, "credit")
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
    endpoint, _ = actions.deploy(store, version, name="arrays")
    found = EndpointHandle(store.settings, endpoint).predict(rows)
    np.testing.assert_allclose(found, model.predict(rows), rtol=1e-12)


@pytest.mark.server
def test_a_large_batch_of_texts_is_answered_in_parts(store, register):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    texts = pd.Series(["good day", "bad day", "good night", "bad night"], name="text")
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, list("pnpn"))
    version = register("texts", model, texts)
    small = replace(store, settings=replace(store.settings, max_request_bytes=2000))
    endpoint, _ = actions.deploy(small, version, name="texts")
    handle = EndpointHandle(store.settings, endpoint)
    many = pd.Series([f"{'good' if i % 3 else 'bad'} day {i}" for i in range(300)])
    assert len(json.dumps(many.tolist())) > 2 * 2000
    for rows in (many, many.tolist(), many.to_numpy(), many.to_frame()):
        assert handle.predict(rows).tolist() == model.predict(many).tolist()
    np.testing.assert_allclose(handle.predict_proba(many), model.predict_proba(many))
    broken = [*many, 7, "good"]
    with pytest.raises(UsageError, match=r"^Row 300, column '0': 7 is not text"):
        handle.predict(broken)
    with pytest.raises(UsageError, match=r"^Row 2: The body is larger than 2000 bytes"):
        handle.predict(["a", "b", "c" * 3000])


@pytest.mark.server
def test_a_version_that_is_replaced_between_two_parts_is_noticed(
    store, versions, frame, monkeypatch
):
    settings = replace(store.settings, max_request_bytes=1000)
    small = replace(store, settings=settings)
    endpoint, _ = actions.deploy(small, versions[0], name="credit")
    ask = endpoints.request

    def and_deploy(*args):
        answer = ask(*args)
        monkeypatch.setattr(endpoints, "request", ask)
        actions.deploy(small, versions[1], name="credit")
        return answer

    monkeypatch.setattr(endpoints, "request", and_deploy)
    with pytest.raises(
        DeployError, match=r"moved to credit/2 after the first \d+ rows"
    ):
        EndpointHandle(settings, endpoint).predict(frame)
