"""What a run can be run again from: its cells, params, files and environment."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from nbmlops.entities import Run
from nbmlops.errors import NotFoundError
from nbmlops.execution.notebooks.notebook import INJECTED, PARAMETERS
from nbmlops.store import Store, artifacts
from nbmlops.tracking.provenance.dataflow.syntax import parse
from nbmlops.tracking.provenance.files import OpenedFile
from nbmlops.tracking.provenance.magics import to_python
from nbmlops.tracking.provenance.replay_notebook import REPLAY

EXECUTED = "nbmlops/notebook.ipynb"
ENVIRONMENT = "nbmlops/environment.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySpec:
    """What a run can be run again from."""

    run: Run
    document: Mapping[str, Any]
    is_step: bool
    folder: str
    files: tuple[OpenedFile, ...]
    pins: tuple[str, ...]
    python: str

    @property
    def params(self) -> dict[str, str]:
        """The parameters' values, as they are written."""
        found = {}
        for cell in self.document["cells"]:
            if PARAMETERS in _tags(cell):
                tree = parse(to_python("".join(cell["source"])))
                for node in tree.body if tree else ():
                    match node:
                        case (
                            ast.Assign(targets=[ast.Name(id=name)], value=value)
                            | ast.AnnAssign(
                                target=ast.Name(id=name), value=ast.expr() as value
                            )
                        ):
                            found[name] = ast.unparse(value)
        return found

    @property
    def code(self) -> tuple[str, ...]:
        """What the cells do, but for the parameters, comments and the runs' names."""
        cells = [cell for cell in self.document["cells"] if cell["cell_type"] == "code"]
        return tuple(
            _plain("".join(cell["source"]))
            for cell in cells
            if PARAMETERS not in _tags(cell)
        )

    def digests(self, role: str) -> dict[str, str]:
        """Return the sha256 of each file of a role, by its path."""
        return {f.path: f.sha256 for f in self.files if f.role == role and f.sha256}

    def with_params(self, values: Mapping[str, str]) -> ReplaySpec:
        """Return the same with other values, written as Python, of some parameters."""
        document = deepcopy(dict(self.document))
        for cell in document["cells"]:
            if PARAMETERS in _tags(cell):
                lines = [f"{name} = {value}" for name, value in values.items()]
                cell["source"] = "\n".join(["".join(cell["source"]), *lines])
        return replace(self, document=document)


def read_replay_spec(store: Store, run: Run) -> ReplaySpec:
    """Return what a run can be run again from."""
    is_step = run.tags.get("nbmlops.kind") in ("step", "replay")
    try:
        content = artifacts.read_file(
            store, run.run_id, EXECUTED if is_step else REPLAY
        )
    except NotFoundError as error:
        raise NotFoundError(
            f"Run {run.name!r} ({run.run_id[:8]}) kept no cells to be replayed.",
            fix="Replay a run that nbmlops has recorded to its end.",
        ) from error
    document = json.loads(content)
    about = document["metadata"].get("nbmlops", {})
    if is_step:
        _make_runnable(document)
    folder = PurePosixPath(run.source or "").parent.as_posix() if is_step else "."
    language = document["metadata"].get("language_info", {})
    return ReplaySpec(
        run=run,
        document=document,
        is_step=is_step,
        folder=about.get("folder", folder),
        files=tuple(OpenedFile(**file) for file in about.get("files", ())),
        pins=_read_pins(store, run),
        python=about.get("python", language.get("version", "")),
    )


def _read_pins(store: Store, run: Run) -> tuple[str, ...]:
    try:
        content = artifacts.read_file(store, run.run_id, ENVIRONMENT)
    except NotFoundError:
        return ()
    return tuple(content.decode().split())


def _make_runnable(document: dict[str, Any]) -> None:
    """Make an executed notebook one to run: what was injected becomes its own code."""
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
            tags = [tag for tag in _tags(cell) if tag != INJECTED]
            cell["metadata"] = {"tags": tags} if tags else {}
    document["metadata"].pop("papermill", None)
    document["metadata"].pop("widgets", None)


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def _plain(source: str) -> str:
    text = to_python(source)
    tree = parse(text)
    return text.strip() if tree is None else ast.unparse(tree)
