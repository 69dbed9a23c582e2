import math

import numpy as np
import pandas as pd
import pytest

from nbmlops.entities import Column, LoggedDataset
from nbmlops.store.datasets import describe, list_datasets, send_dataset
from nbmlops.store.runs import histories, runs
from nbmlops.store.runs.histories import list_histories


@pytest.fixture
def run_id(store):
    return runs.create_run(store, name="it", experiment="my project")


def _log(store, run_id, key, values, *, steps=None):
    from mlflow.entities import Metric

    metrics = [
        Metric(key, value, 1000 + place, step)
        for place, (value, step) in enumerate(
            zip(values, steps or range(len(values)), strict=True)
        )
    ]
    for start in range(0, len(metrics), 1000):
        store.client.log_batch(run_id, metrics=metrics[start : start + 1000])


def test_last_is_that_of_the_highest_step_and_best_that_of_the_metric(store, run_id):
    _log(store, run_id, "auc", [0.5, 0.9, 0.9, 0.7], steps=[0, 10, 20, 30])
    _log(store, run_id, "loss", [0.5, 0.1, 0.2], steps=[2, 1, 0])
    (found,) = list_histories(store, [run_id])
    auc, loss = found["auc"], found["loss"]
    assert (auc.last, auc.last_step, auc.best, auc.best_step) == (0.7, 30, 0.9, 10)
    assert (loss.last, loss.last_step, loss.best, loss.best_step) == (0.5, 2, 0.1, 1)
    assert loss.points == ((0, 0.2), (1, 0.1), (2, 0.5))


def test_nan_and_infinities_are_kept_and_never_best(store, run_id):
    _log(store, run_id, "auc", [math.inf, 0.5, math.nan, -math.inf])
    _log(store, run_id, "none", [math.nan])
    (found,) = list_histories(store, [run_id])
    values = [value for _, value in found["auc"].points]
    assert repr(values) == "[inf, 0.5, nan, -inf]"
    assert (found["auc"].best, found["auc"].best_step) == (0.5, 1)
    assert found["auc"].last == -math.inf
    assert found["none"].best is None
    assert math.isnan(found["none"].last)


@pytest.mark.parametrize("n_values", [1, 2, 100, 101, 200, 201, 202, 999, 3001])
def test_choice_of_points_is_even_and_keeps_first_last_and_best(
    store, run_id, n_values
):
    values = [float(n) for n in range(n_values)]
    values[n_values // 3] = 1e6
    _log(store, run_id, "auc", values)
    points = list_histories(store, [run_id])[0]["auc"].points
    assert min(n_values, 50) <= len(points) <= 103
    steps = [step for step, _ in points]
    assert steps == sorted(set(steps))
    assert {0, n_values // 3, n_values - 1} <= set(steps)
    assert all(values[step] == value for step, value in points)
    gaps = np.diff(steps)
    assert n_values < 2 or gaps.max() <= 2 * math.ceil(n_values / 100)


def test_values_at_one_step_are_in_the_order_of_time(store, run_id):
    _log(store, run_id, "auc", [0.3, 0.1, 0.2], steps=[0, 0, 0])
    history = list_histories(store, [run_id])[0]["auc"]
    assert [value for _, value in history.points] == [0.3, 0.1, 0.2]


def test_run_with_more_values_than_are_read_says_so(store, run_id, monkeypatch):
    monkeypatch.setattr(histories, "_MOST_VALUES", 5)
    for key in ("a", "b", "c"):
        _log(store, run_id, key, [1.0, 2.0, 3.0])
    (found,) = list_histories(store, [run_id])
    assert [found[key].is_whole for key in "abc"] == [True, False, False]
    assert (found["c"].last, found["c"].best) == (3.0, None)
    monkeypatch.setattr(histories, "_MOST_VALUES", 9)
    (found,) = list_histories(store, [run_id])
    assert all(found[key].is_whole for key in "abc")


def test_run_without_metrics_has_no_history(store, run_id):
    assert list_histories(store, [run_id]) == ({},)


def test_datasets_are_read_as_they_were_logged(store, run_id):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    described, _ = describe(frame, name="t", context="training")
    send_dataset(store, run_id, described)
    assert list_datasets(store, run_id) == (
        LoggedDataset(
            name="t",
            digest=described["digest"],
            context="training",
            n_rows=2,
            n_columns=2,
            columns=(
                Column(name="a", type="long"),
                Column(name="b", type="string", is_required=False),
            ),
        ),
    )


def test_datasets_of_plain_mlflow_and_of_others_are_read(store, run_id):
    import mlflow.data
    from mlflow.entities import Dataset, DatasetInput

    array = mlflow.data.from_numpy(np.ones((4, 3)), name="array")
    plain = {"source_type": "code", "source": "{}", "digest": "d"}
    made = [
        Dataset(name="bare", **plain),
        Dataset(name="broken", schema="{", profile="[1]", **plain),
        Dataset(name="odd", schema='{"mlflow_colspec": 3}', profile="null", **plain),
        array._to_mlflow_entity(),
    ]
    store.client.log_inputs(run_id, [DatasetInput(each, []) for each in made])
    found = {each.name: each for each in list_datasets(store, run_id)}
    assert (found["array"].n_rows, found["array"].n_columns) == (4, 3)
    assert [column.name for column in found["array"].columns] == ["features"]
    for name in ("bare", "broken"):
        assert (found[name].n_rows, found[name].columns) == (None, ())
    assert found["odd"].n_rows is None
