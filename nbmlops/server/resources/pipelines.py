"""``pipelines`` and ``steps``: notebooks that run, planned, started and watched."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbmlops.entities import LiveRun, PlannedStep
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.execution.notebooks.notebook import find_notebook, read_notebook
from nbmlops.execution.parameters.fields import ParameterField, fields_of
from nbmlops.execution.parameters.parameters import (
    check_parameters,
    parameters,
    parse_text,
)
from nbmlops.execution.progress import reader
from nbmlops.execution.progress.writer import folder_of, notebook_file
from nbmlops.execution.recovery import read_growing
from nbmlops.lifecycle.pipelines import Pipeline
from nbmlops.pipeline.background import launch, stop
from nbmlops.pipeline.spec.file import PipelineFileError
from nbmlops.render.pipelines import Graph
from nbmlops.server._request import Request
from nbmlops.server._route import Response, route
from nbmlops.server.resources.runs import read_notebook_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStep:
    """A step as it is drawn."""

    name: str
    does: str
    notebook: str | None
    needs: tuple[str, ...]
    n_runs: int
    line: int
    column: int
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineView:
    """A pipeline file, what a run of it would do, and its newest run."""

    name: str
    experiment: str
    steps: tuple[PipelineStep, ...]
    plan: tuple[PlannedStep, ...]
    run: LiveRun | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepForm:
    """What a notebook can be given."""

    parameters: tuple[ParameterField, ...]
    has_cell: bool
    run: LiveRun | None


@route("GET", "pipelines")
def get_pipeline(request: Request) -> PipelineView:
    """Return the pipeline in the file `path`: its steps, plan and newest run."""
    loaded = _load(request, request.file)
    cells = Graph(loaded.spec).cells
    return PipelineView(
        name=loaded.spec.name,
        experiment=loaded.spec.experiment,
        steps=tuple(
            PipelineStep(
                name=step.name,
                does=step.does,
                notebook=step.notebook,
                needs=step.needs,
                n_runs=step.n_runs,
                line=step.line,
                column=cells[step.name][0],
                row=cells[step.name][1],
            )
            for step in loaded.spec.steps
        ),
        plan=loaded.plan().steps,
        run=reader.find_newest(request.settings.home, loaded.file, "pipeline"),
    )


@route(
    "POST",
    "pipelines/runs",
    action="execute",
    body={
        "path": str,
        "params": dict[str, Any] | None,
        "force": list[str] | None,
        "from_step": str | None,
        "jobs": int | None,
    },
    status=201,
)
def start_pipeline(request: Request) -> LiveRun:
    """Start a run of a pipeline."""
    body = request.body
    request = request.at(body["path"])
    loaded = _load(request, request.file)
    options: dict[str, Any] = {
        "params": body["params"] or {},
        "force": [_text(name) for name in body["force"] or ()],
        "from_step": body["from_step"],
    }
    loaded.plan(**options)  # refuses what cannot be done
    jobs = body["jobs"]
    options = {**options, "jobs": jobs}
    return launch(
        request.settings, "pipeline", request.file, options, pipeline=Pipeline
    )


@route("GET", "pipelines/runs/{id}")
def get_run(request: Request) -> LiveRun:
    """Return a run of a pipeline or of a step, as far as it has come."""
    return reader.get_live(request.settings.home, *request.names)


@route("DELETE", "pipelines/runs/{id}", action="execute")
def stop_run(request: Request) -> LiveRun:
    """Let a run end with the steps that run; said again, stop them."""
    return stop(request.settings, *request.names)


@route("GET", "pipelines/runs/{id}/notebook", query=("step",))
def read_notebook_of_step(request: Request) -> Response:
    """Return the executed notebook of a step, which grows, as .ipynb."""
    name = request.query.get("step", "")
    home = request.settings.home
    live = reader.get_live(home, *request.names)
    step = next((each for each in live.steps if each.step == name), None)
    if step is None:
        raise NotFoundError(
            f"The run has no step {name[:80]!r}.",
            fix=f"Its steps are: {', '.join(each.step for each in live.steps)}.",
        )
    path = notebook_file(folder_of(home, live.id), name)
    content = b""
    with suppress(OSError):
        content = path.read_bytes()
    if content:
        whole = read_growing(home, path) if step.state == "running" else None
        content = content if whole is None else json.dumps(whole).encode()
        return Response(content=content, content_type="application/x-ipynb+json")
    if step.run_id is None:
        raise NotFoundError(
            f"Step {name!r} has no executed notebook yet.",
            fix="Wait until its first cell has ended.",
        )
    return read_notebook_of(request, step.run_id)


@route("GET", "steps")
def get_form(request: Request) -> StepForm:
    """Return the typed parameters of the notebook `path`, and its newest run."""
    declared = parameters(read_notebook(find_notebook(request.file)))
    name = request.source_of(request.query["path"])
    return StepForm(
        parameters=fields_of(declared),
        has_cell=declared is not None,
        run=reader.find_newest(request.settings.home, name, "step"),
    )


@route(
    "POST",
    "steps/runs",
    action="execute",
    body={
        "path": str,
        "params": dict[str, Any] | None,
        "texts": dict[str, str] | None,
        "experiment": str | None,
    },
    status=201,
)
def start_step(request: Request) -> LiveRun:
    """Start a notebook as a tracked step."""
    body = request.body
    request = request.at(body["path"])
    path = find_notebook(request.file)
    declared = parameters(read_notebook(path))
    texts = {name: _text(text) for name, text in (body["texts"] or {}).items()}
    given = {
        **(body["params"] or {}),
        **{name: parse_text(declared, name, text) for name, text in texts.items()},
    }
    check_parameters(declared, given)
    options = {"params": given, "experiment": body["experiment"]}
    return launch(request.settings, "step", path, options)


def _load(request: Request, path: Path) -> Pipeline:
    try:
        return Pipeline.load(path, store=request.unopened_store)
    except PipelineFileError as error:
        raise PipelineFileError(path.name, error.problems) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{str(value)[:80]!r} is no text.", fix="Send texts there.")
    return value
