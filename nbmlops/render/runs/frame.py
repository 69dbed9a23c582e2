"""Runs as a frame, put together block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nbmlops.entities import AskedColumns, Run
from nbmlops.render.runs.columns import RUN, value_of

if TYPE_CHECKING:
    import pandas as pd

_USUAL = ("run_id", "name", "status", "started_at", "ended_at", "source")


def frame(
    blocks: Iterable[Sequence[Run]],
    columns: AskedColumns | None,
    *,
    all_params: bool = False,
) -> pd.DataFrame:
    """Return one row a run."""
    import pandas as pd

    rows = _usual if columns is None else _asked(columns)
    quiet: set[str] = set()  # params seen as defaults, and as anything else
    others: set[str] = set()

    def read(block: Sequence[Run]) -> pd.DataFrame:
        for run in block if columns is None and not all_params else ():
            quiet.update(run.autologged.default)
            others.update(run.params.keys() - run.autologged.default)
        return pd.DataFrame([rows(run) for run in block])

    frames = [read(block) for block in blocks if block]
    if not frames:
        return pd.DataFrame(columns=list(_USUAL if columns is None else _USUAL[:2]))
    whole = pd.concat(frames, ignore_index=True)
    del frames
    whole = whole.drop(columns=[f"params.{name}" for name in quiet - others])
    for name in whole.columns:
        if name.startswith("params."):
            whole[name] = _numbers(whole[name])
    return whole


def _usual(run: Run) -> dict[str, Any]:
    return (
        {name: getattr(run, name) for name in _USUAL}
        | {f"metrics.{name}": value for name, value in run.metrics.items()}
        | {f"params.{name}": value for name, value in run.params.items()}
    )


def _asked(columns: AskedColumns) -> Callable[[Run], dict[str, Any]]:
    def row(run: Run) -> dict[str, Any]:
        found = {"run_id": run.run_id, "name": run.name}
        for column in columns.columns:
            value = value_of(run, column)
            if column.kind != "attributes" and value is not None:
                found[f"{column.kind}.{column.name}"] = value
            elif column.kind == "attributes" and column != RUN:
                found[column.name] = value
        return found

    return row


def _numbers(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Return a param as numbers where that loses nothing: 1.10 may be a version."""
    import pandas as pd

    known = texts.dropna().unique()
    is_plain = len(known) and all(map(_is_plain_number, known))
    return pd.to_numeric(texts) if is_plain else texts


def _is_plain_number(text: str) -> bool:
    for kind in (int, float):
        try:
            if str(number := kind(text)) == text:
                return math.isfinite(number)
        except ValueError:
            continue
    return False
