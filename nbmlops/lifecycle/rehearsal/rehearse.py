"""A model version on the requests that an endpoint has answered, before it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbmlops.deployment import records
from nbmlops.deployment.request_log import Moment, log_folder, read_log
from nbmlops.entities import ModelVersion, Rehearsal
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.render.rehearsal import RehearsalView
from nbmlops.store import Store, connect
from nbmlops.store.models.own_code import ANY
from nbmlops.store.registry.versions import resolve_version

if TYPE_CHECKING:
    import pandas as pd

    from nbmlops.lifecycle.rehearsal.changes import Changes

_INPUT = "in."
_KEYS = ["request_id", "row", "time", "version"]


def rehearse(
    target: str,
    *,
    endpoint: str,
    since: Moment = "7d",
    until: Moment = None,
    max_rows: int = 100_000,
    trust: bool = False,
    store: Store | None = None,
) -> RehearsalView:
    """Compare a model version with the answers that an endpoint has given.

    The logged requests are answered by the version in a process of its own; the
    endpoint notices nothing.

    Parameters
    ----------
    target : str
        ``MODEL/VERSION``, ``MODEL@ALIAS``, or ``MODEL`` for its newest version.
    endpoint : str
        The endpoint's name.
    since, until : str, datetime or timedelta, optional
        The time from which on, and before which, requests are taken: a duration before
        now, such as ``"1h"`` or ``"7d"``, or an ISO 8601 time, in UTC unless it says
        otherwise.
    max_rows : int, default=100_000
        The newest rows are taken, if there are more; at least 1.
    trust : bool, default=False
        Whether the version runs whatever code it brings; else that of the modules in
        ``[tool.nbmlops.models] trust``.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    RehearsalView
        It shows itself; ``.rehearsal`` is what differs: flipped classes or shifted
        numbers, errors, latency, and the slices of rows that stand out. ``.frame()`` is
        a DataFrame of the rows, with both predictions.

    Raises
    ------
    NotFoundError
        No such model or version, or the endpoint has logged no request in that time.
    UsageError
        The version cannot be used for what the endpoint is sent; it says why.
    DeployError
        The version ended the process that it ran in.
    """
    if max_rows < 1:
        raise UsageError(
            f"A rehearsal takes 1 row or more, not {max_rows}.",
            fix="Give max_rows= a number above 0.",
        )
    store = store or connect()
    version, _ = resolve_version(store, target)
    answered, notes = _answered(store, endpoint, since, until, max_rows)
    inputs = [name for name in map(str, answered) if name.startswith(_INPUT)]
    rows = answered[inputs].rename(columns=lambda name: name.removeprefix(_INPUT))
    rows = rows.dropna(axis="columns", how="all")
    before = answered.prediction.tolist()

    from nbmlops.lifecycle.rehearsal.candidate import answer_rows_with
    from nbmlops.lifecycle.rehearsal.changes import compare_answers

    answers = answer_rows_with(
        store, version, rows, trust=ANY if trust else store.settings.models.trust
    )
    ids = list(zip(answered.request_id, answered.row.tolist(), strict=True))
    changes = compare_answers(rows, before, answers, ids=ids)
    result = _rehearsal(version, endpoint, answered, changes, notes)
    return RehearsalView(result, _frame(answered[_KEYS], rows, before, changes))


def _answered(
    store: Store, endpoint: str, since: Moment, until: Moment, max_rows: int
) -> tuple[pd.DataFrame, list[str]]:
    """Return the logged rows that have a prediction, and what was left out."""
    records.check_name(endpoint)
    frame = read_log(
        log_folder(store.settings, endpoint),
        since=since,
        until=until,
        is_answered=True,
        newest=max_rows + 1,
    )
    notes = []
    if len(frame) > max_rows:
        notes.append(f"There are more than {max_rows:,} rows: the newest are taken.")
        frame = frame.tail(max_rows)
    has_prediction = frame.prediction.notna()
    if n_without := int((~has_prediction).sum()):
        notes.append(
            f"{n_without:,} rows without one prediction, such as probabilities, "
            "are left out."
        )
    frame = frame[has_prediction]
    if frame.empty:
        raise NotFoundError(
            f"Endpoint {endpoint!r} has logged no answered request in that time.",
            fix="Give since= an earlier time, and see that the endpoint logs requests.",
        )
    return frame.reset_index(drop=True), notes


def _rehearsal(
    version: ModelVersion,
    endpoint: str,
    answered: pd.DataFrame,
    changes: Changes,
    notes: list[str],
) -> Rehearsal:
    return Rehearsal(
        model=version.model,
        version=version.version,
        endpoint=endpoint,
        first_at=answered.time.iloc[0].to_pydatetime(),
        last_at=answered.time.iloc[-1].to_pydatetime(),
        served=tuple(sorted(set(answered.version.tolist()))),
        kind=changes.kind,
        n_requests=int(answered.request_id.nunique()),
        n_rows=len(answered),
        n_different=int(changes.different.sum()),
        n_changed=int(changes.changed.sum()),
        n_failed=int(changes.failed.sum()),
        flips=changes.flips,
        shift=changes.shift,
        errors=changes.errors,
        us_per_row=changes.us_per_row,
        us_single=changes.us_single,
        slices=changes.slices,
        n_slices=changes.n_slices,
        notes=tuple(notes),
    )


def _frame(
    keys: pd.DataFrame, rows: pd.DataFrame, before: list[Any], changes: Changes
) -> pd.DataFrame:
    import pandas as pd

    inputs = rows.add_prefix(_INPUT)
    found = pd.DataFrame(
        {
            "before": pd.Series(before),
            "after": pd.Series(changes.after),
            "is_changed": changes.changed,
            "has_failed": changes.failed,
        }
    )
    return pd.concat([keys, inputs, found], axis="columns")
