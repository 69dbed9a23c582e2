"""A model version on rows in a file: ``python -m nbmlops.serving.offline FOLDER``.

The folder holds ``model/``, ``rows.parquet`` and ``options.json``; the answers are
written there as ``answers.json``, or ``refusal.json`` if the model cannot be used.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NbmlopsError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from nbmlops.scoring.signature import InputSpec
    from nbmlops.serving.model import ServedModel

_BATCH = 1_000
_N_SINGLE = 50
_MOST_FAILING_CALLS = 2_000


@dataclass(slots=True)
class Answers:
    """A prediction for each row, or the error that it raised.

    ``us_per_row`` and ``us_single`` are what a row takes in batches, and alone.
    """

    predictions: list[Any]
    errors: dict[int, str] = field(default_factory=dict)
    us_per_row: float = 0.0
    us_single: float = 0.0
    has_classes: bool | None = None


def answer_rows(
    rows: pd.DataFrame,
    predict: Callable[[Any], Sequence[Any]],
    *,
    prepare: Callable[[pd.DataFrame], Any] = lambda rows: rows,
) -> Answers:
    """Return what ``predict`` answers for rows; those that it fails on are found."""
    answers = Answers(predictions=[None] * len(rows))
    n_calls, took_s, n_timed = 0, 0.0, 0

    def ask(start: int, end: int) -> None:
        nonlocal n_calls, took_s, n_timed
        try:
            prepared = prepare(rows.iloc[start:end])
            begin = time.perf_counter()
            found = list(predict(prepared))
            took_s += time.perf_counter() - begin
            n_timed += end - start
            if len(found) != end - start:
                raise ValueError(f"{len(found)} predictions for {end - start} rows")
        except Exception as error:  # noqa: BLE001 - whatever a model raises
            n_calls += 1
            if end - start == 1 or n_calls > _MOST_FAILING_CALLS:
                message = f"{type(error).__name__}: {error}".splitlines()[0][:200]
                answers.errors |= dict.fromkeys(range(start, end), message)
            else:
                middle = (start + end) // 2
                ask(start, middle)
                ask(middle, end)
        else:
            answers.predictions[start:end] = found

    for start in range(0, len(rows), _BATCH):
        ask(start, min(start + _BATCH, len(rows)))
    answers.us_per_row = took_s / n_timed * 1e6 if n_timed else 0.0
    single = sorted(_time_single(rows, predict, prepare, answers))
    answers.us_single = single[len(single) // 2] * 1e6 if single else 0.0
    return answers


def _time_single(
    rows: pd.DataFrame,
    predict: Callable[[Any], Sequence[Any]],
    prepare: Callable[[pd.DataFrame], Any],
    answers: Answers,
) -> Iterator[float]:
    good = (n for n in range(len(rows)) if n not in answers.errors)
    for _, n in zip(range(_N_SINGLE), good, strict=False):
        prepared = prepare(rows.iloc[n : n + 1])
        begin = time.perf_counter()
        predict(prepared)
        yield time.perf_counter() - begin


def main(folder: Path) -> int:
    """Answer the rows of a folder."""
    import pandas as pd

    from nbmlops.serving.model import load

    options = json.loads((folder / "options.json").read_text("utf-8"))
    try:
        model = load(
            folder / "model",
            name=options["model"],
            version=options["version"],
            trust=tuple(options["trust"]),
        )
        rows = pd.read_parquet(folder / "rows.parquet")
        rows = named(rows, model.spec)
        _check_columns(model, rows)
    except NbmlopsError as error:
        said = {"problem": error.problem, "fix": error.fix}
        (folder / "refusal.json").write_text(json.dumps(said), "utf-8")
        return 1
    answers = answer_rows(rows, _predict_of(model), prepare=prepare_of(model.spec))
    answers.has_classes = len(model.classes) > 0
    said = {name: getattr(answers, name) for name in Answers.__slots__}
    (folder / "answers.json").write_text(json.dumps(said), "utf-8")
    return 0


def _check_columns(model: ServedModel, rows: pd.DataFrame) -> None:
    for column in model.spec.columns:
        if column.is_required and column.name not in rows:
            raise UsageError(
                f"{model.name}/{model.version} takes column {column.name!r}, which the "
                "logged requests do not have.",
                fix="Rehearse a version that takes what the endpoint is sent.",
            )


def named(rows: pd.DataFrame, spec: InputSpec) -> pd.DataFrame:
    """Return logged rows with the names that a signature has."""
    if spec.is_flat and rows.shape[1] == 1:  # its name says nothing
        return rows.set_axis([column.name for column in spec.columns], axis="columns")
    return rows


def prepare_of(spec: InputSpec) -> Callable[[pd.DataFrame], Any]:
    """Return what makes logged rows to those that a model takes."""
    from nbmlops.scoring.request import Table
    from nbmlops.scoring.rows import to_rows

    def prepare(rows: pd.DataFrame) -> Any:  # noqa: ANN401 - what the model takes
        columns = [c for c in spec.columns if c.name in rows]
        values = [_plain(rows[c.name], c.type) for c in columns]
        names = tuple(c.name for c in columns)
        has_names = spec.kind in ("frame", "dicts")
        table = Table(names=names if has_names else None, columns=tuple(values))
        return to_rows(table, spec)

    return prepare


def _plain(values: pd.Series[Any], type_name: str) -> list[Any]:
    """Return a column of the log as the values of a request; a gap is None."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        found = [None if v is pd.NaT else v.isoformat() for v in values]
    else:
        found = [None if pd.isna(v) else v for v in values.tolist()]
    if type_name == "any":
        return [json.loads(v) if isinstance(v, str) else v for v in found]
    return found


def _predict_of(model: ServedModel) -> Callable[[Any], Sequence[Any]]:
    from nbmlops.scoring.answer import write_answer

    def predict(rows: Any) -> Sequence[Any]:  # noqa: ANN401
        found: list[Any] = json.loads(write_answer(model.predict(rows)))["predictions"]
        return found

    return predict


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
