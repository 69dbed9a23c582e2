"""``runs``: what was recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from nbmlops.entities import Candidates, Comparison, Page, Run, parse_columns
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.lifecycle.candidates import NO_CANDIDATES, find_candidates
from nbmlops.lifecycle.compare import compare
from nbmlops.server._request import Request
from nbmlops.server._route import PAGE, Response, route
from nbmlops.store import artifacts
from nbmlops.store.runs import listing, queries
from nbmlops.store.runs.fields import SOURCE, RunQuery
from nbmlops.store.runs.search_language import quoted

_NOTEBOOK = "nbmlops/notebook.ipynb"
_REPLAY = "nbmlops/replay.ipynb"
_IMAGES = {
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
_MOST_BYTES = 10_000_000
_STYLES = "style-src 'unsafe-inline'"  # matplotlib's SVGs have their styles in them


@route(
    "GET",
    "runs",
    query=(
        "experiment",
        "filter",
        "order_by",
        *PAGE,
        "columns",
        "all",
        "notebook",
        "with_model",
    ),
)
def list_runs(request: Request) -> Page[Run]:
    """List runs, newest first; of a notebook, with a model, when asked."""
    columns = parse_columns(request.query.get("columns") or None)
    query, limit, with_model = request.query, request.limit, request.flag("with_model")
    source = request.source_of(query["notebook"]) if query.get("notebook") else None
    if request.found_store is None:
        return Page(items=())
    conditions = [query.get("filter", "")]
    if source:
        conditions.append(f"tags.{SOURCE} = {quoted(source)}")
    store, experiment = request.found_store, query.get("experiment") or None
    condition = " AND ".join(filter(None, conditions))
    page = queries.list_runs(
        store,
        experiment=experiment,
        filter=condition,
        order_by=query.get("order_by") or None,
        limit=limit,
        page_token=request.page_token,
    )
    runs = [run for run in page if run.model_id or not with_model]
    if not request.flag("all"):
        ids = tuple(queries.experiment_ids(store, experiment))
        found = RunQuery(experiment_ids=ids, filter=condition)
        runs = listing.newest_attempts(store, runs, found)
    return replace(
        page, items=tuple(run.only(columns) if columns else run for run in runs)
    )


@route("GET", "runs/compare", query=("a", "b"))
def compare_runs(request: Request) -> Comparison:
    """Return what differs between runs `a` and `b`."""
    runs = [request.query.get(name, "") for name in ("a", "b")]
    if not all(runs):
        raise UsageError("Two runs are compared.", fix="Give a and b, ids of runs.")
    return compare(*runs, store=request.store).comparison


@route(
    "GET", "runs/candidates", query=("notebook", "kernel", "model", "alias", "limit")
)
def list_candidates(request: Request) -> Candidates:
    """List the runs of a notebook that could be registered, the best first."""
    query = request.query
    if not query.get("notebook"):
        raise UsageError("No notebook is named.", fix="Send notebook, its path.")
    source = request.source_of(query["notebook"])
    if request.found_store is None:
        return NO_CANDIDATES
    return find_candidates(
        request.found_store,
        source=source,
        kernel_id=query.get("kernel") or None,
        model=query.get("model", ""),
        alias=query.get("alias", ""),
        limit=request.limit,
    )


@route("GET", "runs/{id}")
def get_run(request: Request) -> Run:
    """Return one run."""
    return queries.get_run(request.store, *request.names)


@route("GET", "runs/{id}/notebook")
def read_notebook(request: Request) -> Response:
    """Return the executed notebook of a step, or the cells of a run, as .ipynb."""
    return read_notebook_of(request, *request.names)


def read_notebook_of(request: Request, run_id: str) -> Response:
    """Return the executed notebook of a run, else the cells that made it."""
    run = queries.get_run(request.store, run_id)
    try:
        content = artifacts.read_file(request.store, run.run_id, _NOTEBOOK)
    except NotFoundError as error:
        try:
            content = artifacts.read_file(request.store, run.run_id, _REPLAY)
        except NotFoundError:
            raise error from None
    return Response(content=content, content_type="application/x-ipynb+json")


@route("GET", "runs/{id}/artifacts", query=("file",))
def read_image(request: Request) -> Response:
    """Return an image among the artifacts of a run, up to 10 MB."""
    run = queries.get_run(request.store, *request.names)
    path = PurePosixPath(request.query.get("file", ""))
    kind = _IMAGES.get(path.suffix.lower())
    if kind is None or path.is_absolute() or not {"..", ""}.isdisjoint(path.parts):
        raise UsageError(
            f"{str(path)[:200]!r} names no image of a run.",
            fix="Name a .png, .jpeg or .svg file by its path below the artifacts.",
        )
    content = artifacts.read_file(
        request.store, run.run_id, path.as_posix(), most_bytes=_MOST_BYTES
    )
    # An SVG may hold a script: opened by itself, it must not run as Jupyter's own.
    headers = {"Content-Security-Policy": "sandbox; default-src 'none'; " + _STYLES}
    return Response(content=content, content_type=kind, headers=headers)
