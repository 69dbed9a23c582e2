"""The runs of an experiment as a table."""

from __future__ import annotations

from collections.abc import Sequence

from nbmlops.entities import AskedColumns, RunColumn, mode_of, parse_columns
from nbmlops.errors import UsageError
from nbmlops.render.runs.table import RunsTable
from nbmlops.store import Store, connect, fluent
from nbmlops.store.connection import answering
from nbmlops.store.runs.fields import RunQuery
from nbmlops.store.runs.listing import RunListing
from nbmlops.store.runs.missing import no_metric, no_runs
from nbmlops.store.runs.queries import experiment_ids
from nbmlops.store.runs.search_language import backticked
from nbmlops.tracking.sync.sender import flush_pending

_LARGEST_PAGE = 1000
_LARGEST_FRAME = 100_000


def runs(
    experiment: str | None = None,
    *,
    filter: str = "",
    by: str | None = None,
    asc: bool | None = None,
    limit: int = 20,
    columns: str | Sequence[str] | None = None,
    all: bool = False,
    all_params: bool = False,
    store: Store | None = None,
) -> RunsTable:
    """Return the runs of an experiment, newest first or best first.

    Older attempts of a cell are left out, and, when neither filtered nor ordered,
    child runs.

    Parameters
    ----------
    experiment : str, optional
        By default the one this process tracked into last, else the one set with
        ``mlflow.set_experiment``, else the project's.
    filter : str, default=""
        In MLflow's search language, such as ``metrics.auc > 0.8``.
    by : str, optional
        The metric to order by, its best value first: the smallest of a loss or an
        error, the largest of a score. Where the name does not tell which it is, the
        largest is first. NaN, infinities and runs without it are last.
    asc : bool, optional
        True puts the smallest value first, False the largest, whatever the metric.
    limit : int, default=20
        At most so many, 1 to 100,000; more than 1000 are for ``.frame()``.
    columns : str or sequence of str, optional
        Metrics, params, tags and attributes to read; see `parse_columns`. By default
        all metrics and params.
    all : bool, default=False
        Whether older attempts and child runs get rows of their own.
    all_params : bool, default=False
        Whether to show all params that autolog recorded; by default those that are not
        the estimator's defaults and that differ, under short names.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    RunsTable
        It shows itself; ``.frame()`` is a DataFrame, ``.page`` the runs.

    Raises
    ------
    NotFoundError
        There is no such experiment, or no run of it has the metric to order by.
    UsageError
        MLflow cannot read the filter, or the limit or a column cannot be.
    """
    if not 1 <= limit <= _LARGEST_FRAME:
        raise UsageError(
            f"The limit is {limit}.", fix=f"Give a number from 1 to {_LARGEST_FRAME}."
        )
    flush_pending()
    asked = parse_columns(columns)
    keep = () if by is None else (RunColumn(kind="metrics", name=by),)
    if asked is not None:
        asked = AskedColumns(columns=tuple(dict.fromkeys((*keep, *asked.columns))))
    order = None
    if by is not None:
        is_ascending = mode_of(by) == "min" if asc is None else asc
        order = f"metrics.{backticked(by)} {'ASC' if is_ascending else 'DESC'}"
    store = store or connect()
    experiment = experiment or fluent.current_experiment(store)
    with answering(store):
        ids = experiment_ids(store, experiment)
    listing = RunListing(
        store,
        RunQuery(
            experiment_ids=tuple(ids),
            filter=filter,
            order_by=order,
            is_folded=not all,
        ),
        size=min(limit, _LARGEST_PAGE),
        columns=asked,
    )
    said = [f"Whether a small or a large {by!r} is better is not known: the largest is "
            "first, with --asc the smallest."]  # fmt: skip
    is_unsaid = by is not None and asc is None and mode_of(by) is None
    table = RunsTable(
        listing,
        limit=limit,
        keep=keep,
        notes=said if is_unsaid else (),
        all_params=all_params,
    )
    if not table.page.items:
        table.empty = "No run fits." if filter else no_runs(store, experiment)
    elif by is not None and by not in table.page.items[0].metrics:
        seen = listing.names(table.page.items[0])
        raise no_metric(store, by, experiment, seen)
    return table
