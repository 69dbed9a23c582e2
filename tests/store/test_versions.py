import os

import pandas as pd
import pytest

import nbmlops as nm
from nbmlops.store import connect
from nbmlops.store.database import Connection
from nbmlops.store.registry.registered_models import list_models
from nbmlops.store.registry.versions import (
    MODEL_ID,
    VERDICT,
    find_version,
    list_versions,
)
from nbmlops.store.runs.runs import create_run, log_values

X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})


@pytest.fixture
def statements(monkeypatch):
    """Return the statements that the database is asked from now on."""
    asked = []
    execute = Connection._execute

    def count(self, statement, *args, **options):
        asked.append(statement)
        return execute(self, statement, *args, **options)

    monkeypatch.setattr(Connection, "_execute", count)
    return asked


def test_a_page_takes_the_same_few_queries_however_much_is_on_it(store, statements):
    client, n_asked = store.client, []
    list_models(store)  # the first call looks whether the tables are there
    for n in (1, 12):
        for number in range(n):
            client.create_registered_model(f"model-{n}-{number}", tags={"n": str(n)})
            run_id = create_run(store, name="it", experiment="main")
            log_values(store, run_id, metrics={"auc": n / 100})
            client.create_model_version(f"model-{n}-0", "here", run_id)
        statements.clear()
        models = list_models(store, search=f"model-{n}-")
        assert [model.tags for model in models] == [{"n": str(n)}] * n
        assert models.items[0].latest_version == n
        n_models = len(statements)
        versions = list_versions(store, f"model-{n}-0")
        assert [version.metrics for version in versions] == [{"auc": n / 100}] * n
        n_asked.append((n_models, len(statements) - n_models))
    assert n_asked == [(1, 9), (1, 9)]


def test_a_version_is_found_with_its_aliases_until_it_is_deleted(store):
    client = store.client
    assert find_version(store, "it's", 1) is None
    for name in ("it's", "other"):
        client.create_registered_model(name)
        for number in (1, 2):
            tags = {MODEL_ID: f"m-{number}"} if number == 1 else {}
            client.create_model_version(name, f"/{name}/{number}", tags=tags)
    client.set_registered_model_alias("it's", "champion", "1")
    client.set_registered_model_alias("it's", "old", "2")
    client.set_registered_model_alias("other", "champion", "2")
    first = find_version(store, "it's", 1)
    assert first.model_id == "m-1"
    assert first.aliases == ("champion",)
    assert find_version(store, "it's", 2).model_id is None
    assert find_version(store, "it's", 3) is None
    client.delete_model_version("it's", "1")
    assert find_version(store, "it's", 1) is None
    assert find_version(store, "it's", 2).aliases == ("old",)
    client.delete_registered_model("it's")
    assert find_version(store, "it's", 2) is None


@pytest.mark.server
def test_a_server_tells_as_much_as_its_database(project, monkeypatch, mlflow_server):
    name = f"credit {project.parent.name}"
    connect().client.create_registered_model(name)
    for auc in (0.7, 0.9):
        with nm.track("it", params={"C": 1}) as run:
            run.log(auc=auc, log_loss=0.3)
            run.log_dataset(X, name="train")
        connect().client.create_model_version(
            name, "s3://nowhere/model", run.run_id, tags={VERDICT: "passed"}
        )
    connect().client.set_registered_model_tag(name, "team", "risk")
    connect().client.set_registered_model_alias(name, "champion", "1")
    served = _pages(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.backend_uri)
    assert _pages(name) == served
    (model,), (newest, oldest) = served
    assert (model.tags, model.aliases) == ({"team": "risk"}, {"champion": 1})
    assert newest.metric_modes == {"auc": "max", "log_loss": "min"}
    assert (newest.user, newest.verdict) == (run_user(), "passed")
    assert [data.name for data in newest.datasets] == ["train"]
    assert oldest.aliases == ("champion",)


def run_user():
    """Return whom MLflow's tags name as the maker of a run of this process."""
    return os.environ.get("USER") or os.environ.get("LOGNAME") or "unknown"


def _pages(name):
    """Return all of a model and its versions, read one by one."""
    store, found, token = connect(), [], None
    while True:
        page = list_versions(store, name, limit=1, page_token=token)
        found += page
        token = page.next_page_token
        if token is None:
            return [*list_models(store, search=name)], found
