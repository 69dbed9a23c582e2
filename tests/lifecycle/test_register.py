import mlflow
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.errors import ConflictError, NotFoundError, UsageError
from nbmlops.store import connect
from nbmlops.store.registry import registered_models, versions

X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
y = ["no", "no", "yes", "yes"]


def _fit(auc, *, has_model=True):
    with nm.track("fit") as run:
        run.log(auc=auc)
        if has_model:
            run.log_model(LogisticRegression().fit(X, y), X)
    return run.run_id


def test_best_run_becomes_a_version_with_signature_and_alias(project):
    _fit(0.7)
    best = _fit(0.9)
    _fit(0.8)
    version = nm.register("churn", run="best:auc", alias="champion")
    assert (version.model, version.version, version.run_id) == ("churn", 1, best)
    assert version.aliases == ("champion",)
    assert version.metrics == {"auc": 0.9}
    assert [(c.name, c.type) for c in version.signature.inputs] == [
        ("a", "double"),
        ("b", "double"),
    ]
    stock = connect().client.get_model_version_by_alias("churn", "champion")
    assert stock.run_id == best


def test_latest_is_the_newest_run_with_a_model(project):
    with_model = _fit(0.7)
    _fit(0.9, has_model=False)
    assert nm.register("churn").run_id == with_model


def test_runs_are_looked_for_where_this_process_tracked_last(project):
    mlflow.set_tracking_uri(connect().uri)
    mlflow.set_experiment("chosen")
    with nm.track("a", experiment="churn") as run:
        run.log(auc=0.9)
        run.log_model(LogisticRegression().fit(X, y), X)
    for spec in ("latest", "best:auc", "best:auc:max"):
        assert nm.register("churn", run=spec).run_id == run.run_id
    assert [each.run_id for each in nm.runs().page] == [run.run_id]
    other = _fit(0.5)  # where mlflow.set_experiment says
    assert connect().client.get_run(other).info.experiment_id != (
        connect().client.get_run(run.run_id).info.experiment_id
    )
    assert [each.run_id for each in nm.runs().page] == [other]
    assert nm.register("churn").run_id == other


def test_where_models_are_is_said_when_the_experiment_has_none(project):
    with_model = _fit(0.7)
    with nm.track("b", experiment="empty") as run:
        run.log(score=0.9)
    with pytest.raises(NotFoundError, match="'empty' has no run with a mod") as caught:
        nm.register("churn")
    assert "'my project' has a run with a model: look there" in caught.value.fix
    without = _fit(0.8, has_model=False)
    with pytest.raises(UsageError, match="has no model") as caught:
        nm.register("churn", run=without)
    assert with_model[:8] in caught.value.fix
    nm.register("churn", run=with_model)
    with pytest.raises(NotFoundError, match="There are 'churn'"):
        registered_models.get_model(connect(), "fraud")


def test_same_run_again_is_the_same_version(project):
    run_id = _fit(0.7)
    first = nm.register("churn", run=run_id)
    assert nm.register("churn", run=run_id[:8], alias="champion").version == 1
    assert nm.register("other", run=run_id).version == 1
    _fit(0.8)
    assert nm.register("churn").version == first.version + 1


def test_run_without_a_model_says_how_to_get_one(project):
    run_id = _fit(0.7, has_model=False)
    with pytest.raises(UsageError, match="has no model") as caught:
        nm.register("churn", run=run_id)
    assert "log_model" in caught.value.fix
    assert len(registered_models.list_models(connect())) == 0


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "a@b", "..", "a\nb"])
def test_name_that_mlflow_forbids_leaves_nothing(project, name):
    _fit(0.7)
    with pytest.raises(UsageError, match="cannot name"):
        nm.register(name)
    assert len(registered_models.list_models(connect())) == 0


@pytest.mark.parametrize("alias", ["latest", "v1", "1", "a b", ""])
def test_alias_that_is_taken_or_ambiguous_leaves_nothing(project, alias):
    _fit(0.7)
    with pytest.raises(UsageError, match="cannot be an alias"):
        nm.register("churn", alias=alias)
    assert len(registered_models.list_models(connect())) == 0


def test_unknown_things_name_the_nearest_ones(project):
    _fit(0.7)
    nm.register("churn", alias="champion")
    store = connect()
    for target, words in (
        ("chrun", "Did you mean 'churn'"),
        ("churn@champio", "Did you mean 'champion'"),
        ("churn/7", "No version 7 of registered model 'churn'"),
    ):
        with pytest.raises(NotFoundError, match=words):
            versions.resolve_version(store, target)
    with pytest.raises(UsageError, match="'x' is not a version number"):
        versions.resolve_version(store, "churn/x")


def test_alias_moves(project):
    _fit(0.7)
    nm.register("churn", alias="champion")
    _fit(0.8)
    nm.register("churn", alias="champion")
    store = connect()
    assert registered_models.get_model(store, "churn").aliases == {"champion": 2}
    nm.promote("churn", 1)
    assert versions.resolve_version(store, "churn@champion")[0].version == 1


def test_versions_come_newest_first_in_pages(project):
    for n in range(5):
        _fit(n / 10)
        nm.register("churn")
    store = connect()
    first = versions.list_versions(store, "churn", limit=3)
    rest = versions.list_versions(
        store, "churn", limit=3, page_token=first.next_page_token
    )
    assert [v.version for v in (*first, *rest)] == [5, 4, 3, 2, 1]
    assert rest.next_page_token is None
    assert [v.metrics["auc"] for v in rest] == [0.1, 0.0]


def test_what_others_registered_shows_up(project):
    import mlflow
    from mlflow.models import infer_signature

    with nm.track("store"):
        pass
    model = LogisticRegression().fit(X, y)
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(X, model.predict(X)),
            registered_model_name="theirs",
            pip_requirements=["scikit-learn"],
        )
    store = connect()
    assert [m.name for m in registered_models.list_models(store, search="THEIR")] == [
        "theirs"
    ]
    (version,) = versions.list_versions(store, "theirs")
    assert version.model_id


@pytest.mark.server
def test_deploy_predict_and_undeploy_from_python(project):
    _fit(0.7)
    nm.register("churn", alias="champion")
    endpoint = nm.deploy("churn@champion")
    try:
        assert endpoint.is_new
        assert endpoint.predict(X).tolist() == y
        assert nm.endpoint("churn").status().state == "ready"
        assert not nm.deploy("churn/1").is_new
        _fit(0.8)
        nm.register("other model")
        with pytest.raises(ConflictError, match="churn"):
            nm.deploy("other model", name="churn")
        assert "ready" in endpoint._repr_html_()
    finally:
        nm.undeploy("churn")
    assert nm.endpoints() == ()
    folder = project / ".nbmlops" / "endpoints"
    assert not [p for p in folder.iterdir() if "supervisor" not in p.name]
