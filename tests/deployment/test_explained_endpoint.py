"""Why an endpoint answered as it did, from its log."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from nbmlops.deployment import actions, records
from nbmlops.deployment.handle import EndpointHandle
from nbmlops.entities import to_json
from nbmlops.errors import NotFoundError, UsageError
from tests.deployment.test_logged_endpoint import post


def ask(handle, rows):
    body = {"dataframe_split": rows.to_dict("split", index=False)}
    return post(handle, "invocations", json.dumps(body).encode())[0]


def get(handle, path):
    asked = urllib.request.Request(  # noqa: S310 - a loopback address
        f"{handle.url}/{path}", headers={"authorization": f"Bearer {handle.token}"}
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
        return answer.read()


def logged(handle, request_id):
    until = time.monotonic() + 60
    while request_id not in set(handle.log().frame(["request_id"]).request_id):
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.server
def test_an_answer_is_explained_by_the_version_that_gave_it(
    store, versions, models, frame
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    handle = EndpointHandle(store.settings, endpoint)
    rows = frame.iloc[10:13]
    request_id = ask(handle, rows)
    logged(handle, request_id)
    actions.deploy(store, versions[1], name="credit")
    view = handle.explain(request_id)
    found = view.contributions
    assert (found.model, found.version, found.request_id) == ("credit", 1, request_id)
    assert (found.of, found.method, len(found.rows)) == ("margin", "linear", 3)
    for row, margin in zip(found.rows, models[0].decision_function(rows), strict=True):
        assert row.prediction == row.label == ("good" if margin > 0 else "bad")
        np.testing.assert_allclose(row.output, abs(margin))
        np.testing.assert_allclose(row.base + sum(row.columns.values()), row.output)
        assert list(row.columns) == ["a", "b"]
    shown = repr(view)
    assert f"credit/1 on request {request_id}, row 0 of 3" in shown
    assert "margin of " in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "<table" in view._repr_html_()
    assert list(view.frame().columns[-2:]) == ["in.a", "in.b"]

    with ThreadPoolExecutor() as pool:
        explained = pool.submit(get, handle, f"explain/{request_id}")
        for _ in range(5):  # a process takes longer to start than these together
            handle.predict(rows)
        assert not explained.done()
    assert json.loads(explained.result()) == to_json(found)
    assert "/explain/{request_id}" in json.loads(get(handle, "openapi.json"))["paths"]
    for wrong in ("ffff", "%00", "..%2Fx", ""):
        with pytest.raises(urllib.error.HTTPError) as error:
            get(handle, f"explain/{wrong}")
        assert error.value.code == 404
        assert json.loads(error.value.read())["error"] == "NotFoundError"

    with pytest.raises(NotFoundError, match="has no request 'ffff'"):
        handle.explain("ffff")
    folder = records.root(store.settings) / "credit" / "versions" / "1"
    shutil.rmtree(folder)
    with pytest.raises(NotFoundError, match="credit/1, which answered the request"):
        handle.explain(request_id)
    actions.undeploy(store.settings, "credit")
    with pytest.raises(NotFoundError, match="No endpoint 'credit'"):
        handle.explain(request_id)


@pytest.mark.server
def test_a_booster_of_texts_and_gaps_is_explained(store, register):
    rng = np.random.default_rng(5)
    rows = pd.DataFrame(
        {"age": rng.normal(size=90), "home": rng.choice(["x", "y"], 90)}
    )
    rows["home"] = rows.home.astype("category")
    rows.loc[::5, "age"] = np.nan
    y = (rows.age.fillna(1) > 0) ^ (rows.home == "x")
    model = HistGradientBoostingClassifier(
        max_iter=15, categorical_features="from_dtype"
    )
    version = register("boosted", model.fit(rows, y), rows)
    endpoint, _ = actions.deploy(store, version, name="boosted")
    handle = EndpointHandle(store.settings, endpoint)
    sent = rows.head(7).astype({"home": str}).astype(object)
    request_id = ask(handle, sent.where(sent.notna(), None))
    logged(handle, request_id)
    found = handle.explain(request_id).contributions
    likely = model.predict_proba(rows.head(7)).max(axis=1)
    for row, probability in zip(found.rows, likely, strict=True):
        if found.of == "margin":
            probability = np.log(probability / (1 - probability))
        np.testing.assert_allclose(row.output, probability, rtol=1e-4)
        total = row.base + sum(row.columns.values())
        np.testing.assert_allclose(total, row.output, rtol=1e-4)
    wrong = refused(handle)
    logged(handle, wrong)
    with pytest.raises(UsageError, match="its status is 400"):
        handle.explain(wrong)


def refused(handle):
    with pytest.raises(urllib.error.HTTPError) as error:
        post(handle, "invocations", b'{"inputs": []}')
    return error.value.headers["x-request-id"]
