import asyncio
import threading

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store import connect
from nbmlops.store.artifacts import read_file
from nbmlops.store.datasets import list_datasets
from nbmlops.store.runs.queries import get_run, list_runs


def _only_run():
    (run,) = list_runs(connect())
    return run


def test_block_is_one_run_that_a_stock_client_reads(project):
    X = pd.DataFrame({"a": [0.0, 1, 2, 3]})
    with nm.track(
        "baseline", experiment="churn", params={"C": 0.1}, tags={"team": "risk"}
    ) as run:
        run.log(auc=0.91)
        run.log(step=3, loss=0.2)
        run.log_dataset(X, name="train", context="training")
        run.log_model(LogisticRegression().fit(X, [0, 0, 1, 1]), X)
    client = mlflow.MlflowClient(tracking_uri=connect().uri)
    stock = client.get_run(run.run_id)
    assert stock.info.status == "FINISHED"
    assert stock.data.params == {"C": "0.1"}
    assert stock.data.metrics == {"auc": 0.91, "loss": 0.2}
    assert stock.data.tags["team"] == "risk"
    (loss,) = client.get_metric_history(run.run_id, "loss")
    assert loss.step == 3
    (used,) = stock.inputs.dataset_inputs
    assert used.tags[0].value == "training"
    assert nm.runs(experiment="churn").frame()["metrics.auc"].tolist() == [0.91]
    loaded = mlflow.sklearn.load_model(f"models:/{run.model_id}")
    assert loaded.predict(X).tolist() == [0, 0, 1, 1]


def test_run_carries_where_it_came_from_and_what_it_took(project):
    with nm.track("it"):
        pass
    run = _only_run()
    assert {
        "nbmlops.kind",
        "nbmlops.code_hash",
        "nbmlops.environment_hash",
        "nbmlops.kernel",
        "nbmlops.cost.cpu_s",
        "nbmlops.cost.wall_s",
        "nbmlops.cost.peak_rss_bytes",
    } <= set(run.tags)
    packages = read_file(connect(), run.run_id, "nbmlops/environment.txt").decode()
    assert f"pandas=={pd.__version__}" in packages.splitlines()


def test_notebook_and_commit_are_recorded_relative_to_the_project(
    project, monkeypatch, tmp_path
):
    import subprocess

    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setenv("JPY_SESSION_NAME", str(project / "deep" / "train.ipynb"))
    with nm.track("it") as run:
        pass
    tags = connect().client.get_run(run.run_id).data.tags
    assert tags["mlflow.source.name"] == "deep/train.ipynb"
    assert tags["mlflow.source.type"] == "NOTEBOOK"
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert tags["mlflow.source.git.commit"] == head.stdout.strip()


def test_notebook_behind_a_link_has_the_name_the_project_knows(
    project, monkeypatch, tmp_path
):
    link = tmp_path / "link"
    link.symlink_to(project)
    monkeypatch.setenv("JPY_SESSION_NAME", str(link / "train.ipynb"))
    with nm.track("it"):
        pass
    assert _only_run().source == "train.ipynb"


def test_exception_ends_the_run_failed_and_goes_on(project):
    with pytest.raises(ZeroDivisionError), nm.track("it"):
        _ = 1 / 0
    run = _only_run()
    assert run.status == "FAILED"
    assert run.tags["nbmlops.ended_because"].startswith("ZeroDivisionError: division")
    assert "test_tracker.py" in run.tags["nbmlops.ended_because"]


def test_each_call_of_a_decorated_function_is_a_run_with_its_arguments(project):
    @nm.track
    def fit(C, *, rounds=3, data=None):
        return C * rounds

    assert (fit(0.5), fit(1, rounds=2, data=[1])) == (1.5, 2)
    runs = list_runs(connect()).items[::-1]
    assert [run.name for run in runs] == ["fit", "fit"]
    assert runs[0].params == {"C": "0.5", "rounds": "3", "data": "None"}
    assert runs[1].params == {"C": "1", "rounds": "2"}
    assert runs[0].tags["nbmlops.code_hash"] == runs[1].tags["nbmlops.code_hash"]


def test_coroutine_can_be_decorated_and_is_killed_when_cancelled(project):
    @nm.track("async")
    async def fit():
        await asyncio.sleep(60)

    async def main():
        task = asyncio.ensure_future(fit())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (_only_run().name, _only_run().status) == ("async", "KILLED")


def test_runs_in_threads_do_not_mix(project):
    def work(number):
        with nm.track(f"run {number}") as run:
            run.log(number=number)
            mlflow.log_metric("theirs", number)

    nm.runs()  # the store is there, and mlflow imported, before the threads
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in list_runs(connect()):
        number = float(run.name.split()[1])
        assert run.metrics == {"number": number, "theirs": number}


def test_run_left_open_inside_by_mlflow_ends_with_ours(project):
    with nm.track("outer"):
        mlflow.start_run(run_name="inner", nested=True)
    statuses = {run.name: run.status for run in list_runs(connect())}
    assert statuses == {"outer": "FINISHED", "inner": "FINISHED"}
    assert mlflow.active_run() is None


@pytest.mark.parametrize("value", ["high", None, [1]])
def test_metric_that_is_no_number_is_refused(project, value):
    with nm.track("it") as run, pytest.raises(UsageError, match="Metric 'auc' is"):
        run.log(auc=value)


@pytest.mark.parametrize("value", [1, True, np.float32(0.5), np.int64(3), float("nan")])
def test_numbers_of_any_kind_are_metrics(project, value):
    with nm.track("it") as run:
        run.log(value=value)
    assert _only_run().metrics["value"] == pytest.approx(float(value), nan_ok=True)


@pytest.mark.parametrize("value", [float("inf"), -float("inf")])
def test_infinity_comes_back_as_it_was(project, value):
    with nm.track("it") as run:
        run.log(value=value)
    assert _only_run().metrics == {"value": value}


def test_param_keeps_its_first_value(project):
    with nm.track("it", params={"C": 1}) as run:
        run.log_params(C=1)
        with pytest.raises(UsageError, match="C"):
            run.log_params(C=2)


def test_many_params_fit_into_batches(project):
    params = {f"p{n}": n for n in range(250)}
    with nm.track("it", params=params):
        pass
    assert len(_only_run().params) == 250


def test_data_that_is_no_plain_table_is_recorded_with_what_comes_after(project):
    import scipy.sparse

    twins = pd.DataFrame([[1, "x"], [2, "y"]], columns=["a", "a"])
    data = {"twins": twins, "eye": scipy.sparse.eye(3).tocsr(), "texts": ["a", "b"]}
    with nm.track("it") as run:
        for name, each in data.items():
            run.log_dataset(each, name=name)
        with pytest.raises(UsageError, match="reading it would use it up"):
            run.log_dataset(iter(twins), name="once")
        run.log(after=1.0)
    assert _only_run().metrics["after"] == 1.0
    eye, texts, found = list_datasets(connect(), run.run_id)
    assert (eye.name, eye.n_rows, eye.n_columns) == ("eye", 3, 3)
    assert (texts.name, texts.n_rows, texts.n_columns) == ("texts", 2, 1)
    assert [(c.name, c.type) for c in found.columns] == [("a", "long"), ("a", "string")]


def test_what_cannot_be_logged_says_why(project):
    with nm.track("it") as run:
        with pytest.raises(NotFoundError, match=r"nowhere\.txt"):
            run.log_artifact("nowhere.txt")
        with pytest.raises(UsageError, match="not a table"):
            run.log_dataset(object(), name="x")
    with pytest.raises(UsageError, match="has ended"):
        run.log(auc=1)


def test_name_must_be_a_text(project):
    with pytest.raises(UsageError, match="a text"):
        nm.track(3)


def test_parent_given_by_the_context_is_kept(project, monkeypatch):
    with nm.track("parent") as parent:
        pass
    monkeypatch.setenv(
        "MLFLOW_RUN_CONTEXT", f'{{"mlflow.parentRunId": "{parent.run_id}"}}'
    )
    with nm.track("child") as child:
        pass
    assert get_run(connect(), child.run_id).parent_run_id == parent.run_id


@pytest.mark.parametrize("name", ["a@b", "a(b)", "/x", "../x", "", "x" * 251])
def test_name_that_mlflow_forbids_leaves_no_run(project, name):
    with pytest.raises(UsageError, match="cannot name a param"):
        nm.track("it", params={name: 1}).__enter__()
    with pytest.raises(UsageError, match="cannot name a param"):
        nm.track("it", tags={name: "1"}).__enter__()
    assert len(list_runs(connect())) == 0


def test_run_that_cannot_be_filled_does_not_stay_open(project):
    kept = pytest.raises(UsageError, match="keeps its first value")
    with kept, nm.track("it", params={"C": 1}) as run:
        run.log_params(C=2)
    assert _only_run().status == "FAILED"
    assert _only_run().params == {"C": "1"}


def test_metric_may_have_any_name_a_mapping_can_give(project):
    with nm.track("it") as run:
        run.log_metrics({"step": 1, "self": 2, "val/log loss": 3}, step=4)
    assert _only_run().metrics == {"step": 1, "self": 2, "val/log loss": 3}


def test_block_and_function_record_what_they_fit_when_asked(store):
    from sklearn.datasets import make_classification
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression

    X, y = make_classification(random_state=0)
    with nm.track("block", store=store, autolog=True):
        model = LogisticRegression(C=2).fit(X, y)
        score = model.score(X, y)

    @nm.track("function", store=store, autolog=True)
    def fit(strategy):
        return DummyClassifier(strategy=strategy).fit(X, y)

    with nm.track("unasked", store=store):
        fit("uniform")
    runs = {run.name: run for run in list_runs(store)}
    assert runs["block"].params["C"] == "2"
    assert runs["block"].metrics["score"] == score
    assert runs["block"].model_id is not None
    assert runs["function"].params["strategy"] == "uniform"
    assert dict(runs["unasked"].params) == {}
    assert vars(LogisticRegression)["fit"] is LogisticRegression.fit
