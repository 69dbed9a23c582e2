import pytest

import nbmlops as nm
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store import Store
from nbmlops.store.runs import runs
from nbmlops.store.runs.api_reader import page_of
from nbmlops.store.runs.queries import (
    get_run,
    list_children,
    list_runs,
)
from nbmlops.store.runs.resolve import resolve_run
from nbmlops.store.runs.search_language import quoted


def _run(
    store, name, *, status="FINISHED", experiment="my project", tags=None, **found
):
    run_id = runs.create_run(store, name=name, experiment=experiment, tags=tags)
    runs.log_values(store, run_id, metrics=found)
    runs.end_run(store, run_id, status)
    return run_id


def test_pages_go_through_all_runs_once(store):
    made = [_run(store, f"run {n}") for n in range(5)]
    seen, token = [], None
    while True:
        page = list_runs(store, limit=2, page_token=token)
        assert len(page) <= 2
        seen += [run.run_id for run in page]
        token = page.next_page_token
        if token is None:
            break
        assert isinstance(token, str)
    assert seen == made[::-1]


def test_prefix_of_six_characters_finds_the_run(store):
    run_id = _run(store, "it")
    assert resolve_run(store, run_id[:6]).run_id == run_id
    assert resolve_run(store, run_id).run_id == run_id


@pytest.mark.parametrize("spec", ["abc", "latests", "", "BEST:auc", "zzzzzz"])
def test_what_is_no_run_says_how_to_name_one(store, spec):
    with pytest.raises(UsageError, match="is not a run"):
        resolve_run(store, spec)


@pytest.mark.parametrize("spec", ["abcdef", "0" * 32])
def test_unknown_run_is_not_found(store, spec):
    with pytest.raises(NotFoundError):
        resolve_run(store, spec)


def test_best_passes_over_what_is_not_finished_or_not_finite(store):
    _run(store, "nan", auc=float("nan"))
    _run(store, "inf", auc=float("inf"))
    _run(store, "failed", status="FAILED", auc=0.99)
    _run(store, "good", auc=0.8)
    _run(store, "worse", auc=0.7)
    _run(store, "elsewhere", experiment="other", auc=0.95)
    assert resolve_run(store, "best:auc").name == "good"
    assert resolve_run(store, "best:auc", experiment="other").name == "elsewhere"


def test_best_of_a_loss_is_the_smallest_unless_it_is_said_otherwise(store):
    metrics = ("val_logloss", "valLoss", "perplexity", "poisson_deviance", "test_error")
    for name, value in (("high", 3.0), ("low", 1.0), ("mid", 2.0)):
        _run(store, name, area=value, **dict.fromkeys(metrics, value))
    assert {resolve_run(store, f"best:{each}").name for each in metrics} == {"low"}
    assert resolve_run(store, "best:valLoss:max").name == "high"
    with pytest.raises(UsageError, match="small or a large") as caught:
        resolve_run(store, "best:area")
    for how, name in (("best:area:min", "low"), ("best:area:max", "high")):
        assert how in caught.value.fix
        assert resolve_run(store, how).name == name
    with pytest.raises(UsageError, match="names no metric"):
        resolve_run(store, "best:")


def test_why_no_run_is_the_best_is_said_of_the_run_that_has_the_metric(store):
    failed = _run(store, "failed", status="FAILED", score=0.9)
    with pytest.raises(NotFoundError, match=f"^Run {failed[:8]} has 'score', but is F"):
        resolve_run(store, "best:score")
    no_model = _run(store, "no model", score=0.5)
    with pytest.raises(NotFoundError) as caught:
        resolve_run(store, "best:score", with_model=True)
    begins = f"Run {no_model[:8]} has 'score', but no model: "
    assert caught.value.problem.startswith(begins)
    assert "Did you mean" not in str(caught.value)


def test_experiments_that_have_what_was_asked_for_are_named(store):
    for experiment in ("churn", "fraud"):
        _run(store, "it", experiment=experiment, score=0.5)
    _run(store, "other", loss=1.0)
    for ask in (
        lambda: resolve_run(store, "best:score"),
        lambda: nm.runs(by="score", store=store),
    ):
        with pytest.raises(NotFoundError) as caught:
            ask()
        assert "'fraud', 'churn' have a run with 'score'" in caught.value.fix


def test_a_run_named_or_typed_wrongly_is_reported_from_one_that_is_not_there(store):
    run_id = _run(store, "baseline")
    with pytest.raises(UsageError, match=f"the name of a run, .* {run_id[:8]}"):
        resolve_run(store, "baseline")
    wrong = run_id[:9] + ("0" if run_id[9] != "0" else "1")
    with pytest.raises(NotFoundError, match=f"Did you mean '{run_id[:10]}'"):
        resolve_run(store, wrong)


def test_unknown_metric_names_the_nearest(store):
    _run(store, "it", accuracy=0.8)
    with pytest.raises(NotFoundError, match="Did you mean 'accuracy'"):
        resolve_run(store, "best:acuracy")


def test_latest_in_an_empty_experiment_says_what_to_do(store):
    with pytest.raises(NotFoundError, match="has no run yet") as caught:
        resolve_run(store, "latest")
    assert "%%track" in caught.value.fix


def test_unknown_experiment_names_the_nearest(store):
    _run(store, "it", experiment="churn")
    with pytest.raises(NotFoundError, match="Did you mean 'churn'"):
        list_runs(store, experiment="chrun")


def test_filter_that_mlflow_cannot_read_is_a_usage_error(store):
    with pytest.raises(UsageError, match="filter"):
        list_runs(store, filter="auc is high")


def test_children_are_those_of_the_parent(store):
    parent = _run(store, "parent")
    child = _run(store, "child", tags={"mlflow.parentRunId": parent})
    _run(store, "stranger")
    assert [run.run_id for run in list_children(store, parent)] == [child]
    assert get_run(store, child).parent_run_id == parent


@pytest.mark.parametrize("source", ["a.ipynb", "it's.ipynb", 'the "best".ipynb'])
def test_notebook_names_with_quotes_can_be_searched(store, source):
    _run(store, "it", tags={"mlflow.source.name": source})
    (found,) = list_runs(store, filter=f"tags.mlflow.source.name = {quoted(source)}")
    assert found.source == source


def test_deleted_experiment_is_said(store):
    identity = store.client.create_experiment("gone")
    store.client.delete_experiment(identity)
    with pytest.raises(UsageError, match="was deleted"):
        runs.create_run(store, name="it", experiment="gone")


def test_a_run_on_a_server_has_a_page_without_the_password(store):
    uri = "https://me:secret@mlflow.example:5000/team/"
    served = Store(settings=store.settings, uri=uri)
    url = page_of(served, "7", "a" * 32)
    there = "https://mlflow.example:5000/team/#/experiments/7/runs/" + "a" * 32
    assert url == there
    assert page_of(store, "7", "a" * 32) is None
