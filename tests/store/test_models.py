"""Every estimator of scikit-learn: logged, read back without pickle, or refused."""

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
)
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import (  # noqa: F401 - they join all_estimators
    enable_halving_search_cv,
    enable_iterative_imputer,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, mutual_info_classif
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils import all_estimators, get_tags
from sklearn.utils._test_common.instance_generator import _construct_instances
from sklearn.utils.estimator_checks import (
    _enforce_estimator_tags_X,
    _enforce_estimator_tags_y,
)

from nbmlops.config import Settings
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.scoring.example import read_example
from nbmlops.store import Store, connect
from nbmlops.store.models.files import load_model, read_signature
from nbmlops.store.models.models import is_fitted_estimator, log_model

ESTIMATORS = dict(all_estimators())
N_ESTIMATORS = 211  # of scikit-learn 1.9; more is fine, fewer is a loss
REFUSED = {"Birch": "skops has no form for its tree of linked nodes"}

Fitted = tuple[str, BaseEstimator, Any]


def fit(name: str) -> Iterator[Fitted]:
    """Yield (label, fitted estimator, rows) for each variant of an estimator class."""
    rng = np.random.default_rng(0)
    texts = np.array([f"word{i % 3} other{i % 5}" for i in range(60)])
    labels = np.arange(60) % 3
    dicts = [{"a": i, "b": f"x{i % 2}"} for i in range(9)]
    by_hand: dict[str, Any] = {
        "CountVectorizer": texts,
        "DictVectorizer": dicts,
        "FeatureHasher": dicts,
        "HashingVectorizer": texts,
        "LabelBinarizer": labels,
        "LabelEncoder": labels,
        "MultiLabelBinarizer": [("a", "b"), ("b",), ("c", "a")],
        "PatchExtractor": rng.normal(size=(5, 12, 12)),
        "SparseCoder": rng.normal(size=(60, 3)),
        "TfidfVectorizer": texts,
    }
    if name == "FrozenEstimator":
        x = rng.normal(size=(60, 4))
        yield name, FrozenEstimator(LogisticRegression().fit(x, labels)), x
        return
    for index, estimator in enumerate(_construct_instances(ESTIMATORS[name])):
        x = rng.normal(size=(60, 4))
        y: Any = labels % 2
        if get_tags(estimator).estimator_type == "regressor":
            y = 2 * x[:, 0] + rng.normal(size=60) / 10
        if name in by_hand:
            x = by_hand[name]
            if "Hash" in name:
                estimator.set_params(n_features=16)
            yield f"{name} {index}", estimator.fit(x), x
            continue
        x = _enforce_estimator_tags_X(estimator, x)
        y = _enforce_estimator_tags_y(estimator, y)
        yield f"{name} {index}", estimator.fit(x, y), x


def fit_compositions() -> Iterator[Fitted]:
    """Yield what people build: pipelines over mixed columns, searches, ensembles."""
    rng = np.random.default_rng(0)
    n = 90
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income": rng.normal(size=n),
            "home": rng.choice(["own", "rent"], n),
            "job": pd.Categorical(rng.choice(["fixed", "free"], n)),
        }
    )
    frame.loc[3, "income"] = np.nan
    frame.loc[4, "home"] = None
    numbers = frame[["age", "income"]].fillna(0)
    y = np.arange(n) % 2
    names = np.where(y, "good", "bad")

    def columns(of_numbers: Any, of_words: Any) -> ColumnTransformer:
        scaled = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True), StandardScaler()
        )
        coded = make_pipeline(
            SimpleImputer(strategy="most_frequent"),
            OneHotEncoder(handle_unknown="ignore"),
        )
        return ColumnTransformer(
            [("numbers", scaled, of_numbers), ("words", coded, of_words)]
        )

    logistic, forest = LogisticRegression(), RandomForestClassifier(5, random_state=0)
    listed = columns(["age", "income"], ["home", "job"])
    indexed = columns(numbers.columns, frame.columns[2:])
    selected = columns(
        make_column_selector(dtype_include=np.number),
        make_column_selector(dtype_exclude="number"),
    )
    grid = {"C": [0.1, 1.0]}
    scorer = make_scorer(fbeta_score, beta=2)
    splits = RepeatedStratifiedKFold(n_splits=2, n_repeats=1, random_state=0)
    log = FunctionTransformer(np.log1p)
    gp = GaussianProcessRegressor(RBF() + Matern() + WhiteKernel())
    texts = np.array([f"word{i % 3} other{i % 5}" for i in range(n)])
    for label, model, x, target in (
        ("columns by name", make_pipeline(listed, logistic), frame, names),
        ("columns by Index", make_pipeline(indexed, forest), frame, names),
        ("columns by selector", make_pipeline(selected, logistic), frame, y),
        ("categories", HistGradientBoostingClassifier(max_iter=3), frame[["job"]], y),
        ("grid", GridSearchCV(logistic, grid, cv=3), numbers, y),
        ("grid, auc", GridSearchCV(logistic, grid, scoring="roc_auc"), numbers, y),
        ("grid, own", GridSearchCV(logistic, grid, scoring=scorer), numbers, y),
        ("grid, splits", GridSearchCV(logistic, grid, cv=splits), numbers, y),
        ("random", RandomizedSearchCV(logistic, grid, n_iter=2), numbers, y),
        ("isotonic", CalibratedClassifierCV(forest, method="isotonic"), numbers, y),
        ("stack", StackingClassifier([("a", logistic), ("b", forest)]), numbers, y),
        ("vote", VotingClassifier([("a", logistic), ("b", forest)]), numbers, names),
        ("ufunc", make_pipeline(log, Ridge()), numbers.abs(), y),
        ("target", TransformedTargetRegressor(Ridge(), func=np.log1p,
         inverse_func=np.expm1), numbers, y),
        ("mutual", make_pipeline(SelectKBest(mutual_info_classif, k=1), Ridge()),
         numbers, y),
        ("ball", KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"),
         numbers, y),
        ("kernels", gp, numbers / 100, y),
        ("tweedie", TweedieRegressor(power=1.5), numbers / 100, y),
        ("network", MLPClassifier((4,), solver="sgd", max_iter=5), numbers, y),
        ("text", make_pipeline(TfidfVectorizer(), logistic), texts, y),
    ):  # fmt: skip
        yield label, model.fit(x, target), x


def answers(model: Any, x: Any) -> dict[str, Any]:
    """Return what a fitted estimator says of ``x``, by every method it has for that."""
    said = {}
    for method in (
        "predict",
        "predict_proba",
        "transform",
        "decision_function",
        "score_samples",
        "kneighbors",
    ):
        if hasattr(model, method):
            np.random.seed(0)  # some draw at prediction, from the global state
            said[method] = getattr(model, method)(x)
    if not said:
        said = {
            name: value
            for name, value in vars(model).items()
            if name.endswith("_") and isinstance(value, np.ndarray)
        }
    return {k: v.toarray() if hasattr(v, "toarray") else v for k, v in said.items()}


def assert_same(value: Any, expected: Any, label: str) -> None:
    if np.asarray(value).dtype.kind == "f":  # BLAS sums a reloaded array otherwise
        np.testing.assert_allclose(value, expected, 1e-9, 1e-12, err_msg=label)
    else:
        np.testing.assert_array_equal(value, expected, err_msg=label)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return connect(Settings(project=tmp_path_factory.mktemp("project")))


@pytest.fixture
def run_id(store: Store) -> str:
    return store.client.create_run("0").info.run_id


def folder_of(store: Store, model_id: str) -> Path:
    location = store.client.get_logged_model(model_id).artifact_location
    return Path(url2pathname(urlsplit(location).path))


def assert_comes_back(store: Store, run_id: str, fitted: Fitted) -> None:
    import mlflow

    label, model, x = fitted
    folder = folder_of(store, log_model(store, run_id, model, x))
    expected = answers(model, x)
    assert expected, f"{label} has nothing to compare"
    mlflow.set_tracking_uri(store.uri)
    for loaded in (load_model(folder), mlflow.sklearn.load_model(str(folder))):
        assert type(loaded) is type(model), label
        for method, value in answers(loaded, x).items():
            assert_same(value, expected[method], label)
    assert read_signature(folder).inputs, label
    assert read_example(folder).n_rows == min(5, len(x)), label


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimator_comes_back_without_pickle_or_is_refused_by_name(
    store: Store, run_id: str, name: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        variants = list(fit(name))
        assert variants
        for fitted in variants:
            if name not in REFUSED:
                assert_comes_back(store, run_id, fitted)
                continue
            with pytest.raises(UsageError, match=f"{name}.*without pickle"):
                log_model(store, run_id, *fitted[1:])


def test_no_estimator_is_lost() -> None:
    assert len(ESTIMATORS) >= N_ESTIMATORS


@pytest.mark.usefixtures("no_pickle")
def test_compositions_come_back_without_pickle(store: Store, run_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for fitted in fit_compositions():
            assert_comes_back(store, run_id, fitted)


def small() -> tuple[LogisticRegression, pd.DataFrame]:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [1, 0, 1, 1]})
    return LogisticRegression().fit(frame, ["no", "yes", "no", "yes"]), frame


def test_the_run_gets_a_ready_model_that_mlflow_reads(
    store: Store, run_id: str
) -> None:
    import mlflow

    store.client.log_param(run_id, "C", 1.0)
    store.client.log_metric(run_id, "auc", 0.75)
    model, frame = small()
    model_id = log_model(store, run_id, model, frame, name="credit")
    logged = store.client.get_logged_model(model_id)
    assert (logged.status.value, logged.name) == ("READY", "credit")
    assert (logged.source_run_id, logged.params) == (run_id, {"C": "1.0"})
    assert {m.key: m.value for m in logged.metrics} == {"auc": 0.75}
    outputs = store.client.get_run(run_id).outputs.model_outputs
    assert [output.model_id for output in outputs] == [model_id]
    mlflow.set_tracking_uri(store.uri)
    stock = mlflow.pyfunc.load_model(f"models:/{model_id}")
    rows = mlflow.models.Model.load(f"models:/{model_id}").load_input_example(
        folder_of(store, model_id).as_posix()
    )
    assert list(stock.predict(rows)) == list(model.predict(frame))
    assert stock.metadata.run_id == run_id
    assert {str(c.type) for c in stock.metadata.signature.inputs.inputs} == {
        "DataType.double",
        "DataType.long",
    }


def test_another_thread_logs_without_touching_the_active_run(
    store: Store, run_id: str
) -> None:
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    before = {run.info.run_id for run in store.client.search_runs(["0"])}
    logged: list[str] = []
    thread = threading.Thread(
        target=lambda: logged.append(log_model(store, run_id, *small()))
    )
    thread.start()
    thread.join(60)
    assert store.client.get_logged_model(logged[0]).source_run_id == run_id
    assert mlflow.active_run() is None
    assert {run.info.run_id for run in store.client.search_runs(["0"])} == before


def test_a_refused_model_leaves_nothing_in_the_store(store: Store, run_id: str) -> None:
    before = len(store.client.search_logged_models(["0"]))
    model = make_pipeline(FunctionTransformer(lambda x: x), Ridge())
    with pytest.raises(UsageError, match=r"Pipeline cannot be stored.*<lambda>"):
        log_model(store, run_id, model.fit([[1.0], [2.0]], [1, 2]), [[1.0]])
    assert len(store.client.search_logged_models(["0"])) == before


def test_a_model_that_breaks_half_way_is_marked_failed(
    store: Store, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalArtifactRepository, "log_artifacts", interrupt)
    with pytest.raises(KeyboardInterrupt):
        log_model(store, run_id, *small(), name="broken")
    found = store.client.search_logged_models(["0"], "name = 'broken'")
    assert [model.status.value for model in found] == ["FAILED"]
    assert not store.client.get_run(run_id).outputs.model_outputs


def test_an_unknown_run_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError):
        log_model(store, "0" * 32, *small())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (LogisticRegression(), False),
        (LogisticRegression, False),
        (small()[0], True),
        (make_pipeline(StandardScaler(), LogisticRegression()), False),
        (Pipeline([("model", small()[0])]), True),
        (FunctionTransformer(np.log1p), False),
        (FrozenEstimator(small()[0]), True),
        (small()[1], False),
        (None, False),
    ],
)
def test_only_a_fitted_estimator_counts_as_one(value: object, expected: bool) -> None:
    assert is_fitted_estimator(value) is expected
