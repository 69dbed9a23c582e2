"""The table of routes: the router and the description are both made from it."""

from __future__ import annotations

from typing import Any

from nbmlops.entities import (
    Endpoint,
    LiveRun,
    ModelVersion,
    Page,
    RegisteredModel,
    Run,
)
from nbmlops.server import events, openapi
from nbmlops.server._request import Request
from nbmlops.server._route import Route
from nbmlops.server.resources import endpoints, models, pipelines, project, runs

_PAGE = ("limit", "page_token")


def _describe(request: Request) -> dict[str, object]:
    return openapi.describe(ROUTES)


ROUTES = (
    Route(
        method="GET",
        path="project",
        summary="The project around `path`.",
        work=project.get,
        answers=project.Project,
    ),
    Route(
        method="GET",
        path="models",
        summary="Registered models by name; `search` is a part of the name.",
        work=models.list_models,
        query=("search", *_PAGE),
        answers=Page[RegisteredModel],
    ),
    Route(
        method="GET",
        path="models/{name}",
        summary="One registered model.",
        work=models.get_model,
        answers=RegisteredModel,
    ),
    Route(
        method="GET",
        path="models/{name}/versions",
        summary="A model's versions, newest first.",
        work=models.list_versions,
        query=_PAGE,
        answers=Page[ModelVersion],
    ),
    Route(
        method="POST",
        path="models/{name}/versions",
        summary="Register the model of a run.",
        work=models.create_version,
        action="write",
        body={"run_id": str, "alias": str | None, "experiment": str | None},
        answers=ModelVersion,
        status=201,
    ),
    Route(
        method="PUT",
        path="models/{name}/aliases/{alias}",
        summary="Move an alias to a version.",
        work=models.set_alias,
        action="write",
        body={"version": int},
        answers=ModelVersion,
    ),
    Route(
        method="GET",
        path="runs",
        summary="Runs, newest first; of a notebook, with a model, when asked.",
        work=runs.list_runs,
        query=(
            "experiment",
            "filter",
            "order_by",
            *_PAGE,
            "columns",
            "all",
            "notebook",
            "kernel",
            "with_model",
        ),
        answers=Page[Run],
    ),
    Route(
        method="GET",
        path="runs/{id}",
        summary="One run.",
        work=runs.get_run,
        answers=Run,
    ),
    Route(
        method="GET",
        path="runs/{id}/notebook",
        summary="The executed notebook of a step, as .ipynb.",
        work=runs.read_notebook,
    ),
    Route(
        method="GET",
        path="endpoints",
        summary="The project's endpoints.",
        work=endpoints.list_endpoints,
        answers=Page[Endpoint],
    ),
    Route(
        method="PUT",
        path="endpoints/{name}",
        summary="Deploy a version: 201 when made, 200 when it was there.",
        work=endpoints.put_endpoint,
        action="execute",
        body={"model": str, "alias": str | None, "version": int | None},
        answers=endpoints.EndpointDetail,
        status=201,
    ),
    Route(
        method="GET",
        path="endpoints/{name}",
        summary="One endpoint, and rows to try it with.",
        work=endpoints.get_endpoint,
        answers=endpoints.EndpointDetail,
    ),
    Route(
        method="DELETE",
        path="endpoints/{name}",
        summary="Stop an endpoint and remove its files.",
        work=endpoints.delete_endpoint,
        action="write",
        status=204,
    ),
    Route(
        method="POST",
        path="endpoints/{name}/predict",
        summary="Predict rows in MLflow's scoring protocol.",
        work=endpoints.predict,
        action="execute",
    ),
    Route(
        method="GET",
        path="pipelines",
        summary="The pipeline in the file `path`: its steps, plan and newest run.",
        work=pipelines.get_pipeline,
        answers=pipelines.PipelineView,
    ),
    Route(
        method="POST",
        path="pipelines/runs",
        summary="Start a run of a pipeline.",
        work=pipelines.start_pipeline,
        action="execute",
        body={
            "path": str,
            "params": dict[str, Any] | None,
            "force": list[str] | None,
            "from_step": str | None,
            "jobs": int | None,
        },
        answers=LiveRun,
        status=201,
    ),
    Route(
        method="GET",
        path="pipelines/runs/{id}",
        summary="A run of a pipeline or of a step, as far as it has come.",
        work=pipelines.get_run,
        answers=LiveRun,
    ),
    Route(
        method="DELETE",
        path="pipelines/runs/{id}",
        summary="Let a run end with the steps that run; said again, stop them.",
        work=pipelines.stop_run,
        action="execute",
        answers=LiveRun,
    ),
    Route(
        method="GET",
        path="pipelines/runs/{id}/notebook",
        summary="The executed notebook of a step, which grows, as .ipynb.",
        work=pipelines.read_notebook_of_step,
        query=("step",),
    ),
    Route(
        method="GET",
        path="steps",
        summary="The typed parameters of the notebook `path`, and its newest run.",
        work=pipelines.get_form,
        answers=pipelines.StepForm,
    ),
    Route(
        method="POST",
        path="steps/runs",
        summary="Start a notebook as a tracked step.",
        work=pipelines.start_step,
        action="execute",
        body={
            "path": str,
            "params": dict[str, Any] | None,
            "texts": dict[str, str] | None,
            "experiment": str | None,
        },
        answers=LiveRun,
        status=201,
    ),
    Route(
        method="GET",
        path="events",
        summary="What changes, as server-sent events.",
        work=events.locate,
    ),
    Route(
        method="GET",
        path="openapi.json",
        summary="This description.",
        work=_describe,
    ),
)
