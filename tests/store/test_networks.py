"""Models of packages too large for the test environment, in one of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_COMMON = """
import pathlib, subprocess, sys
import numpy as np, pandas as pd
from nbmlops.errors import UsageError
from nbmlops.scoring.request import read_request
from nbmlops.scoring.rows import to_rows
from nbmlops.serving.model import load
from nbmlops.store.models.files import save_model
from nbmlops.store.models.models import is_fitted_estimator
rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(40, 3)), columns=list("abc"))
y = X["a"] * 2 + X["b"]
folder = pathlib.Path(sys.argv[1])
def refused(call):
    try:
        call()
    except UsageError as error:
        return str(error)
    raise AssertionError("not refused")
"""
_SERVED = """
import json
body = json.dumps({"dataframe_split": X.head(4).to_dict("split")}).encode()
served = load(folder, name="m", version=1, trust=TRUST)
rows = to_rows(read_request(body, "application/json"), served.spec)
answer = served.predict(rows)
np.testing.assert_allclose(answer, expected[:4], rtol=1e-5)
print("served")
"""
_CATBOOST = """
import catboost
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
TRUST = ()
booster = catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False)
assert not is_fitted_estimator(booster)
model = make_pipeline(StandardScaler(), booster).fit(X, y)
assert is_fitted_estimator(model) and is_fitted_estimator(booster)
expected = model.predict(X)
import pickle
def never(*args, **kwargs): raise AssertionError("unpickled")
pickle.load = pickle.loads = never
save_model(model, folder, X)
from nbmlops.store.models.trusted_types import TRUSTED_TYPES
names = [name for name in TRUSTED_TYPES if name.startswith("catboost.core.")]
assert all(hasattr(catboost, name.rpartition(".")[2]) for name in names)
"""
_TORCH = """
import torch
TRUST = ("torch",)
torch.manual_seed(0)
layers = torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)
model = torch.nn.Sequential(*layers)
words = refused(lambda: save_model(model, folder, X))
assert "any code" in words and "trust=True" in words, words
assert not list(folder.iterdir())
save_model(model, folder, X, trust=("*",))
with torch.no_grad():
    expected = model(torch.from_numpy(X.to_numpy(np.float32))).numpy()[:, 0]
words = refused(lambda: load(folder, name="m", version=1, trust=("shop",)))
assert '"torch"' in words, words
"""
_KERAS = """
import keras
TRUST = ("*",)
model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(X, y, verbose=0)
assert "trust=True" in refused(lambda: save_model(model, folder, X))
save_model(model, folder, X, trust=TRUST)
expected = model.predict(X, verbose=0)[:, 0]
assert '"keras"' in refused(lambda: load(folder, name="m", version=1))
"""


def run(code: str, packages: list[str], tmp_path: Path, **environ: str) -> None:
    """Run code where packages are installed beside those of this environment."""
    extra, model = tmp_path / "packages", tmp_path / "model"
    model.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--target", extra, *packages], check=True)
    done = subprocess.run(
        [sys.executable, "-c", _COMMON + code + _SERVED, model],
        env={**os.environ, "PYTHONPATH": str(extra), **environ},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith("served"), done.stderr


@pytest.mark.slow
def test_catboost_is_stored_and_served_inside_of_a_pipeline(tmp_path: Path) -> None:
    run(_CATBOOST, ["catboost>=1.2.8,<2"], tmp_path)


@pytest.mark.slow
def test_a_torch_module_is_stored_and_served_where_it_is_trusted(
    tmp_path: Path,
) -> None:
    run(_TORCH, ["torch==2.13.0", "sympy", "mpmath", "networkx"], tmp_path)


@pytest.mark.slow
def test_a_keras_model_is_stored_and_served_where_it_is_trusted(tmp_path: Path) -> None:
    packages = ["torch==2.13.0", "sympy", "mpmath", "networkx", "keras", "namex"]
    packages += ["optree", "absl-py", "h5py", "ml-dtypes", "rich"]
    run(_KERAS, packages, tmp_path, KERAS_BACKEND="torch")
