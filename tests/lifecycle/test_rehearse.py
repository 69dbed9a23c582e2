"""A model version on what an endpoint has logged."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.deployment.request_log import log_folder
from nbmlops.entities import Column
from nbmlops.errors import DeployError, NotFoundError, UsageError
from nbmlops.serving.request_log.requests import LoggedRequest, RequestLog
from nbmlops.store.models.models import log_model
from nbmlops.store.registry.versions import create_version
from nbmlops.store.runs.queries import get_run
from nbmlops.store.runs.runs import create_run

N = 1200
COLUMNS = (
    Column(name="age", type="double"),
    Column(name="income", type="double"),
    Column(name="home", type="string"),
)


@pytest.fixture(scope="module")
def applicants():
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, N),
            "income": rng.lognormal(3, 1, N),
            "home": rng.choice(["rent", "own", "none"], N, p=[0.5, 0.44, 0.06]),
        }
    )


def columns():
    return make_column_transformer(
        ("passthrough", ["age", "income"]),
        (OneHotEncoder(handle_unknown="ignore"), ["home"]),
    )


def register(store, model, example, name="credit"):
    run_id = create_run(store, name="fit", experiment="e")
    log_model(store, run_id, model, example)
    return create_version(store, name, get_run(store, run_id))


def log(store, rows, predictions, *, columns=COLUMNS, **fields):
    """Log rows, one a request and a minute, the last one now."""
    writer = RequestLog(
        log_folder(store.settings, "risk"), columns, most_bytes=10**9, most_days=30
    )
    now = time.time_ns()
    for n, (values, prediction) in enumerate(
        zip(rows.itertuples(index=False), predictions, strict=True)
    ):
        writer.append(
            LoggedRequest(
                **{
                    "request_id": uuid.uuid4().hex,
                    "time_ns": now - (len(rows) - 1 - n) * 60 * 10**9,
                    "version": 1,
                    "route": "champion",
                    "status": 200,
                    "latency_us": 300,
                    "inputs": tuple([value] for value in values),
                    "outputs": [prediction],
                }
                | fields
            )
        )
    writer.close()


@pytest.fixture
def classifier(store, applicants):
    """Return a model whose answers of the last 20 hours are logged, as version 1."""
    paid_back = np.where(applicants.age > 40, "good", "bad")
    model = make_pipeline(columns(), LogisticRegression(max_iter=1000))
    model.fit(applicants, paid_back)
    register(store, model, applicants)
    log(store, applicants, model.predict(applicants).tolist())
    return model


def test_an_equal_model_is_silent_about_what_was_answered(
    store, applicants, classifier
):
    some = applicants.head(5)
    log(store, some, [None] * 5, status=500)
    log(store, some, ["good"] * 5, route="shadow")
    log(store, some, [[0.5, 0.5]] * 5)
    view = nm.rehearse("credit/1", endpoint="risk", store=store)
    found = view.rehearsal
    assert (found.n_rows, found.n_requests, found.served) == (N, N, (1,))
    assert (found.kind, found.n_different, found.n_failed) == ("classes", 0, 0)
    assert (found.flips, found.errors, found.slices) == ((), (), ())
    assert found.us_per_row > 0
    assert found.us_single > 0
    assert found.notes == (
        "5 rows without one prediction, such as probabilities, are left out.",
    )
    assert "Every prediction is what it was." in repr(view)
    assert not view.frame().is_changed.any()


def test_a_version_that_is_wrong_somewhere_is_named_there(
    store, applicants, classifier
):
    # It has learned the contrary of those without a home.
    learned = np.where(applicants.age > 40, "good", "bad")
    learned = np.where(applicants.home == "none", "bad", learned)
    model = make_pipeline(columns(), LogisticRegression(max_iter=1000, C=100))
    register(store, model.fit(applicants, learned), applicants)
    view = nm.rehearse("credit/2", endpoint="risk", store=store)
    found = view.rehearsal
    expected = model.predict(applicants) != classifier.predict(applicants)
    assert found.n_changed == expected.sum() > 10
    assert (found.flips[0].before, found.flips[0].after) == ("good", "bad")
    first = found.slices[0]
    assert first.name == "home = 'none'"
    assert first.n_rows == (applicants.home == "none").sum()
    assert first.share == pytest.approx(expected[applicants.home == "none"].mean())
    assert first.p_value < 1e-6
    frame = view.frame()
    assert frame.is_changed.tolist() == expected.tolist()
    assert frame["in.home"].tolist() == applicants.home.tolist()
    assert frame.after.tolist() == model.predict(applicants).tolist()


@pytest.mark.slow
def test_numbers_are_compared_by_their_shift(store, applicants):
    price = 3 * applicants.age + applicants.income
    model = make_pipeline(columns(), LinearRegression()).fit(applicants, price)
    register(store, model, applicants)
    log(store, applicants, (model.predict(applicants) - 5).tolist())
    found = nm.rehearse("credit", endpoint="risk", store=store).rehearsal
    assert found.kind == "numbers"
    assert found.shift.mean == pytest.approx(5)
    assert found.n_different == N
    assert found.slices == ()


def test_rows_that_the_version_refuses_are_counted_and_placed(
    store, applicants, classifier
):
    gaps = applicants.head(30).assign(income=None)
    log(store, gaps, ["good"] * 30)
    view = nm.rehearse("credit/1", endpoint="risk", store=store)
    found = view.rehearsal
    assert found.n_failed == 30
    (error,) = found.errors
    assert error.n_rows == 30
    assert "income" in error.message
    failed = view.frame()[view.frame().has_failed]
    assert (error.request_id, error.row) == (failed.request_id.iloc[0], 0)
    assert [(s.name, s.what) for s in found.slices] == [("income is missing", "failed")]


def test_rows_are_taken_by_time_and_by_number(store, classifier):
    view = nm.rehearse(
        "credit/1",
        endpoint="risk",
        since="19.5h",
        until=datetime.now(UTC) - timedelta(hours=1),
        max_rows=100,
        store=store,
    )
    assert view.rehearsal.n_rows == 100
    assert view.rehearsal.notes == (
        "There are more than 100 rows: the newest are taken.",
    )
    age = datetime.now(UTC) - view.rehearsal.last_at
    assert timedelta(minutes=60) <= age < timedelta(minutes=65)


def test_a_version_that_takes_another_column_is_refused(store, applicants, classifier):
    other = applicants[["age"]].assign(debt=1.0)
    model = LogisticRegression().fit(other, applicants.age > 40)
    register(store, model, other)
    with pytest.raises(UsageError, match=r"credit/2 takes column 'debt', which the"):
        nm.rehearse("credit/2", endpoint="risk", store=store)


def test_files_that_were_changed_are_not_loaded(store, classifier):
    (model,) = (store.settings.home / "artifacts").rglob("*.skops")
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(DeployError, match="somebody has changed them"):
        nm.rehearse("credit/1", endpoint="risk", store=store)


def test_what_is_not_there_is_named(store, classifier):
    with pytest.raises(NotFoundError, match="No version 7"):
        nm.rehearse("credit/7", endpoint="risk", store=store)
    with pytest.raises(NotFoundError, match="Endpoint 'other' has logged no answered"):
        nm.rehearse("credit/1", endpoint="other", store=store)
    with pytest.raises(UsageError, match="cannot name an endpoint"):
        nm.rehearse("credit/1", endpoint="../risk", store=store)
    with pytest.raises(UsageError, match="1 row or more, not 0"):
        nm.rehearse("credit/1", endpoint="risk", max_rows=0, store=store)
    with pytest.raises(UsageError, match="'soon' is not a time"):
        nm.rehearse("credit/1", endpoint="risk", since="soon", store=store)


def test_the_model_is_loaded_in_a_process_of_its_own(
    store, applicants, classifier, project
):
    (project / "own.py").write_text(
        "import os\nfrom pathlib import Path\n"
        "def note(rows):\n"
        f"    Path({str(project / 'pid')!r}).write_text(str(os.getpid()))\n"
        "    return rows\n"
    )
    sys.path.insert(0, str(project))
    try:
        import own

        steps = (columns(), FunctionTransformer(own.note), LogisticRegression())
        model = make_pipeline(*steps).fit(applicants, applicants.age > 40)
        with nm.track("fit", store=store) as run:
            run.log_model(model, applicants, trust=True)
        nm.register("credit", run=run.run_id, store=store)
    finally:
        sys.path.remove(str(project))
    (project / "pid").unlink()
    with pytest.raises(UsageError, match="own"):
        nm.rehearse("credit/2", endpoint="risk", store=store)
    assert not (project / "pid").exists()
    found = nm.rehearse("credit/2", endpoint="risk", trust=True, store=store).rehearsal
    assert found.n_different == N  # True and False are not good and bad
    assert (project / "pid").read_text() != str(os.getpid())


def test_the_command_prints_80_columns_or_json(store, applicants, classifier, capsys):
    learned = np.where(
        (applicants.age > 40) & (applicants.home != "none"), "good", "bad"
    )
    model = make_pipeline(columns(), LogisticRegression(max_iter=1000, C=100))
    register(store, model.fit(applicants, learned), applicants)
    words = ["rehearse", "credit/2", "--endpoint", "risk", "--since", "7d"]
    assert invoke(words) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "credit/2 on 1,200 rows that risk has answered" in text
    assert "home = 'none'" in text
    assert invoke([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["slices"][0]["columns"] == ["home"]
    assert document["n_rows"] == N
    assert (
        invoke(["rehearse", "credit/2", "--endpoint", "risk", "--max-rows", "0"]) == 2
    )
    assert "Give --max-rows a number above 0." in capsys.readouterr().err
