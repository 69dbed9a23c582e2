"""Artifacts of runs: files in, files out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store import rest
from nbmlops.store.connection import Store, answering
from nbmlops.store.database import has_tables, select

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

_MOST_FOLDERS = 50  # each is a question


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
            root = local_root(location or location_of(store, run_id))
            if root is None or not root.is_dir():
                raise
            raise UsageError(
                f"The run has a file where {folder or path.name!r} needs a folder.",
                fix="Choose another path for the artifact.",
            ) from error


def location_of(store: Store, run_id: str) -> str:
    """Return where the artifacts of a run are kept."""
    if has_tables(store):
        by_id = "SELECT r.artifact_uri FROM runs r WHERE r.run_uuid = :id"
        found = select(store, by_id, id=run_id)
        if not found:
            raise NotFoundError(f"No run {run_id!r}.", fix="List them with %runs.")
        return str(found[0][0])
    return str(rest.get_run(store, run_id)["info"]["artifact_uri"])


def local_root(location: str) -> Path | None:
    """Return the folder of a location on a local disk, None for another location."""
    if re.match(r"[a-z-]{2,}:|.*://", location) and not location.startswith("file:"):
        return None
    return Path(url2pathname(location.removeprefix("file://").removeprefix("file:")))


def log_bytes(store: Store, run_id: str, content: bytes, path: str) -> None:
    """Write ``content`` as the artifact ``path`` of a run."""
    folder, _, name = path.rpartition("/")
    with answering(store), tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch, name)
        draft.write_bytes(content)
        store.client.log_artifact(run_id, str(draft), folder or None)


def list_sizes(store: Store, run_id: str, folder: str) -> Mapping[str, int]:
    """Return the files right in a folder of a run's artifacts, with their sizes."""
    return _sizes(store, run_id, location_of(store, run_id), folder)


def _sizes(store: Store, run_id: str, location: str, folder: str) -> Mapping[str, int]:
    root = local_root(location)
    with answering(store):
        if root is not None:
            there = (root / folder).iterdir() if (root / folder).is_dir() else ()
            files = [each for each in there if each.is_file()]
            return {f"{folder}/{each.name}": each.stat().st_size for each in files}
        if _is_proxied(store, location):
            answer = rest.get(store, "artifacts/list", run_id=run_id, path=folder)
            return {
                each["path"]: int(each.get("file_size", 0))
                for each in answer.get("files", ())
                if not each.get("is_dir")
            }
        found = store.client.list_artifacts(run_id, folder or None)
        return {file.path: file.file_size or 0 for file in found if not file.is_dir}


def list_files(store: Store, location: str, *, most: int) -> Mapping[str, int]:
    """Return the files below an artifact location, with their sizes.

    At most so many; links are left out, for they may lead anywhere.
    """
    root = local_root(location)
    with answering(store):
        found = _walk(root) if root is not None else _ask_for_files(store, location)
        return dict(islice(found, most))


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix(), path.stat().st_size


def _ask_for_files(store: Store, location: str) -> Iterator[tuple[str, int]]:
    repository = repository_at(store, location)
    folders = [""]
    for folder in islice(folders, _MOST_FOLDERS):  # it grows during the loop
        for each in repository.list_artifacts(folder or None):
            if each.is_dir:
                folders.append(each.path)
            else:
                yield each.path, each.file_size or 0


def read_file(
    store: Store,
    run_id: str,
    path: str,
    *,
    location: str | None = None,
    most_bytes: int | None = None,
) -> bytes:
    """Return the content of an artifact of a run.

    With ``most_bytes``, what is larger is refused, and so is a link that leads out of
    the artifacts.
    """
    location = location or location_of(store, run_id)
    root, folder = local_root(location), path.rpartition("/")[0]
    with answering(store):
        if root is not None and (root / path).is_file():
            if most_bytes is not None:
                _check(root / path, root, most_bytes)
            return (root / path).read_bytes()
        sizes = _sizes(store, run_id, location, folder) if root is None else {}
        if path not in sizes:
            raise NotFoundError(
                f"Run {run_id} has no artifact {path!r}.",
                fix="See its artifacts in the MLflow UI.",
            )
        if most_bytes is not None and sizes[path] > most_bytes:
            raise _too_large(path, sizes[path])
        if _is_proxied(store, location):
            kept = urlsplit(location).path.strip("/")
            return rest.read_artifact(store, f"{kept}/{path}")
        with tempfile.TemporaryDirectory() as scratch:
            found = store.client.download_artifacts(run_id, path, scratch)
            return Path(found).read_bytes()


def _check(file: Path, root: Path, most_bytes: int) -> None:
    if not file.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"The artifact {file.name!r} is a link to somewhere else.",
            fix="Log the file itself.",
        )
    if (size_bytes := file.stat().st_size) > most_bytes:
        raise _too_large(file.name, size_bytes)


def _too_large(path: str, size_bytes: int) -> UsageError:
    return UsageError(
        f"{path!r} has {size_bytes:,} bytes, too many to show.",
        fix="Download it from the MLflow UI.",
    )


def _is_proxied(store: Store, location: str) -> bool:
    """Return whether the tracking server itself hands the artifacts out."""
    return location.startswith("mlflow-artifacts:/") and rest.is_plain(store)
