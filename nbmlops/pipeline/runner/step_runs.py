"""The runs that a step fans out to, and the one that goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import product

from nbmlops.entities import Step, StepReport
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.pipeline.runner.messages import Watch

_WORD = re.compile(r"[^\s'\"=,()\[\]{}\\]+(?: [^\s'\"=,()\[\]{}\\]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """One run of a step."""

    step: Step
    combo: Mapping[str, object] = field(default_factory=dict)
    label: str = ""
    watch: Watch | None = None

    @property
    def name(self) -> str:
        """The step's name, and of a grid its values: ``train[C=1]``.

        No two combinations of values have the same name.
        """
        values = (f"{name}={printed(value)}" for name, value in self.combo.items())
        told = self.label or ",".join(values)
        if not told:
            return self.step.name
        short = told if len(told) < 120 else sha256(told.encode()).hexdigest()[:12]
        return f"{self.step.name}[{short}]"


def printed(value: object) -> str:
    """Return a value as no other one is printed: a text in quotes unless it is a word.

    >>> [printed(value) for value in (1, "1", 1.0, True, "true", None, "a", "a,b=1")]
    ['1', "'1'", '1.0', 'True', "'true'", 'None', 'a', "'a,b=1'"]
    """
    if isinstance(value, str) and value.isprintable() and _WORD.fullmatch(value):
        return repr(value) if _is_other(value) else value
    return repr(value)


def _is_other(word: str) -> bool:
    """Return whether a word reads like a value that is no text."""
    try:
        float(word)
    except ValueError:
        return word.lower() in ("true", "false", "none", "null", "~")
    return True


def units_of(step: Step) -> Iterator[StepRun]:
    """Yield the runs of a step, the last axis of its grid changing fastest."""
    for values in product(*step.grid.values()):
        combo = dict(zip(step.grid, values, strict=True))
        yield StepRun(step=step, combo=combo)


def choose(step: Step, reports: list[StepReport]) -> int:
    """Return which of a step's reports those behind it see."""
    if step.select is None:
        return 0
    metric, sign = step.select.metric, -1 if step.select.mode == "min" else 1
    scores = [report.metrics.get(metric) for report in reports]
    ranked = [
        (sign * score, -n)
        for n, score in enumerate(scores)
        if score is not None and score == score  # NaN is no best
    ]
    if not ranked:
        seen = {name for report in reports for name in report.metrics}
        if metric in seen:
            raise UsageError(
                f"Metric {metric!r} is not a number in any run of step {step.name!r}.",
                fix="Log a number, or select by another metric.",
            )
        raise UsageError(
            f"No run of step {step.name!r} has metric {metric!r} to select by."
            f"{did_you_mean(metric, seen)}",
            fix=f"Log it, or select by one of: {', '.join(sorted(seen)) or 'none'}.",
        )
    return -max(ranked)[1]
