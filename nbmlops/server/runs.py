"""``runs``: what was recorded."""

from __future__ import annotations

from dataclasses import replace

from nbmlops.entities import Page, Run
from nbmlops.server._request import Request
from nbmlops.server._route import Answer
from nbmlops.store import artifacts, search
from nbmlops.store.runs import SOURCE

_NOTEBOOK = "nbmlops/notebook.ipynb"


def list_runs(request: Request) -> Page[Run]:
    """Return a page of runs; of those of a notebook, or with a model, when asked."""
    query, limit, with_model = request.query, request.limit, request.flag("with_model")
    source = request.source_of(query["notebook"]) if query.get("notebook") else None
    if request.found_store is None:
        return Page(items=())
    if source and with_model and query.keys() <= {
        "path", "notebook", "with_model", "limit"
    } and limit == 1:  # fmt: skip
        newest = search.newest_with_model(request.found_store, source=source)
        return Page(items=(newest,) if newest else ())
    conditions = [query.get("filter", "")]
    if source:
        conditions.append(f"tags.{SOURCE} = {search.quoted(source)}")
    page = search.list_runs(
        request.found_store,
        experiment=query.get("experiment") or None,
        filter=" AND ".join(filter(None, conditions)),
        order_by=[query["order_by"]] if query.get("order_by") else (),
        limit=limit,
        page_token=request.page_token,
    )
    if with_model:
        return replace(page, items=tuple(run for run in page if run.model_id))
    return page


def get_run(request: Request) -> Run:
    """Return one run."""
    return search.get_run(request.store, *request.names)


def read_notebook(request: Request) -> Answer:
    """Return the executed notebook of a step."""
    run = search.get_run(request.store, *request.names)
    content = artifacts.read_file(request.store, run.run_id, _NOTEBOOK)
    return Answer(content=content, content_type="application/x-ipynb+json")
