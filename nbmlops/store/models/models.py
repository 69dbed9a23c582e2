"""Fitted estimators as MLflow's logged models: put there, and fetched."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

import yaml

from nbmlops._hashing import folder_digest
from nbmlops.entities import ModelVersion, Signature
from nbmlops.errors import DeployError, NotFoundError, UsageError
from nbmlops.scoring.inference import Rows
from nbmlops.store import artifacts, rest
from nbmlops.store.backend import backend
from nbmlops.store.connection import Store, answering
from nbmlops.store.database import has_tables, select
from nbmlops.store.models import boosters
from nbmlops.store.models.files import read_signature, save_model
from nbmlops.store.registry.versions import files_digest
from nbmlops.store.runs.fields import FILES_DIGEST, KEY


def log_model(
    store: Store, run_id: str, model: object, example: Rows, *, name: str = "model"
) -> str:
    """Record a fitted estimator as the model of a run; any thread may call it.

    The same files as ``mlflow.sklearn.log_model`` writes, without its second process
    that imports and loads the model to find out what it needs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        with answering(store):
            save_model(model, Path(scratch), example)
        return send_model(store, run_id, Path(scratch), name=name, key=uuid4().hex)


def send_model(
    store: Store,
    run_id: str,
    folder: Path,
    *,
    name: str,
    key: str,
    is_repeated: bool = False,
) -> str:
    """Record the files of a model as the model of a run; again does nothing new."""
    with answering(store):
        from mlflow import entities

        tracking_store = backend(store)
        run = tracking_store.get_run(run_id)
        params = run.data.params.items()
        experiment_id, same = run.info.experiment_id, f"tags.`{KEY}` = '{key}'"
        made = is_repeated and tracking_store.search_logged_models(
            [experiment_id], same
        )
        logged = next(iter(made or ()), None) or tracking_store.create_logged_model(
            experiment_id=experiment_id,
            name=name,
            source_run_id=run_id,
            tags=[entities.LoggedModelTag(KEY, key)],
            params=[entities.LoggedModelParameter(*pair) for pair in params],
        )
        model_id, location = logged.model_id, logged.artifact_location
        status = entities.LoggedModelStatus.FAILED
        try:
            ids = {
                "artifact_path": location,
                "model_id": model_id,
                "model_uuid": model_id,
                "run_id": run_id,
            }
            described = folder / "MLmodel"
            text = re.split(r"(?m)^artifact_path:", described.read_text("utf-8"))[0]
            described.write_text(text + yaml.safe_dump(ids), encoding="utf-8")
            artifacts.repository_at(store, location).log_artifacts(str(folder))
            digest = entities.LoggedModelTag(FILES_DIGEST, folder_digest(folder))
            tracking_store.set_logged_model_tags(model_id, [digest])
            output = entities.LoggedModelOutput(model_id, step=0)
            tracking_store.log_outputs(run_id, [output])
            metrics = [
                entities.Metric(m.key, m.value, m.timestamp, m.step, model_id=model_id)
                for m in run.data.to_proto().metrics
            ]
            if metrics:
                tracking_store.log_batch(run_id, metrics, [], [])
            status = entities.LoggedModelStatus.READY
        finally:
            tracking_store.finalize_logged_model(model_id, status)
    return str(model_id)


def is_fitted_estimator(value: object) -> bool:
    """Return whether ``value`` is an estimator or a booster that has been fitted."""
    if boosters.flavor_of(value) is not None:
        return boosters.is_trained(value)
    catboost = sys.modules.get("catboost")
    if catboost is not None and issubclass(type(value), catboost.CatBoost):
        return bool(value.is_fitted())  # type: ignore[attr-defined]
    base = sys.modules.get("sklearn.base")
    # Not isinstance, which asks the object for its class: it may raise.
    if base is None or not issubclass(type(value), base.BaseEstimator):
        return False
    from sklearn.utils import get_tags
    from sklearn.utils.validation import check_is_fitted

    try:
        if not get_tags(value).requires_fit:
            return any(
                name.endswith("_") and not name.startswith("_") for name in vars(value)
            )
        check_is_fitted(value)
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def download_model(store: Store, version: ModelVersion, folder: Path) -> str:
    """Copy the files of a model version into a folder, and return their hash.

    Files that have changed since they were logged are refused.
    """
    with answering(store):
        location = location_of(store, version)
        root = artifacts.local_root(location)
        if root is None:
            download_files(store, location, "", folder)
        elif root.is_dir():  # without MLflow, whose import takes a second
            _refuse_links(root, version)
            shutil.copytree(root, folder, dirs_exist_ok=True)
    if not (folder / "MLmodel").is_file():
        raise NotFoundError(
            f"The files of {version.model}/{version.version} are gone from {location}.",
            fix=f"Register another version with: %register {version.model}.",
        )
    digest = folder_digest(folder)
    if digest != (files_digest(store, version) or digest):
        raise DeployError(
            f"The files of {version.model}/{version.version} are not those that were "
            "logged: somebody has changed them.",
            fix="See who writes to the artifacts, then log the model and register it "
            "again.",
        )
    return digest


def _refuse_links(root: Path, version: ModelVersion) -> None:
    """Refuse what is neither a file nor a folder: it may lead anywhere, or not end."""
    for path in root.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UsageError(
                f"The files of {version.model}/{version.version} hold "
                f"{path.relative_to(root).as_posix()!r}, which is a link or a device.",
                fix=f"See who writes to {root}, and put the file itself there.",
            )


def location_of(store: Store, version: ModelVersion) -> str:
    """Return where the files of a version are kept."""
    if version.model_id is None:
        number = str(version.version)
        return store.client.get_model_version_download_uri(version.model, number)
    if not has_tables(store):
        path = f"logged-models/{version.model_id}"
        return str(rest.get(store, path)["model"]["info"]["artifact_uri"])
    statement = "SELECT artifact_location FROM logged_models WHERE model_id = :id"
    found = select(store, statement, id=version.model_id)
    if not found:
        raise NotFoundError(
            f"The model of {version.model}/{version.version} is gone.",
            fix=f"Register another version with: %register {version.model}.",
        )
    return str(found[0][0])


def signature_at(store: Store, location: str) -> Signature | None:
    """Return the signature of the model at an artifact location of the store."""
    with tempfile.TemporaryDirectory() as scratch:
        download_files(store, location, "MLmodel", Path(scratch))
        return read_signature(Path(scratch))


def download_files(store: Store, location: str, path: str, folder: Path) -> None:
    """Copy what is at an artifact location of the store into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    repository = artifacts.repository_at(store, location)
    repository.download_artifacts(path, dst_path=str(folder))
