"""A model as a folder of files: written without pickle, read without running code.

The folder is what MLflow's own sklearn flavor writes and reads, in the skops format.
Nothing here imports mlflow, so an endpoint's process need not either. A model's file
brings a list of types it wants trusted; it is written for MLflow's sake and never
read: `nbmlops.store.trusted_types` decides.
"""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from nbmlops._masking import mask_tree
from nbmlops.entities import Signature
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store import boosters, networks, skops_format
from nbmlops.store.own_code import FOLDER, OwnCode, Trust
from nbmlops.store.signatures import (
    N_EXAMPLE_ROWS,
    Rows,
    as_table,
    example_document,
    infer_schemas,
    signature_of,
)
from nbmlops.store.trusted_types import TRUSTED_TYPES

_MODEL = "model.skops"
_EXAMPLE = "input_example.json"
_SERVING_EXAMPLE = "serving_input_example.json"


def save_model(
    model: object, folder: Path, example: Rows = None, *, trust: Trust = ()
) -> str:
    """Write a fitted estimator as a model folder that MLflow can load.

    Parameters
    ----------
    model : object
        A fitted estimator.
    folder : Path
        An existing folder.
    example : DataFrame, Series, ndarray, sparse matrix or sequence, optional
        All rows it was fitted on, for the signature; the first five are stored.
        Without it the model has no signature.
    trust : Trust, default=()
        Modules of the user's whose functions and classes it may hold; their source is
        stored with it.

    Returns
    -------
    str
        The code of a notebook's own that was stored with it; empty without any.

    Raises
    ------
    UsageError
        The model cannot be stored without pickle, or cannot predict the example.
    """
    if (network := networks.flavor_of(model)) is not None:
        return _save_network(model, network, folder, example, trust)
    python = platform.python_version()
    code = OwnCode()
    flavor: dict[str, Any]
    if boosters.flavor_of(model) is None:
        file, name = _MODEL, "sklearn"
        content, types, read, code = skops_format.dump(model, trust)
        flavor = {
            "code": FOLDER if code.files else None,
            "pickled_model": file,
            "serialization_format": "skops",
            "sklearn_version": _version("scikit-learn"),
            "skops_trusted_types": types,
        }
        function = {"model_path": file, "predict_fn": "predict"}
        function |= {"code": FOLDER} if code.files else {}
    else:
        content, file, name, flavor = boosters.dump(model)
        model = read = boosters.load(content, name)
        types, function = [flavor["model_class"]], {"data": file}
    document: dict[str, object] = {
        "flavors": {name: flavor},
        "mlflow_version": _version("mlflow"),
        "model_size_bytes": len(content),
        "utc_time_created": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}",
    }
    if hasattr(model, "predict"):
        document["flavors"]["python_function"] = function | {  # type: ignore[index]
            "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            "loader_module": f"mlflow.{name}",
            "python_version": python,
        }
    # Predicting would leave its traces in the user's own, if only in a counter.
    document |= _signed(model, read, folder, example)
    (folder / file).write_bytes(content)
    _write_code(code, folder)
    _write_yaml(folder / "MLmodel", document)
    _write_environment(folder, python, pins(types, example, code.distributions()))
    return code.source


def _save_network(
    model: object, flavor: str, folder: Path, example: Rows, trust: Trust
) -> str:
    pinned = pins([], example, networks.distributions(flavor))
    code = networks.save(model, folder, pinned, trust)
    document = _read_document(folder)
    read = networks.Network(folder)
    document |= _signed(read, read, folder, example)
    if code.files:
        for described in document["flavors"].values():
            described["code"] = FOLDER
    _write_code(code, folder)
    _write_yaml(folder / "MLmodel", document)
    return code.source


def _signed(
    model: object, read: object, folder: Path, example: Rows
) -> dict[str, object]:
    """Write the example, and return what MLmodel says of it and of the signature."""
    if example is None:
        return {}
    table = as_table(model, example)
    schemas = infer_schemas(read, table)
    info = _write_example(table[:N_EXAMPLE_ROWS], folder)
    return {"signature": schemas, "saved_input_example_info": info}


def _write_code(code: OwnCode, folder: Path) -> None:
    for path, source in code.files.items():
        (file := folder / FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source)


def _write_example(rows: Rows, folder: Path) -> dict[str, str]:
    document = mask_tree(example_document(rows))
    info = {"artifact_path": _EXAMPLE, "serving_input_path": _SERVING_EXAMPLE}
    key = "inputs"
    if hasattr(rows, "columns"):
        key = "dataframe_split"
        info |= {"type": "dataframe", "pandas_orient": "split"}
    else:
        info["type"] = "ndarray"
    (folder / _EXAMPLE).write_text(json.dumps(document), encoding="utf-8")
    (folder / _SERVING_EXAMPLE).write_text(
        json.dumps({key: document}), encoding="utf-8"
    )
    return info


def _write_environment(folder: Path, python: str, pinned: list[str]) -> None:
    (folder / "requirements.txt").write_text("\n".join(pinned), encoding="utf-8")
    packages = [f"python={python}", "pip", {"pip": pinned}]
    _write_yaml(
        folder / "conda.yaml",
        {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": packages},
    )
    build = ["pip", "setuptools", "wheel"]
    _write_yaml(
        folder / "python_env.yaml",
        {
            "python": python,
            "build_dependencies": build,
            "dependencies": ["-r requirements.txt"],
        },
    )


def _write_yaml(path: Path, document: object) -> None:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def pins(
    types: Iterable[str], example: Rows = None, others: Iterable[str] = ()
) -> list[str]:
    """Return the packages a model needs, at the versions installed here.

    Parameters
    ----------
    types : iterable of str
        Types of the model; those that are not in ``TRUSTED_TYPES`` are of ``others``.
    example : object, optional
        Rows it was fitted on; a DataFrame makes pandas one of the packages.
    others : iterable of str, default=()
        More distributions.

    Returns
    -------
    list of str
        ``name==version``, sorted. Each type is from a known distribution, so that
        neither a new process nor the network is asked.
    """
    names = {"mlflow", "numpy", "scikit-learn", "scipy", "skops"}
    names |= {TRUSTED_TYPES.get(name, "") for name in types} - {""}
    names |= {*others}
    if hasattr(example, "iloc"):
        names.add("pandas")
    return [pin(name) for name in sorted(names)]


def pin(name: str) -> str:
    """Return a requirement of a distribution at the version installed here."""
    if name == "xgboost":  # the same package without CUDA goes by another name
        with contextlib.suppress(PackageNotFoundError):
            return f"xgboost-cpu=={_version('xgboost-cpu')}"
    return f"{name}=={_version(name)}"


_version = cache(version)  # that of the code that is loaded, read once


def load_model(folder: Path, trust: Trust = ()) -> Any:  # noqa: ANN401
    """Return the fitted estimator of a model folder.

    Parameters
    ----------
    folder : Path
        Holds ``MLmodel`` and the files it names.
    trust : Trust, default=()
        Modules whose code may run; none of the folder's is run for any other.

    Returns
    -------
    object
        The fitted estimator.

    Raises
    ------
    NotFoundError
        There is no model in the folder.
    UsageError
        It is not a scikit-learn model in the skops format, holds a type that is
        neither in ``TRUSTED_TYPES`` nor of a module in ``trust``, or is damaged.
    """
    document = _read_document(folder)
    flavors = document.get("flavors") or {}
    for name in boosters.FLAVORS:
        if isinstance(booster := flavors.get(name), dict):
            path = _file_in(folder, str(booster.get("data")))
            if booster.get("model_class") in TRUSTED_TYPES:
                return boosters.load(path.read_bytes(), name)
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
    path = _file_in(folder, str(flavor.get("pickled_model")))
    return skops_format.load(path, trust)


def _file_in(folder: Path, name: str) -> Path:
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise UsageError(
            f"The model in {folder} names the file {name!r}, which is not in it.",
            fix=skops_format.LOG_AGAIN,
        )
    return path


def read_signature(folder: Path) -> Signature | None:
    """Return the signature of a model folder.

    Parameters
    ----------
    folder : Path
        Holds ``MLmodel``.

    Returns
    -------
    Signature or None
        None when the model was logged without one.

    Raises
    ------
    NotFoundError
        There is no model in the folder.
    UsageError
        Its ``MLmodel`` is damaged.
    """
    schemas = _read_document(folder).get("signature")
    return signature_of(schemas) if schemas else None


def read_example(folder: Path) -> dict[str, list[Any]] | None:
    """Return the rows that were stored with a model.

    Parameters
    ----------
    folder : Path
        Holds ``MLmodel`` and the files it names.

    Returns
    -------
    dict or None
        ``columns``, names or positions as text, and ``data``, a list of rows with
        null for what is missing; None when there are no rows or they are no table.

    Raises
    ------
    NotFoundError
        There is no model in the folder.
    UsageError
        Its ``MLmodel`` is damaged.
    """
    info = _read_document(folder).get("saved_input_example_info") or {}
    name = str(info.get("artifact_path"))
    path = folder / name
    if Path(name).name != name or not path.is_file():
        return None
    try:
        # MLflow writes a missing number as a bare NaN, which is not JSON.
        document = json.loads(path.read_bytes(), parse_constant=lambda _: None)
    except ValueError:
        return None
    rows = document.get("data") if isinstance(document, dict) else document
    is_table = info.get("type") in ("dataframe", "ndarray")
    if not is_table or not isinstance(rows, list) or not rows:
        return None
    if not isinstance(rows[0], list):
        rows = [[row] for row in rows]
    columns = document.get("columns") if isinstance(document, dict) else None
    return {"columns": columns or [str(i) for i in range(len(rows[0]))], "data": rows}


def _read_document(folder: Path) -> dict[str, Any]:
    path = folder / "MLmodel"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(
            f"No model in {folder}: the file MLmodel is missing.",
            fix="Give the folder that a model was logged or downloaded to.",
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}.", fix="Log the model again."
        ) from error
    return document if isinstance(document, dict) else {}
