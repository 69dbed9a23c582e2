"""Runs are read and found here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from nbmlops.entities import Autologged, Order, Page, Run
from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.store.connection import Store, answering
from nbmlops.store.fluent import current_experiment
from nbmlops.store.runs.runs import KERNEL_ID, PARENT, SOURCE

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.store.entities import PagedList

_HIDDEN = ("mlflow.log-model.", "mlflow.user", "mlflow.runName", SOURCE, PARENT)
REPLAY_OF = "nbmlops.replay_of"
"""Tag of the runs of a replay: the run that was replayed."""
LARGEST = 1.7976931348623157e308  # what SQL stores keep for an infinity


def get_run(store: Store, run_id: str, *, experiment: str | None = None) -> Run:
    """Return one run."""
    missing = f"No run {run_id!r}."
    if not re.fullmatch(r"[0-9a-fA-F]{32}", run_id):
        raise NotFoundError(missing, fix="List them with %runs or `nbmlops runs`.")
    with answering(store, missing=missing, fix="List them with %runs."):
        run = store.client.get_run(run_id)
        if experiment is None:
            return to_run(store, run, experiment_names(store, [run]))
        return to_run(store, run, {run.info.experiment_id: experiment})


def list_runs(
    store: Store,
    *,
    experiment: str | None = None,
    filter: str = "",
    order_by: Sequence[str] = (),
    limit: int = 25,
    page_token: str | None = None,
) -> Page[Run]:
    """Return a page of runs, newest first unless ordered otherwise."""
    with answering(store):
        found = search_page(
            store,
            experiment_ids(store, experiment),
            filter=filter,
            order_by=order_by,
            limit=limit,
            page_token=page_token,
        )
        names = experiment_names(store, found)
        return Page(
            items=tuple(to_run(store, run, names) for run in found),
            next_page_token=token_of(found),
        )


def search_page(
    store: Store,
    ids: Sequence[str],
    *,
    filter: str = "",
    order_by: Sequence[str] = (),
    limit: int,
    page_token: str | None = None,
) -> PagedList[MlflowRun]:
    """Return a page as MLflow has it; the same as `list_runs` but by experiment ids."""
    return store.client.search_runs(
        list(ids),
        filter_string=filter,
        order_by=[*order_by, "attributes.start_time DESC"],
        max_results=limit,
        page_token=page_token,
    )


def iterate_runs(store: Store, **query: Any) -> Iterator[Run]:
    """Yield the runs of all pages of `list_runs`."""
    token = None
    while True:
        page = list_runs(store, page_token=token, **query)
        yield from page
        token = page.next_page_token
        if token is None:
            return


def newest_with_model(
    store: Store, *, source: str, kernel_id: str | None = None
) -> Run | None:
    """Return the newest run of a notebook or script that logged a model, or None.

    Replays are passed over. Runs of the kernel ``kernel_id`` count, whatever the
    notebook was called when they were made.
    """
    conditions = [f"tags.{SOURCE} = {quoted(source)}"]
    if kernel_id:
        conditions.append(f"tags.{KERNEL_ID} = {quoted(kernel_id)}")
    newest: list[Run] = []
    for condition in conditions:
        runs = iterate_runs(store, filter=condition)
        own = (run for run in runs if REPLAY_OF not in run.tags and run.model_id)
        newest += islice(own, 1)
    return max(newest, key=lambda run: run.started_at, default=None)


def list_running(store: Store) -> tuple[Run, ...]:
    """Return the runs of all experiments that have not ended, newest first."""
    return tuple(iterate_runs(store, filter="attributes.status = 'RUNNING'", limit=200))


def quoted(text: str) -> str:
    """Return ``text`` as a literal of MLflow's search language."""
    for mark in "'\"":
        if mark not in text:
            return f"{mark}{text}{mark}"
    raise UsageError(
        f"{text!r} holds both kinds of quotes, which MLflow cannot search for.",
        fix="Rename it without one of them.",
    )


def backticked(name: str) -> str:
    """Return a metric name as MLflow's search language takes it."""
    if "`" in name:
        raise UsageError(f"No metric can be named {name!r}.", fix="Leave out the `.")
    return f"`{name}`"


def experiment_ids(store: Store, name: str | None) -> list[str]:
    """Return the id of an experiment, or of all; none before the project's is made."""
    client = store.client
    if name is None:
        ids: list[str] = []
        token = None
        while True:
            page = client.search_experiments(max_results=1000, page_token=token)
            ids += [experiment.experiment_id for experiment in page]
            token = page.token
            if not token:
                return ids
    found = client.get_experiment_by_name(name)
    if found is None:
        if name in (store.settings.experiment, current_experiment(store)):
            return []  # its runs are on their way
        names = [item.name for item in client.search_experiments(max_results=1000)]
        raise NotFoundError(
            f"No experiment {name!r}.{did_you_mean(name, names)}",
            fix=f"Name one of: {listed(names)}.",
        )
    return [found.experiment_id]


def listed(names: Iterable[str], most: int = 8) -> str:
    """Return the first names, quoted, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    quoted_names = [repr(name) for name in names]
    more = len(quoted_names) - most
    shown = ", ".join(quoted_names[:most])
    return f"{shown} and {more:,} more" if more > 0 else shown


def experiment_names(store: Store, runs: Sequence[MlflowRun]) -> Mapping[str, str]:
    """Return the names of the runs' experiments by id."""
    ids = {run.info.experiment_id for run in runs}
    return {each: store.client.get_experiment(each).name for each in ids}


def to_run(store: Store, run: MlflowRun, experiments: Mapping[str, str]) -> Run:
    """Return one of MLflow's runs as ours."""
    tags = run.data.tags
    outputs = run.outputs.model_outputs if run.outputs else []
    return Run(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        experiment=experiments[run.info.experiment_id],
        status=run.info.status,
        started_at=to_utc(run.info.start_time),
        ended_at=ended_at(run.info.status, run.info.end_time),
        params=dict(run.data.params),
        metrics={key: as_logged(value) for key, value in run.data.metrics.items()},
        tags=shown_tags(tags),
        source=tags.get(SOURCE),
        parent_run_id=tags.get(PARENT),
        model_id=outputs[-1].model_id if outputs else None,
        order_note=Order.of(tags).note,
        autologged=Autologged.of(run.data.params, tags),
        url=page_of(store, run.info.experiment_id, run.info.run_id),
    )


def ended_at(status: str, ended_ms: int | None) -> datetime | None:
    """Return when a run ended; one that was reopened keeps its former end in MLflow."""
    return None if not ended_ms or status == "RUNNING" else to_utc(ended_ms)


def page_of(store: Store, experiment_id: str, run_id: str) -> str | None:
    """Return the address of MLflow's page of a run; None where nothing serves it."""
    if not store.is_served:
        return None
    parts = urlsplit(store.uri)
    host = parts.netloc.rpartition("@")[2]  # who may ask is for the browser to say
    path = f"{parts.path.rstrip('/')}/"
    page = f"/experiments/{experiment_id}/runs/{run_id}"
    return urlunsplit((parts.scheme, host, path, "", page))


def token_of(page: PagedList[Any]) -> str | None:
    """Return the token of MLflow's next page as text; None after the last one."""
    token = page.token  # database stores give bytes, servers a text
    return (token.decode() if isinstance(token, bytes) else token) or None


def to_utc(milliseconds: int) -> datetime:
    """Return MLflow's milliseconds since 1970 as a time.

    >>> to_utc(0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that are not MLflow's own notes."""
    return {key: text for key, text in tags.items() if not key.startswith(_HIDDEN)}


def as_logged(value: float) -> float:
    """Return a metric's value with the infinities that a SQL store cannot keep.

    >>> as_logged(-1.7976931348623157e308), as_logged(0.5)
    (-inf, 0.5)
    """
    return math.copysign(math.inf, value) if abs(value) >= LARGEST else value
