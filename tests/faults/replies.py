"""Requests that are served and whose reply is lost."""

from collections import Counter

import mlflow
import pandas as pd
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.errors import StoreError
from tests.faults.ledger import METRIC, Ledger, value_of

X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
# Opening, two values, a param, ending.
OPERATIONS_A_RUN = 5


def track_many(n, *, prefix):
    """Make runs with two values each, and return what was acknowledged."""
    ledger = Ledger()
    for i in range(n):
        name = f"{prefix} {i}"
        with nm.track(name, experiment="faults", params={"i": i}) as run:
            ledger.note(name, "open")
            for step in range(2):
                run.log_metrics({METRIC: value_of(name, step)}, step=step)
                ledger.note(name, "ack", step)
    return ledger


def make_model(experiment="faults"):
    """Return the id of a run with a model, made while all is well."""
    with nm.track("with a model", experiment=experiment) as run:
        run.log_model(LogisticRegression().fit(X, [0, 0, 1, 1]), X)
    return run.run_id


def register_many(n, *, run_id, prefix):
    """Register a model under ``n`` names; return the registered ones."""
    done = []
    for i in range(n):
        try:
            nm.register(f"{prefix}-{i}", run=run_id)
        except StoreError:
            continue
        done.append(f"{prefix}-{i}")
    return done


def bare_runs(n, uri, *, prefix):
    """Make runs with plain MLflow, as the control; return the names of those made."""
    client, done = mlflow.MlflowClient(tracking_uri=uri), []
    for i in range(n):
        try:
            client.create_run("0", run_name=f"{prefix} {i}")
        except mlflow.MlflowException:
            continue
        done.append(f"{prefix} {i}")
    return done


def n_runs(uri, prefix):
    """Return how many runs there are of each name that starts with the prefix."""
    client, found, token = mlflow.MlflowClient(tracking_uri=uri), Counter(), None
    ids = [each.experiment_id for each in client.search_experiments()]
    while True:
        named = f"attributes.run_name LIKE '{prefix} %'"
        page = client.search_runs(ids, named, max_results=1000, page_token=token)
        found.update(run.info.run_name for run in page)
        token = page.token
        if not token:
            return found


def n_versions(uri, prefix):
    """Return how many versions there are of each model whose name starts so."""
    client, found, token = mlflow.MlflowClient(tracking_uri=uri), Counter(), None
    while True:
        page = client.search_model_versions(
            f"name LIKE '{prefix}-%'", max_results=1000, page_token=token
        )
        found.update(version.name for version in page)
        token = page.token
        if not token:
            return found
