"""The results of a sweep, as a table and as a frame."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from nbmlops.entities import StepReport, SweepReport, ranked
from nbmlops.render.formats import format_number, truncate
from nbmlops.render.pipelines import run_note
from nbmlops.render.tables import Table

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 8
_MOST_ROWS = 50
_MOST_METRICS = 6


class SweepView(Table):
    """The runs of a sweep, the best first.

    Parameters
    ----------
    report : SweepReport
        The facts.

    Attributes
    ----------
    report : SweepReport
        As given.
    """

    def __init__(self, report: SweepReport) -> None:
        self.report = report
        names = sorted({name for run in report.runs for name in run.metrics})
        if report.metric in names:
            names.remove(report.metric)
            names.insert(0, report.metric)
        names = names[:_MOST_METRICS]
        ordered = best_first(report)
        chosen = report.best.step if report.best else None
        rows = [
            (
                f"{run.step}{' *' if run.step == chosen else ''}",
                run.state,
                *(_shown(run.params.get(name, "")) for name in report.swept),
                *(
                    format_number(run.metrics[n]) if n in run.metrics else ""
                    for n in names
                ),
                f"{run.duration_s:.1f} s" if run.duration_s else "",
                (run.run_id or "")[:_DIGITS],
                _shown("" if run.state in ("cached", "done") else run.why),
            )
            for run in ordered[:_MOST_ROWS]
        ]
        head = (
            f"{report.sweep}: {report.status} in {report.duration_s:.1f} s"
            f"{run_note(report.run_id)}"
        )
        more = len(ordered) - len(rows)
        notes = [f"{more} more runs: see .frame()"] if more else []
        super().__init__(
            ["run", "state", *report.swept, *names, "took", "id", "why"],
            rows,
            empty=head,
            notes=[*notes, head, *_best_note(report), *report.notes],
        )

    @property
    def best(self) -> StepReport | None:
        """The best run: its params, metrics and run id; None when none is known."""
        return self.report.best

    def frame(self) -> pd.DataFrame:
        """Return the runs as a frame.

        Returns
        -------
        DataFrame of shape (n_runs, n_columns)
            ``run_id``, ``name``, ``state``, ``duration_s``, ``why``, and a column
            ``params.NAME`` or ``metrics.NAME`` for each, the best run first.
        """
        import pandas as pd

        return pd.DataFrame(_records(self.report))


def sweep_csv(report: SweepReport) -> bytes:
    """Return the table of `SweepView.frame` as CSV in UTF-8."""
    records = _records(report)
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode("utf-8", "backslashreplace")


def best_first(report: SweepReport) -> list[StepReport]:
    """Return the runs of a sweep, those that cannot be compared last."""
    if report.metric is None or report.mode is None:
        return list(report.runs)
    best = ranked(report.runs, report.metric, report.mode)
    names = {run.step for run in best}
    return best + [run for run in report.runs if run.step not in names]


def _records(report: SweepReport) -> list[dict[str, Any]]:
    return [
        {
            "run_id": run.run_id,
            "name": run.step,
            "state": run.state,
            "duration_s": run.duration_s,
            "why": run.why,
        }
        | {f"params.{name}": value for name, value in run.params.items()}
        | {f"metrics.{name}": value for name, value in run.metrics.items()}
        for run in best_first(report)
    ]


def _best_note(report: SweepReport) -> list[str]:
    best, metric = report.best, report.metric
    if best is None or metric is None:
        return []
    values = ", ".join(f"{name}={best.params.get(name)}" for name in report.swept)
    value = format_number(best.metrics[metric])
    return [f"best {metric}={value}: {values}, run {(best.run_id or '')[:_DIGITS]}"]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return format_number(value)
    return truncate(" ".join(str(value).split()), 60)
