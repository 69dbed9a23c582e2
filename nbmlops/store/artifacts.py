"""Artifacts of runs: files in, files out."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store.connection import Store, answering

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository


def repository_at(store: Store, location: str) -> ArtifactRepository:
    """Return what reads and writes at one of MLflow's artifact locations."""
    from mlflow.store.artifact.artifact_repository_registry import (
        get_artifact_repository,
    )

    return get_artifact_repository(location, tracking_uri=store.uri)


def log_file(
    store: Store,
    run_id: str,
    path: Path,
    folder: str = "",
    *,
    location: str | None = None,
) -> None:
    """Copy a file or folder into the run's artifacts."""
    if not path.exists():
        raise NotFoundError(f"No file {str(path)!r}.", fix="Check the path.")
    with answering(store):
        try:
            if location and path.is_file():
                repository_at(store, location).log_artifact(str(path), folder or None)
            elif path.is_dir():
                store.client.log_artifacts(run_id, str(path), folder or None)
            else:
                store.client.log_artifact(run_id, str(path), folder or None)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            if not _has_root(store, run_id, location):
                raise
            raise UsageError(
                f"The run has a file where {folder or path.name!r} needs a folder.",
                fix="Choose another path for the artifact.",
            ) from error


def _has_root(store: Store, run_id: str, location: str | None) -> bool:
    """Return whether a run has its folder of artifacts on a local disk."""
    from mlflow.utils.file_utils import local_file_uri_to_path

    uri = location or str(store.client.get_run(run_id).info.artifact_uri)
    is_local = "://" not in uri or uri.startswith("file:")
    return is_local and Path(local_file_uri_to_path(uri)).is_dir()


def log_bytes(store: Store, run_id: str, content: bytes, path: str) -> None:
    """Write ``content`` as the artifact ``path`` of a run."""
    folder, _, name = path.rpartition("/")
    with answering(store), tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch, name)
        draft.write_bytes(content)
        store.client.log_artifact(run_id, str(draft), folder or None)


def list_sizes(store: Store, run_id: str, folder: str) -> Mapping[str, int]:
    """Return the files right in a folder of a run's artifacts, with their sizes."""
    with answering(store):
        found = store.client.list_artifacts(run_id, folder)
        return {file.path: file.file_size or 0 for file in found if not file.is_dir}


def read_file(store: Store, run_id: str, path: str) -> bytes:
    """Return the content of an artifact of a run."""
    missing = NotFoundError(
        f"Run {run_id} has no artifact {path!r}.",
        fix="See its artifacts in the MLflow UI.",
    )
    folder = path.rpartition("/")[0]
    with answering(store), tempfile.TemporaryDirectory() as scratch:
        there = {f.path for f in store.client.list_artifacts(run_id, folder or None)}
        if path not in there:
            raise missing
        return Path(store.client.download_artifacts(run_id, path, scratch)).read_bytes()
