import pytest

from nbmlops.store.database import Connection
from nbmlops.store.registry.registered_models import list_models
from nbmlops.store.registry.versions import MODEL_ID, find_version, list_versions
from nbmlops.store.runs.runs import create_run, log_values


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
