"""Models made of other models and of other packages: stored, loaded, equal."""

import ctypes
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imblearn.pipeline
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import RandomUnderSampler
from imblearn.utils.testing import all_estimators as imblearn_estimators
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from nbmlops.errors import UsageError
from nbmlops.store.models.files import load_model, read_signature, save_model
from nbmlops.store.models.models import is_fitted_estimator
from nbmlops.store.models.trusted_types import TRUSTED_TYPES
from tests.crafted import crafted, node, plant, text
from tests.meta_models import (
    INNER,
    META,
    array_params,
    fit_meta,
    meta_estimators,
    pairs,
)

QUICK = [
    next((m, i) for i in [*[*INNER][at % len(INNER) :], *INNER] if (m, i) in pairs())
    for at, m in enumerate(META)
]
"""Each meta-estimator around one, so that each of those is inside of some."""

FRAME, SPECIES = load_iris(return_X_y=True, as_frame=True)


def assert_comes_back(folder: Path, label: str, model: Any, rows: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_model(model, folder, rows)
        loaded = load_model(folder)
        assert type(loaded) is type(model), label
        for method in ("predict", "predict_proba"):
            if hasattr(model, method):
                np.testing.assert_allclose(
                    np.asarray(getattr(loaded, method)(rows), dtype=float),
                    np.asarray(getattr(model, method)(rows), dtype=float),
                    err_msg=f"{label}: {method}",
                )
    assert read_signature(folder).inputs, label


def test_every_meta_estimator_of_scikit_learn_is_tried() -> None:
    assert meta_estimators() <= {*META}
    assert {inner for _, inner in QUICK} == {*INNER}


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize(("meta", "inner"), QUICK)
def test_a_meta_estimator_comes_back(tmp_path: Path, meta: str, inner: str) -> None:
    assert_comes_back(tmp_path, *fit_meta(meta, inner))


@pytest.mark.slow
@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize("meta", META)
def test_a_meta_estimator_comes_back_around_any_model(
    tmp_path: Path, meta: str
) -> None:
    for inner in (inner for name, inner in pairs() if name == meta):
        (folder := tmp_path / inner).mkdir()
        assert_comes_back(folder, *fit_meta(meta, inner))


@pytest.mark.usefixtures("no_pickle")
def test_an_array_as_a_param_comes_back(tmp_path: Path) -> None:
    for number, fitted in enumerate(array_params()):
        (folder := tmp_path / str(number)).mkdir()
        assert_comes_back(folder, *fitted)


def test_a_loud_model_is_quiet_for_its_signature_and_keeps_its_param(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(3, verbose=np.int64(2)).fit(FRAME, SPECIES)
    capfd.readouterr()
    save_model(model, tmp_path, FRAME)
    assert capfd.readouterr().err == capfd.readouterr().out == ""
    assert load_model(tmp_path).verbose == model.verbose == 2


BOOSTERS: dict[str, Callable[[], Any]] = {
    "xgboost forest": lambda: xgboost.XGBRFClassifier(n_estimators=3),
    "xgboost dart": lambda: xgboost.XGBRegressor(n_estimators=3, booster="dart"),
    "xgboost linear": lambda: xgboost.XGBRegressor(n_estimators=3, booster="gblinear"),
    "lightgbm forest": lambda: lightgbm.LGBMRegressor(
        n_estimators=3, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5,
        verbose=-1,
    ),
    "lightgbm dart": lambda: lightgbm.LGBMClassifier(
        n_estimators=3, boosting_type="dart", class_weight="balanced", verbose=-1
    ),
}  # fmt: skip


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize("name", BOOSTERS)
def test_a_booster_of_any_kind_comes_back(tmp_path: Path, name: str) -> None:
    assert_comes_back(tmp_path, name, BOOSTERS[name]().fit(FRAME, SPECIES), FRAME)


@pytest.mark.usefixtures("no_pickle")
def test_boosters_come_back_with_categories_and_early_stopping(tmp_path: Path) -> None:
    rows = FRAME.assign(kind=pd.Categorical(np.where(SPECIES > 0, "a", "b")))
    stop = xgboost.callback.EarlyStopping(rounds=2)
    model = xgboost.XGBClassifier(
        n_estimators=5, enable_categorical=True, callbacks=[stop]
    ).fit(rows, SPECIES, eval_set=[(rows, SPECIES)], verbose=False)
    lgbm = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(
        rows,
        SPECIES,
        eval_X=rows[::2],
        eval_y=SPECIES[::2],
        callbacks=[lightgbm.early_stopping(2, verbose=False)],
    )
    for each in (model, lgbm):
        folder = tmp_path / type(each).__name__
        folder.mkdir()
        assert_comes_back(folder, "categories", each, rows)
        loaded = load_model(folder)
        assert getattr(loaded, "best_iteration_", None) == getattr(
            each, "best_iteration_", None
        )


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize(
    "sampler", [SMOTE(random_state=0), RandomUnderSampler(random_state=0)]
)
def test_samplers_are_passed_over_at_prediction(tmp_path: Path, sampler: Any) -> None:
    rows, y = FRAME[:80], SPECIES[:80]
    model = imblearn.pipeline.make_pipeline(
        StandardScaler(), sampler, LogisticRegression()
    ).fit(rows, y)
    assert_comes_back(tmp_path, "sampler", model, rows)
    assert len(load_model(tmp_path).predict(rows[:7])) == 7


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize("name", [name for name, _ in imblearn_estimators()])
def test_every_sampler_and_ensemble_of_imbalanced_learn_comes_back(
    tmp_path: Path, name: str
) -> None:
    cls = dict(imblearn_estimators())[name]
    rows = FRAME[70:].reset_index(drop=True)  # 30 of one class, 50 of another
    y = SPECIES[70:].to_numpy() - 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        match name:
            case "Pipeline":
                model = cls([("m", LogisticRegression())]).fit(rows, y)
            case "SMOTENC":
                model = cls([3]).fit(rows.round().astype(int), y)
            case "SMOTEN" | "ValueDifferenceMetric":
                model = cls().fit(rows.round().astype(int), y)
            case "KMeansSMOTE":
                model = cls(cluster_balance_threshold=0.01)
                model.fit_resample(rows, y)
            case _ if hasattr(cls, "fit_resample"):
                model = cls()
                model.fit_resample(rows, y)
            case _:
                model = cls(n_estimators=3).fit(rows, y)
        save_model(model, tmp_path)
        loaded = load_model(tmp_path)
    assert type(loaded) is cls
    assert str(loaded.get_params()) == str(model.get_params())


@pytest.mark.parametrize(
    ("package", "pin"),
    [
        ("xgboost", "xgboost"),
        ("lightgbm", "lightgbm==" + lightgbm.__version__),
        ("imblearn", "imbalanced-learn=="),
    ],
)
def test_the_package_of_a_part_is_among_the_pins(
    tmp_path: Path, package: str, pin: str
) -> None:
    models = {
        "xgboost": xgboost.XGBClassifier(n_estimators=1),
        "lightgbm": lightgbm.LGBMClassifier(n_estimators=1, verbose=-1),
        "imblearn": imblearn.pipeline.make_pipeline(SMOTE(), LogisticRegression()),
    }
    save_model(models[package].fit(FRAME, SPECIES), tmp_path)
    pins = (tmp_path / "requirements.txt").read_text(encoding="utf-8").split()
    assert any(each.startswith(pin) for each in pins)


# Hostile files: what a booster's own reader is given is the file's choice.


def state_of(**values: Any) -> dict[str, Any]:
    keys = node(
        "ListNode",
        "builtins.list",
        content=[node("TypeNode", "builtins.str") for _ in values],
    )
    return node("DictNode", "builtins.dict", content=values, key_types=keys)


def number(value: int) -> dict[str, Any]:
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


@pytest.mark.parametrize("kind", ["bytes", "pickle", "text", "number"])
@pytest.mark.parametrize(
    ("name", "handle"),
    [("xgboost.core.Booster", "handle"), ("lightgbm.basic.Booster", "_handle")],
)
def test_a_crafted_booster_runs_no_code(
    tmp_path: Path, name: str, handle: str, kind: str
) -> None:
    import pickle

    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(canary), "w")

    content = {
        "bytes": b"\x00" * 64,
        "pickle": pickle.dumps(Payload()),
        "text": f"open({str(canary)!r}, 'w')".encode(),
        "number": b"",
    }[kind]
    held = node("BytearrayNode", "builtins.bytearray", file="state.bin")
    if name.startswith("lightgbm"):
        held = text(content.decode("latin-1"))
    if kind == "number":  # an address
        held = number(ctypes.addressof(ctypes.create_string_buffer(8)))
    schema = node("ObjectNode", name, content=state_of(**{handle: held}))
    (folder := tmp_path / "model").mkdir()
    plant(folder, crafted(schema, {"state.bin": content}))
    # In a process of its own: what a library makes of nonsense may end it.
    code = (
        "import pathlib, sys\n"
        "from nbmlops.errors import UsageError\n"
        "from nbmlops.store.models.files import load_model\n"
        "try:\n"
        "    load_model(pathlib.Path(sys.argv[1]))\n"
        "except UsageError as error:\n"
        "    print(error.problem)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "cannot be read" in ended.stdout
    assert not canary.exists()


def test_a_function_inside_a_booster_is_not_trusted(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (folder := tmp_path / "model").mkdir()
    objective = node("FunctionNode", "os.system")
    schema = node(
        "ObjectNode",
        "xgboost.sklearn.XGBClassifier",
        content=state_of(objective=objective),
    )
    plant(folder, crafted(schema), skops_trusted_types=["os.system"])
    with pytest.raises(UsageError, match=r"holds os\.system"):
        load_model(folder)
    assert not canary.exists()


def test_the_boosters_of_catboost_are_trusted_by_name() -> None:
    names = [name for name in TRUSTED_TYPES if name.startswith("catboost.")]
    assert len(names) == 4


# Boosters without the classes of scikit-learn.


def train(library: str, rows: Any, target: Any) -> Any:
    if library == "xgboost":
        matrix = xgboost.DMatrix(rows, target, enable_categorical=True)
        return xgboost.train({"max_depth": 2}, matrix, 4)
    data = lightgbm.Dataset(rows, target)
    return lightgbm.train({"verbose": -1, "min_data_in_leaf": 5}, data, 4)


def predict(library: str, booster: Any, rows: Any) -> Any:
    if library == "xgboost":
        return booster.predict(xgboost.DMatrix(rows, enable_categorical=True))
    return booster.predict(rows)


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("kind", ["frame", "array", "categories"])
def test_a_native_booster_is_stored_in_its_own_format(
    tmp_path: Path, library: str, kind: str
) -> None:
    import mlflow

    rows: Any = FRAME.to_numpy() if kind == "array" else FRAME
    if kind == "categories":
        rows = FRAME.assign(kind=pd.Categorical(np.where(SPECIES > 0, "a", "b")))
    booster = train(library, rows, SPECIES)
    expected = predict(library, booster, rows)
    save_model(booster, tmp_path, rows)
    loaded = load_model(tmp_path)
    np.testing.assert_array_equal(loaded.predict(rows), expected)
    assert len(read_signature(tmp_path).inputs) == rows.shape[1]
    names = {path.suffix for path in tmp_path.iterdir()}
    assert {".ubj" if library == "xgboost" else ".lgb"} < names
    if kind == "categories":  # a request has words for them
        words = rows.astype({"kind": object})
        np.testing.assert_array_equal(loaded.predict(words), expected)
        return
    stock = mlflow.pyfunc.load_model(str(tmp_path))
    np.testing.assert_array_equal(stock.predict(rows), expected)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_booster_is_a_model_only_when_it_was_trained(library: str) -> None:
    assert is_fitted_estimator(train(library, FRAME, SPECIES))
    assert not is_fitted_estimator(xgboost.Booster())


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"{}", b"tree\nversion=v4\n"])
@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_booster_that_cannot_be_read_is_refused(
    tmp_path: Path, library: str, content: bytes
) -> None:
    booster = train(library, FRAME, SPECIES)
    save_model(booster, tmp_path, FRAME)
    (file,) = (f for f in tmp_path.iterdir() if f.suffix in (".ubj", ".lgb"))
    file.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        load_model(tmp_path)
