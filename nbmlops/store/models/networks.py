"""Models of PyTorch and Keras: stored and loaded by MLflow's flavors of them.

Their formats run code when they are read: a PyTorch file is a pickle, a Keras file
names the functions to call. So both ways need the user's trust.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from nbmlops.errors import UsageError
from nbmlops.store.models.own_code import OwnCode, Trust, collect, is_trusted

_BASES = {
    "torch.nn.modules.module.Module": "pytorch",
    "keras.src.models.model.Model": "keras",
}
_PACKAGES = {"pytorch": "torch", "keras": "keras"}
FLAVORS = tuple(_PACKAGES)


def flavor_of(model: object) -> str | None:
    """Return MLflow's flavor of a network; None of anything else."""
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__]
    # A Keras model may also be a module of PyTorch, when that is what it runs on.
    found = [flavor for base, flavor in _BASES.items() if base in names]
    return found[-1] if found else None


def check_trust(flavor: str, trust: Trust, *, is_loaded: bool = False) -> None:
    """Refuse a network whose package is not trusted."""
    package = _PACKAGES[flavor]
    if is_trusted(package, trust):
        return
    how = (
        "deploy with trust=True"
        if is_loaded
        else "store this model with run.log_model(model, X, trust=True)"
    )
    raise UsageError(
        f"A {package} model is a file that can run any code when it is loaded.",
        fix=f"If you trust this one, {how}; to trust all, set [tool.nbmlops.models] "
        f'trust = ["{package}"] in pyproject.toml.',
    )


class Network:
    """A network with the methods of an estimator."""

    def __init__(self, folder: Path) -> None:
        import mlflow.pyfunc

        self._model = mlflow.pyfunc.load_model(str(folder))._model_impl

    def predict(self, rows: Any) -> Any:  # noqa: ANN401
        """Return the network's outputs for a frame or array, one a row."""
        import numpy as np

        # The weights of a network are of this type, and it takes rows of no other.
        found = np.asarray(self._model.predict(np.asarray(rows, dtype=np.float32)))
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def save(model: Any, folder: Path, pins: list[str], trust: Trust) -> OwnCode:  # noqa: ANN401
    """Write a network's folder as MLflow does, and return the code of its classes."""
    flavor = str(flavor_of(model))
    check_trust(flavor, trust)
    parts = model.modules() if hasattr(model, "modules") else [model]
    classes = {f"{type(part).__module__}.{type(part).__name__}" for part in parts}
    # A pickle holds the notebook's own classes by their content.
    code = collect(name for name in classes if not name.startswith("__main__."))
    options: dict[str, Any] = {"pip_requirements": pins}
    if flavor == "pytorch":
        options["serialization_format"] = "pickle"
    import_module(f"mlflow.{flavor}").save_model(model, str(folder), **options)
    return code


def distributions(flavor: str) -> list[str]:
    """Return what a network needs besides MLflow."""
    if flavor == "pytorch":
        return ["torch"]
    return ["keras", import_module("keras").backend.backend()]
