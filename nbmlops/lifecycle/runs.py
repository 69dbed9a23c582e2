"""The runs of an experiment as a table."""

from __future__ import annotations

from nbmlops.render import RunsTable
from nbmlops.store import Store, connect, fluent
from nbmlops.store.search import backticked, list_runs
from nbmlops.store.selection import is_lower_better


def runs(
    experiment: str | None = None,
    *,
    filter: str = "",
    by: str | None = None,
    asc: bool | None = None,
    limit: int = 20,
    store: Store | None = None,
) -> RunsTable:
    """Return the runs of an experiment, newest first or best first.

    Parameters
    ----------
    experiment : str, optional
        By default the one chosen with ``mlflow.set_experiment``, else the project's.
    filter : str, default=""
        In MLflow's search language, such as ``metrics.auc > 0.8``.
    by : str, optional
        The metric to order by, its best value first: the smallest of a loss or an
        error, the largest of any other.
    asc : bool, optional
        True puts the smallest value first whatever the metric.
    limit : int, default=20
        At most so many, 1 to 1000.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    RunsTable
        It shows itself; ``.frame()`` is a DataFrame, ``.page`` the runs.

    Raises
    ------
    NotFoundError
        There is no such experiment.
    UsageError
        MLflow cannot read the filter.
    """
    store = store or connect()
    experiment = experiment or fluent.current_experiment(store)
    order = []
    if by is not None:
        is_ascending = is_lower_better(by) if not asc else True
        order = [f"metrics.{backticked(by)} {'ASC' if is_ascending else 'DESC'}"]
    page = list_runs(
        store, experiment=experiment, filter=filter, order_by=order, limit=limit
    )
    return RunsTable(page, experiment=experiment)
