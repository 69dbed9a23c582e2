"""A model as a folder of files: written without pickle, read without running code.

The folder is what MLflow's own sklearn flavor writes and reads, in the skops format.
Nothing here imports mlflow, so an endpoint's process need not either. A model's file
brings a list of types it wants trusted; it is written for MLflow's sake and never
read: `nbmlops.store.models.trusted_types` decides.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from nbmlops.entities import Signature
from nbmlops.errors import UsageError
from nbmlops.scoring import signature
from nbmlops.scoring.inference import Rows, record_example
from nbmlops.store.models import boosters, networks, skops_format
from nbmlops.store.models.own_code import FOLDER, OwnCode, Trust
from nbmlops.store.models.trusted_types import TRUSTED_TYPES

_MODEL = "model.skops"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """What is to be known of a model that was written."""

    own_code: str
    not_served: str | None


def save_model(
    model: object, folder: Path, example: Rows = None, *, trust: Trust = ()
) -> SavedModel:
    """Write a fitted estimator as a model folder that MLflow can load."""
    # Predicting would leave its traces in the user's own model, if only in a counter:
    # the stored one is read back and predicts the example.
    read: object
    if network := networks.flavor_of(model):
        pinned = pins([], example, networks.distributions(network))
        code = networks.save(model, folder, pinned, trust)
        document, read = signature.read_mlmodel(folder), networks.Network(folder)
    else:
        document, read, code = _save_estimator(model, folder, example, trust)
    not_served = None
    if example is not None:
        record = record_example(read, example)
        document, not_served = {**document, **record.fields}, record.not_served
        for name, text in record.files.items():
            (folder / name).write_text(text, encoding="utf-8")
    for path, source in code.files.items():
        (file := folder / FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source)
    if code.files:
        for flavor in document["flavors"].values():
            flavor["code"] = FOLDER
    _write_yaml(folder / "MLmodel", document)
    return SavedModel(own_code=code.source, not_served=not_served)


def _save_estimator(
    model: object, folder: Path, example: Rows, trust: Trust
) -> tuple[dict[str, Any], object, OwnCode]:
    """Write a model's own file; return its MLmodel, the model read back, its code."""
    code, python = OwnCode(), platform.python_version()
    flavor: dict[str, Any]
    if boosters.flavor_of(model):
        content, file, name, flavor = boosters.dump(model)
        read = boosters.load(content, name)
        types, function = [flavor["model_class"]], {"data": file}
    else:
        file, name = _MODEL, "sklearn"
        content, types, read, code = skops_format.dump(model, trust)
        flavor = {
            "code": None,
            "pickled_model": file,
            "serialization_format": "skops",
            "sklearn_version": _version("scikit-learn"),
            "skops_trusted_types": types,
        }
        function = {"model_path": file, "predict_fn": "predict"}
    flavors: dict[str, object] = {name: flavor}
    if hasattr(read, "predict"):
        flavors["python_function"] = function | {
            "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            "loader_module": f"mlflow.{name}",
            "python_version": python,
        }
    (folder / file).write_bytes(content)
    _write_environment(folder, python, pins(types, example, code.distributions()))
    document = {
        "flavors": flavors,
        "mlflow_version": _version("mlflow"),
        "model_size_bytes": len(content),
        "utc_time_created": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}",
    }
    return document, read, code


def _write_environment(folder: Path, python: str, pinned: list[str]) -> None:
    (folder / "requirements.txt").write_text("\n".join(pinned), encoding="utf-8")
    packages = [f"python={python}", "pip", {"pip": pinned}]
    conda = {"name": "mlflow-env", "channels": ["conda-forge"]}
    _write_yaml(folder / "conda.yaml", conda | {"dependencies": packages})
    build = {"python": python, "build_dependencies": ["pip", "setuptools", "wheel"]}
    environment = build | {"dependencies": ["-r requirements.txt"]}
    _write_yaml(folder / "python_env.yaml", environment)


def _write_yaml(path: Path, document: object) -> None:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def pins(
    types: Iterable[str], example: Rows = None, others: Iterable[str] = ()
) -> list[str]:
    """Return the packages a model needs, at the versions installed here."""
    names = {"mlflow", "numpy", "scikit-learn", "scipy", "skops", *others}
    names |= {TRUSTED_TYPES.get(name, "") for name in types}
    if hasattr(example, "iloc"):
        names.add("pandas")
    return [pin(name) for name in sorted(names - {""})]


def pin(name: str) -> str:
    """Return a requirement of a distribution at the version installed here."""
    if name == "xgboost":  # the same package without CUDA goes by another name
        with contextlib.suppress(PackageNotFoundError):
            return f"xgboost-cpu=={_version('xgboost-cpu')}"
    return f"{name}=={_version(name)}"


_version = cache(version)  # that of the code that is loaded, read once


def load_model(folder: Path, trust: Trust = ()) -> Any:  # noqa: ANN401
    """Return the fitted estimator of a model folder."""
    flavors = signature.read_mlmodel(folder).get("flavors") or {}
    for name in boosters.FLAVORS:
        booster = flavors.get(name)
        if isinstance(booster, dict) and booster.get("model_class") in TRUSTED_TYPES:
            return boosters.load(
                _file_in(folder, booster.get("data")).read_bytes(), name
            )
    for name in networks.FLAVORS:
        if name in flavors:
            networks.check_trust(name, trust, is_loaded=True)
            return networks.Network(folder)
    flavor = flavors.get("sklearn")
    if not isinstance(flavor, dict):
        raise UsageError(
            f"The model in {folder} is not one of scikit-learn's, nor a booster or a "
            f"network: its flavors are {', '.join(map(str, flavors)) or 'none'}.",
            fix="Choose a model that was logged with nbmlops or mlflow.sklearn.",
        )
    form = flavor.get("serialization_format", "pickle")
    if form != "skops":
        raise UsageError(
            f"The model in {folder} was saved with {form!r}: loading it would run "
            "whatever code is in the file.",
            fix=skops_format.LOG_AGAIN,
        )
    return skops_format.load(_file_in(folder, flavor.get("pickled_model")), trust)


def _file_in(folder: Path, named: object) -> Path:
    path = folder / (name := str(named))
    if Path(name).name != name or not path.is_file():
        raise UsageError(
            f"The model in {folder} names the file {name!r}, which is not in it.",
            fix=skops_format.LOG_AGAIN,
        )
    return path


def read_signature(folder: Path) -> Signature | None:
    """Return the signature of a model folder."""
    return signature.read_signature(signature.read_mlmodel(folder))
