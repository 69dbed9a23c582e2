"""Logging a fitted model: `nbmlops` against `mlflow.sklearn.log_model`, in one run.

Run it with ``python benchmarks/log_model.py [REPEATS]``. Each pair is timed in turn, so
that what else the machine does falls on both. MLflow logs with its defaults, given the
trusted types where it refuses the model without; nbmlops also infers the signature and
stores example rows. Then every estimator of scikit-learn is logged and read back.
"""

from __future__ import annotations

import logging
import os
import runpy
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nbmlops.config import Settings
from nbmlops.errors import UsageError
from nbmlops.store import Store, connect, skops_format
from nbmlops.store.model_files import load_model
from nbmlops.store.models import log_model

TESTS = Path(__file__).parents[1] / "tests" / "store" / "test_models.py"


def models() -> list[tuple[BaseEstimator, pd.DataFrame]]:
    """Return fitted classifiers on 569 rows of 30 columns, one of them text."""
    frame, y = load_breast_cancer(return_X_y=True, as_frame=True)
    mixed = frame.assign(size=pd.cut(frame["mean area"], 3, labels=["s", "m", "l"]))
    mixed["size"] = mixed["size"].astype(str)
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), list(frame.columns)),
        (OneHotEncoder(handle_unknown="ignore"), ["size"]),
    )
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=1000))
    plain: list[BaseEstimator] = [
        LogisticRegression(max_iter=10_000),
        KNeighborsClassifier(),
        HistGradientBoostingClassifier(),
        RandomForestClassifier(),
    ]
    return [(pipeline.fit(mixed, y), mixed)] + [(m.fit(frame, y), frame) for m in plain]


def seconds(call: Callable[[], object]) -> float:
    """Return how long ``call`` took."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def log_with_mlflow(model: BaseEstimator) -> None:
    """Log with MLflow's defaults, plus the types it asks to be told to trust."""
    types = skops_format.dump(model)[1]
    with mlflow.start_run():
        mlflow.sklearn.log_model(model, name="model", skops_trusted_types=types or None)


def compare(store: Store, repeats: int) -> None:
    """Print the median seconds of both, and their ratio, for each model."""
    run_id = store.client.create_run("0").info.run_id
    print(f"{'model':<34}{'mlflow s':>10}{'nbmlops s':>11}{'ratio':>8}")
    for model, rows in models():
        log_model(store, run_id, model, rows)
        pairs = [
            (
                seconds(lambda model=model: log_with_mlflow(model)),
                seconds(lambda m=model, r=rows: log_model(store, run_id, m, r)),
            )
            for _ in range(repeats)
        ]
        theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        name = type(model).__name__
        print(f"{name:<34}{theirs:>10.3f}{ours:>11.3f}{theirs / ours:>7.0f}x")


def try_all(store: Store) -> None:
    """Print how many of scikit-learn's estimators were logged and read back."""
    tests = runpy.run_path(str(TESTS))
    run_id = store.client.create_run("0").info.run_id
    classes, variants, refused = set(), 0, {}
    for name in tests["ESTIMATORS"]:
        for label, model, rows in tests["fit"](name):
            variants += 1
            classes.add(name)
            try:
                model_id = log_model(store, run_id, model, rows)
            except UsageError as error:
                refused[label] = error.problem
                continue
            load_model(tests["folder_of"](store, model_id))
    print(f"{len(classes)} of {len(tests['ESTIMATORS'])} estimators fitted, ", end="")
    print(
        f"{variants} variants: {variants - len(refused)} logged and read back, ", end=""
    )
    print(f"{len(refused)} refused")
    for label, problem in refused.items():
        print(f"  {label}: {problem}")


def main() -> None:
    """Print both tables."""
    warnings.simplefilter("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # A process that may not keep its bytecode would pay for compiling MLflow each time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as project:
        store = connect(Settings(project=Path(project)))
        mlflow.set_tracking_uri(store.uri)
        compare(store, int(sys.argv[1]) if len(sys.argv) > 1 else 5)
        try_all(store)


if __name__ == "__main__":
    main()
