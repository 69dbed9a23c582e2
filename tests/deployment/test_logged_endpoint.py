"""From an endpoint's answers to its log, its feedback and a rehearsal."""

from __future__ import annotations

import json
import time
import urllib.request

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.deployment import actions
from nbmlops.deployment.handle import EndpointHandle


def post(handle, path, body, content_type="application/json"):
    asked = urllib.request.Request(  # noqa: S310 - a loopback address
        f"{handle.url}/{path}",
        body,
        {"authorization": f"Bearer {handle.token}", "content-type": content_type},
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
        return answer.headers["x-request-id"], answer.read()


def logged(handle, n_rows, n_labels):
    """Return the log once so many rows and labels are there."""
    until = time.monotonic() + 60
    while True:
        frame = handle.log(since="1h").frame()
        if len(frame) >= n_rows and frame.label.notna().sum() >= n_labels:
            return frame
        assert time.monotonic() < until, frame
        time.sleep(0.1)


@pytest.mark.server
def test_answers_are_logged_labelled_and_rehearsed(
    store, register, versions, models, frame, monkeypatch, capsys
):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    handle = EndpointHandle(store.settings, endpoint)
    expected = handle.predict(frame).tolist()
    csv = frame.head(3).to_csv(index=False).encode()
    by_csv, _ = post(handle, "invocations", csv, "text/csv")
    handle.predict_proba(frame.head(2))
    one = {"dataframe_split": frame.head(1).to_dict("split")}
    one["dataframe_split"].pop("index")
    by_json, _ = post(handle, "invocations", json.dumps(one).encode())
    for request_id, label in ((by_csv, ["good", "bad", "good"]), (by_json, "bad")):
        document = {"request_id": request_id, "label": label}
        post(handle, "feedback", json.dumps(document).encode())
    rows = logged(handle, len(frame) + 3 + 2 + 1, 4)

    assert rows["in.a"].dtype == "float64"
    first = rows[rows.request_id == rows.request_id.iloc[0]]
    np.testing.assert_array_equal(first[["in.a", "in.b"]], frame)
    assert first.prediction.tolist() == expected
    sent = rows[rows.request_id == by_csv]
    np.testing.assert_array_equal(sent[["in.a", "in.b"]], frame.head(3))
    assert sent.prediction.tolist() == expected[:3]
    assert sent.label.tolist() == ["good", "bad", "good"]
    assert rows[rows.request_id == by_json].label.tolist() == ["bad"]
    assert set(rows.version) == {1}
    assert set(rows.route) == {"champion"}
    assert (rows.latency_us > 0).all()
    assert rows.prediction.isna().sum() == 2  # of probabilities

    monkeypatch.chdir(store.settings.project)
    assert invoke(["endpoints", "log", "credit", "--json"]) == 0
    items = json.loads(capsys.readouterr().out)["items"]
    assert len(items) == len(rows)
    assert items[0]["in.a"] == pytest.approx(frame.a[0], rel=1e-14)
    assert items[0]["time"] == f"{rows.time.iloc[0]:%Y-%m-%dT%H:%M:%S.%fZ}"
    assert invoke(["endpoints", "log", "credit", "--since", "2d"]) == 0
    assert capsys.readouterr().out.startswith("request log of credit · 66 rows · ")
    assert invoke(["endpoints", "promote", "credit", "--since", "2d"]) == 2
    assert "promote takes no --since." in capsys.readouterr().err

    same = nm.rehearse("credit/1", endpoint="credit", store=store).rehearsal
    assert (same.n_rows, same.n_different, same.slices) == (len(frame) + 4, 0, ())
    opposite = LogisticRegression().fit(frame, np.where(frame.a > 0, "bad", "good"))
    version = register("credit", opposite)
    found = nm.rehearse(
        f"credit/{version.version}", endpoint="credit", store=store
    ).rehearsal
    assert found.n_changed > 0.8 * found.n_rows
