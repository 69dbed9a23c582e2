"""Logging a fitted model: `run.log_model` against `mlflow.sklearn.log_model`.

Each pair is timed in turn, so that what else the machine does falls on both. MLflow
logs with its defaults, given the trusted types where it refuses the model without;
nbmlops also infers the signature and stores example rows. Then the pipeline's pins are
installed in an empty virtual environment, where it must predict the same to the last
bit. Then every estimator of scikit-learn is logged and read back. Last, each of its
meta-estimators is tried around a forest, boosters and a model with an array as a
param, beside boosters, samplers, and models of texts, dicts and sparse rows: stored,
loaded and asked by a request, the answer must be that of the model.

    python -m benchmarks.log_model [REPEATS]    # 0: no comparison, no pins
"""

from __future__ import annotations

import contextlib
import json
import logging
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfVectorizer,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import nbmlops as nm
from benchmarks.stores import prepare, project, versions
from nbmlops.errors import UsageError
from nbmlops.scoring.request import read_request
from nbmlops.scoring.rows import to_rows
from nbmlops.serving import model as serving_model
from nbmlops.store import Store, connect
from nbmlops.store.models import boosters, skops_format
from nbmlops.store.models.files import load_model, save_model
from nbmlops.store.models.models import log_model
from tests import meta_models

PREDICT = """
import json, sys
import mlflow, pandas as pd
rows = pd.read_json(sys.argv[2], orient="split", precise_float=True)
model = mlflow.sklearn.load_model(sys.argv[1])
print(json.dumps(model.predict_proba(rows).tolist()))
"""
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


def compare(repeats: int) -> None:
    """Print the median seconds of both, and their ratio, for each model."""
    print(f"{'model':<34}{'mlflow s':>10}{'nbmlops s':>11}{'ratio':>8}")
    for model, rows in models():
        pairs = []
        for _ in range(repeats + 1):
            theirs = seconds(lambda model=model: log_with_mlflow(model))
            with nm.track("ours") as run:
                run.flush()
                ours = seconds(lambda m=model, r=rows, to=run: to.log_model(m, r))
            pairs.append((theirs, ours))
        del pairs[0]  # the first warms up
        theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        name = type(model).__name__
        print(f"{name:<34}{theirs:>10.3f}{ours:>11.3f}{theirs / ours:>7.0f}x")


def try_pins() -> None:
    """Print whether a clean environment of the pins predicts the same."""
    model, rows = models()[0]
    with nm.track("pins") as run:
        model_id = run.log_model(model, rows)
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}"))
    rows.to_json("rows.json", orient="split", double_precision=15)
    rows = pd.read_json("rows.json", orient="split", precise_float=True)
    pinned = (folder / "requirements.txt").read_text().split()
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", "clean"], check=True)
    python = Path("clean", "bin", "python").absolute()
    install = [python, "-m", "pip", "install", "--quiet", "--requirement"]
    subprocess.run([*install, folder / "requirements.txt"], check=True)
    made = time.perf_counter() - began
    answer = subprocess.run(
        [python, "-I", "-c", PREDICT, folder, "rows.json"],
        check=True,
        stdout=subprocess.PIPE,
    )
    is_same = json.loads(answer.stdout) == model.predict_proba(rows).tolist()
    print(f"{len(pinned)} pins, a clean environment of them in {made:.0f} s: ", end="")
    print(f"{len(rows)} rows predicted {'the same' if is_same else 'DIFFERENTLY'}")


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


Fitted = tuple[str, object, object]


def composed() -> Iterator[tuple[str, Callable[[], Fitted]]]:
    """Yield a kind, and what fits a model of it and gives the rows."""
    for meta, inner in meta_models.pairs():
        yield (
            f"meta-estimators around {inner}",
            partial(meta_models.fit_meta, meta, inner),
        )
    for fitted in meta_models.array_params():
        yield "array as a param", partial(lambda each: each, fitted)
    for fitted in others():
        yield fitted[0].partition(":")[0], partial(lambda each: each, fitted)


def others() -> Iterator[Fitted]:
    """Yield models of other packages, and those of rows that are no table."""
    import imblearn.pipeline
    import lightgbm
    import xgboost
    from imblearn.over_sampling import SMOTE
    from imblearn.under_sampling import RandomUnderSampler

    frame, y = load_breast_cancer(return_X_y=True, as_frame=True)
    values = frame.to_numpy()
    for sampler in (SMOTE(), RandomUnderSampler()):
        pipe = imblearn.pipeline.make_pipeline(sampler, RandomForestClassifier(5))
        yield f"imbalanced-learn: {sampler}", pipe.fit(frame, y), frame
    light = {"verbose": -1, "n_estimators": 5}
    for model in (
        xgboost.XGBClassifier(n_estimators=5),
        xgboost.XGBRFClassifier(n_estimators=5),
        lightgbm.LGBMClassifier(**light),
        lightgbm.LGBMClassifier(boosting_type="dart", **light),
    ):
        for rows in (frame, values):
            yield f"boosters: {type(model).__name__}", clone(model).fit(rows, y), rows
    for rows in (frame, values):
        matrix = xgboost.DMatrix(rows, y)
        yield "boosters: xgboost.train", xgboost.train({}, matrix, 5), rows
        data = lightgbm.Dataset(rows, y)
        booster = lightgbm.train({"verbose": -1}, data, 5)
        yield "boosters: lightgbm.train", booster, rows
    with contextlib.suppress(ImportError):
        import catboost

        model = catboost.CatBoostClassifier(5, verbose=0, allow_writing_files=False)
        yield "boosters: CatBoostClassifier", model.copy().fit(frame, y), frame
        scaled = make_pipeline(StandardScaler(), model)
        yield "boosters: CatBoostClassifier inside", scaled.fit(frame, y), frame
    words = [f"word{i % 3} other{i % 5}" for i in range(60)]
    labels = [i % 3 for i in range(60)]
    for vectors in (CountVectorizer(), TfidfVectorizer(), HashingVectorizer()):
        for rows in (words, pd.Series(words), np.array(words)):
            model = make_pipeline(vectors, LogisticRegression()).fit(rows, labels)
            yield (
                f"texts: {type(vectors).__name__} of {type(rows).__name__}",
                model,
                rows,
            )
    dicts = [{"a": i, "b": f"x{i % 2}"} for i in range(60)]
    for vectors in (DictVectorizer(), FeatureHasher(16)):
        model = make_pipeline(vectors, LogisticRegression()).fit(dicts, labels)
        yield f"dicts: {type(vectors).__name__}", model, dicts
    sparse = scipy.sparse.csr_matrix(values * (values > np.median(values, axis=0)))
    for model in (
        LogisticRegression(max_iter=10),
        RandomForestClassifier(5),
        xgboost.XGBClassifier(n_estimators=5),
        lightgbm.LGBMClassifier(**light),
    ):
        yield f"sparse: {type(model).__name__}", model.fit(sparse, y), sparse


def outcome_of(model: object, rows: object) -> str:
    """Return "" for a model that answers a request as it predicts, else why not."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            save_model(model, folder, rows)
            served = serving_model.load(folder, name="model", version=1)
            request = (folder / "serving_input_example.json").read_bytes()
            spec = served.spec
            asked = read_request(request, "application/json", kind=spec.kind)
            found = np.asarray(served.predict(to_rows(asked, spec)))
        except UsageError as error:
            return f"refused: {error.problem}"
    few = rows[: len(found)]
    if boosters.flavor_of(model) is not None:
        model = boosters.Predictor(model)
    expected = np.asarray(model.predict(few))
    if expected.dtype.kind in "fiub":
        is_same = np.allclose(found, expected, rtol=1e-6, atol=1e-9)
    else:
        is_same = list(found) == list(expected)
    return "" if is_same else "ANSWERS DIFFERENTLY"


def try_composed() -> None:
    """Print how many models of each kind are stored, loaded and served equal."""
    said: dict[str, list[str]] = {}
    for kind, make in composed():
        label, model, rows = make()
        outcome = outcome_of(model, rows)
        said.setdefault(kind, []).append(outcome and f"{label}: {outcome}")
    n, n_right = 0, 0
    for kind, outcomes in said.items():
        right = outcomes.count("")
        n, n_right = n + len(outcomes), n_right + right
        print(f"{kind:<44}{right:>4} of {len(outcomes):>3} served equal")
    print(f"{'all':<44}{n_right:>4} of {n:>3} served equal")
    for outcome in filter(None, (each for kind in said.values() for each in kind)):
        print(f"  {outcome}")


def main() -> None:
    """Print all four."""
    warnings.simplefilter("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    prepare()
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{versions()}; {repeats} rounds, medians")
    with tempfile.TemporaryDirectory() as folder, project(Path(folder, "project")):
        store = connect()
        mlflow.set_tracking_uri(store.uri)
        if repeats:
            compare(repeats)
            try_pins()
        try_all(store)
        try_composed()


if __name__ == "__main__":
    main()
