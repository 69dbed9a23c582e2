"""The files of model versions, beside the endpoints that serve them."""

from __future__ import annotations

import errno
import shutil
import uuid
from pathlib import Path

from nbmlops.entities import ModelVersion
from nbmlops.errors import StoreError, UsageError
from nbmlops.scoring.example import read_example
from nbmlops.scoring.signature import NOT_SERVED, read_input_spec, read_mlmodel
from nbmlops.store import Store
from nbmlops.store.embedded import disk_error, writing
from nbmlops.store.models.models import download_model

_LITTLE_BYTES = 1_000_000


def fetch(store: Store, version: ModelVersion, folder: Path) -> str:
    """Copy the files of a version below an endpoint's folder, and return their hash.

    Files that have changed since they were logged, or are no use, are refused.
    """
    versions = folder / "versions"
    copied = versions / f"{version.version}.{uuid.uuid4().hex[:8]}"
    with writing(folder):
        copied.mkdir(parents=True, mode=0o700)
    try:
        digest = _download(store, version, copied / "model")
        _check(version, copied / "model")
        with writing(versions):
            wanted = versions / str(version.version)
            if wanted.exists():  # what serves has loaded it
                wanted.rename(copied / "old")
            copied.rename(wanted)
            shutil.rmtree(wanted / "old", ignore_errors=True)
    except BaseException:
        shutil.rmtree(copied, ignore_errors=True)
        raise
    return digest


def _download(store: Store, version: ModelVersion, folder: Path) -> str:
    try:
        return download_model(store, version, folder)
    except StoreError as error:
        # MLflow tells a full disk as a download that failed, without the reason.
        if shutil.disk_usage(folder.parent).free < _LITTLE_BYTES:
            full = OSError(errno.ENOSPC, "No space left on device")
            raise disk_error(full, folder) from error
        raise


def _check(version: ModelVersion, folder: Path) -> None:
    mlmodel = read_mlmodel(folder)
    example = read_example(folder)
    if example is not None or NOT_SERVED in (mlmodel.get("metadata") or {}):
        read_input_spec(mlmodel)  # refuses what cannot be served
    if example is None:
        raise UsageError(
            f"{version.model}/{version.version} has no input example to try an "
            "endpoint with.",
            fix="Log the model with rows it takes, run.log_model(model, X), and "
            "register it again.",
        )
