"""The sets of parameters of a grid, of a list and of a file."""

from __future__ import annotations

import csv
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from nbmlops.entities import Step, StepReport
from nbmlops.errors import UsageError, did_you_mean
from nbmlops.execution.parameters.parameters import parse_text
from nbmlops.pipeline.runner.step_runs import StepRun
from nbmlops.pipeline.spec.parameters_file import read_text
from nbmlops.pipeline.spec.problems import Fault
from nbmlops.pipeline.spec.yaml_lines import read_located
from nbmlops.pipeline.sweeps.checking import Checker
from nbmlops.pipeline.sweeps.progress import Tally

_MOST_RUNS = 10_000
_SUFFIXES = (".csv", ".json", ".yaml", ".yml")
Combo = dict[str, object]
Given = Sequence[Mapping[str, object]] | str | Path


def of_grid(
    grid: Mapping[str, Iterable[object]], fixed: Iterable[str], checker: Checker
) -> list[Combo]:
    """Return each combination of a grid, the last axis changing fastest."""
    axes: dict[str, list[object]] = {}
    if not isinstance(grid, Mapping):
        checker.fault(f"The grid is {grid!r:.60}, not lists of values by name.")
        return []
    for name, values in grid.items():
        if isinstance(values, str | bytes | Mapping | set) or not isinstance(
            values, Iterable
        ):
            checker.fault(f"Grid {name!r} is {values!r:.60}, not a list of values.")
            continue
        axes[name] = [checker.fit(name, value) for value in values]
        if not axes[name]:
            checker.fault(f"Grid {name!r} is empty.")
        for value in _twice(axes[name]):
            checker.fault(f"Grid {name!r} has {value!r:.60} twice.")
    if not grid:
        checker.fault("The grid names no parameter.")
    checker.complete(fixed, grid, "")
    n = math.prod(map(len, axes.values()))
    if n > _MOST_RUNS:
        checker.fault(f"The grid is {n:,} runs, above {_MOST_RUNS:,}.")
        return []
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def of_list(given: Given, fixed: Iterable[str], checker: Checker) -> list[Combo]:
    """Return the sets of a list, or of a file of them."""
    is_file = isinstance(given, str | Path)
    located = _read(Path(given), checker) if is_file else _numbered(given, checker)  # type: ignore[arg-type]
    fixed, n = list(fixed), 0
    found: list[Combo] = []
    seen: dict[str, str] = {}
    for where, values in located:
        n += 1
        if n > _MOST_RUNS:
            checker.fault(f"There are more than {_MOST_RUNS:,} sets.")
            break
        combo = {name: checker.fit(name, value, where) for name, value in values}
        checker.complete(fixed, combo, where)
        first = seen.setdefault(repr(sorted(combo.items())), where)
        if first != where:
            checker.fault(f"The set is that of {first} again.", where)
        found.append(combo)
    if not n and not checker.faults:
        checker.fault("There are no sets.")
    return found


def _numbered(
    given: Sequence[Mapping[str, object]], checker: Checker
) -> Iterator[tuple[str, list[tuple[str, object]]]]:
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        checker.fault(f"The sets are {given!r:.60}, not a list of mappings.")
        return
    for n, each in enumerate(given, 1):
        if isinstance(each, Mapping):
            yield f"set {n}", [(str(name), value) for name, value in each.items()]
        else:
            checker.fault(f"It is {each!r:.60}, not a mapping.", f"set {n}")


def _read(
    path: Path, checker: Checker
) -> Iterator[tuple[str, list[tuple[str, object]]]]:
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"{str(path)!r} is no file of sets.",
            fix=f"Name one that ends in {', '.join(_SUFFIXES)}.",
        )
    text = read_text(path, "file")
    if path.suffix.lower() == ".csv":
        yield from _read_csv(text, checker)
        return
    faults: list[Fault] = []
    document = read_located(text, faults)
    for fault in faults:
        checker.fault(fault.problem, f"line {fault.line}")
    if document is None or not isinstance(document.value, list):
        if not faults:
            checker.fault(f"{path.name} is not a list of mappings.")
        return
    for each in document.value:
        where = f"line {each.line}"
        if isinstance(each.value, dict):
            yield where, list(each.plain().items())
        else:
            checker.fault(f"It is {each.plain()!r:.60}, not a mapping.", where)


def _read_csv(
    text: str, checker: Checker
) -> Iterator[tuple[str, list[tuple[str, object]]]]:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        for name in _twice(names):
            checker.fault(f"The column {name!r} is there twice.", "line 1")
        known = names if checker.declared is None else checker.declared
        for name in names:
            if name not in known:
                near = did_you_mean(name, known)
                checker.fault(f"No parameter {name!r}.{near}", "line 1")
        for row in reader:
            where = f"line {reader.line_num}"
            if len(row) > len(names):
                checker.fault(f"It has {len(row)} cells, not {len(names)}.", where)
            elif any(map(str.strip, row)):
                yield (
                    where,
                    [
                        (name, parse_text(checker.declared, name, cell))
                        for name, cell in zip(names, row, strict=False)
                        if cell.strip() and name in known
                    ],
                )
    except csv.Error as error:
        checker.fault(f"This is not CSV: {error}.", f"line {reader.line_num}")


def _twice(values: Sequence[object]) -> list[object]:
    seen: set[str] = set()
    return [v for v in values if repr(v) in seen or seen.add(repr(v))]  # type: ignore[func-returns-value]


class Listed:
    """Feeds the runs of a grid or a list, in order."""

    def __init__(
        self,
        step: Step,
        combos: Sequence[Mapping[str, object]],
        tally: Tally,
        time_s: float | None,
    ) -> None:
        self.units = [
            StepRun(step=step, combo=combo, label="" if combo else f"set {n}")
            for n, combo in enumerate(combos, 1)
        ]
        self.pruned_before: tuple[StepReport, ...] = ()
        self.is_late = False
        self._left = deque(self.units)
        self._tally = tally
        self._end = math.inf if time_s is None else time.monotonic() + time_s

    def next(self) -> StepRun | None:
        """Return the next set, while there is time."""
        self.is_late = bool(self._left) and time.monotonic() > self._end
        return self._left.popleft() if self._left and not self.is_late else None

    def told(self, _unit: StepRun, report: StepReport) -> None:
        """Count a run that has ended."""
        self._tally.add(report)

    def look(self) -> None:
        """Do nothing: no run is given up."""
