"""A run executed again in a clean kernel."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from nbmlops.entities import Run
from nbmlops.errors import NotebookError, UsageError
from nbmlops.execution.kernels import KernelEnvironment
from nbmlops.execution.run import run_notebook
from nbmlops.lifecycle.replay.spec import ReplaySpec
from nbmlops.store import Store
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children
from nbmlops.tracking.provenance.files import digest, kept_copy
from nbmlops.tracking.provenance.replay_notebook import REPLAYING


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """What a rerun gave."""

    run_id: str
    pairs: tuple[tuple[Run, Run | None], ...]
    notes: tuple[str, ...]


def rerun(
    store: Store,
    spec: ReplaySpec,
    *,
    name: str,
    tags: Mapping[str, str],
    files: Mapping[str, str] | None = None,
    environment: KernelEnvironment | None = None,
    timeout_s: float | None = None,
) -> Rerun:
    """Run a notebook in a clean kernel, on the files it was run on.

    A file that is another today is not touched: the kernel works in a copy of the
    project's folder, made of links, where the kept copy replaces it.
    """
    project = store.settings.project
    if not (project / spec.folder).is_dir():
        raise UsageError(
            f"The folder {spec.folder!r} that the run worked in is gone.",
            fix="Make it again, with the files that the run needs.",
        )
    if files is None:
        files = spec.digests("data") | spec.digests("code")
    other, notes = _changed(store, files)
    with (
        tempfile.TemporaryDirectory() as scratch,
        _with_copies(project, spec.folder, other) as folder,
    ):
        path = Path(scratch, "replay.ipynb")
        path.write_text(json.dumps(spec.document), encoding="utf-8")
        environment = environment or KernelEnvironment()
        environment = replace(
            environment,
            folder=folder,
            source=spec.run.source,
            context=tags,
            env={**environment.env, REPLAYING: spec.run.run_id},
        )
        try:
            step = run_notebook(
                path,
                name=name,
                experiment=f"{spec.run.experiment} replays",
                timeout_s=timeout_s,
                store=store,
                environment=environment,
            )
            run_id = step.run_id
        except NotebookError as error:
            if error.run_id is None:
                raise
            run_id = error.run_id
            notes.append(error.problem)
    return Rerun(run_id=run_id, pairs=_pairs(store, spec, run_id), notes=tuple(notes))


def _changed(
    store: Store, files: Mapping[str, str]
) -> tuple[dict[str, Path], list[str]]:
    """Return the copies that must stand in for files of today, and what cannot be."""
    settings = store.settings
    other: dict[str, Path] = {}
    notes = []
    for path, wanted in files.items():
        if digest(settings.project / path) == wanted:
            continue
        copy = kept_copy(settings.home, wanted)
        if not copy.is_file():
            notes.append(f"{path} is another than it was, and no copy of it was kept")
        elif PurePosixPath(path).is_absolute():
            notes.append(
                f"{path} is another than it was and is outside of the project, where "
                "no copy can stand in for it"
            )
        else:
            other[path] = copy
            notes.append(f"{path} is another than it was; the kept copy was read")
    return other, notes


@contextmanager
def _with_copies(
    project: Path, folder: str, files: Mapping[str, Path]
) -> Iterator[Path]:
    """Give a working folder in which some files are replaced by others."""
    if not files or PurePosixPath(folder).is_absolute():
        yield project / folder
        return
    with tempfile.TemporaryDirectory(prefix="nbmlops-") as scratch:
        root = Path(scratch).resolve() / project.name
        # The working folder must be a real one: a link to it would lead out of here.
        parts = [PurePosixPath(folder).parts, *(PurePosixPath(f).parts for f in files)]
        _mirror(project, root, [each for each in parts if each])
        for path, copy in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(copy, root / path)
        (root / folder).mkdir(parents=True, exist_ok=True)
        yield root / folder


def _mirror(source: Path, target: Path, real: Collection[tuple[str, ...]]) -> None:
    """Fill a folder with links, but for some paths, whose folders are real."""
    target.mkdir()
    firsts = {parts[0] for parts in real}
    for entry in source.iterdir():
        if entry.name not in firsts:
            (target / entry.name).symlink_to(entry)
        elif entry.is_dir():
            below = [parts[1:] for parts in real if parts[0] == entry.name]
            _mirror(entry, target / entry.name, [parts for parts in below if parts])


def _pairs(
    store: Store, spec: ReplaySpec, run_id: str
) -> tuple[tuple[Run, Run | None], ...]:
    again = list(reversed(list_children(store, run_id)))
    wanted = [spec.run]
    if spec.is_step:
        children = list_children(store, spec.run.run_id)
        wanted = list(reversed(children))
    pairs: list[tuple[Run, Run | None]] = []
    for run in wanted:
        named = [each for each in again if each.name == run.name]
        alike = [each for each in named if each.params == run.params]
        likely = alike or named
        found = likely[0 if spec.is_step else -1] if likely else None
        if found is not None and spec.is_step:
            again.remove(found)
        pairs.append((run, found))
    if spec.is_step:
        pairs.append((spec.run, queries.get_run(store, run_id)))
    return tuple(pairs)
