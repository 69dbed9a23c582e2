"""The sections of a comparison as they are shown: in order, and cut to size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import commonprefix

from nbmlops.entities import (
    CellDifference,
    Comparison,
    DatasetDifference,
    Difference,
    LoggedDataset,
    MetricDifference,
)
from nbmlops.render.formats import counted, format_number, format_time

LETTERS = "ABCDEFGH"
_MOST_ROWS = 30
_MOST_LINES = 120
_MOST_EQUAL = 100
_CODE_WIDTH = 160
_WIDTH, _LEAD = 60, 20
_NONE = "(none)"
_COSTS = {  # what to call them, and in which unit, so large
    "wall_s": ("wall", " s", 1.0),
    "cpu_s": ("cpu", " s", 1.0),
    "fit_s": ("fit", " s", 1.0),
    "peak_rss_bytes": ("peak memory", " MB", 1e6),
    "usd": ("money", " USD", 1.0),
    "energy_wh": ("energy", " Wh", 1.0),
    "co2_g": ("CO2", " g", 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One kind of thing that differs, ready to be shown: a table, or cells of code."""

    title: str
    rows: Sequence[Sequence[str]] = ()
    cells: Sequence[tuple[str, Sequence[str]]] = ()
    notes: Sequence[str] = ()

    def header(self, n_runs: int) -> Sequence[str]:
        """Return the titles of the table's columns."""
        has_delta = any(len(row) > n_runs + 1 for row in self.rows)
        return (self.title, *LETTERS[:n_runs], *["difference"] * has_delta)


def legend(compared: Comparison) -> list[str]:
    """Return a line on each run."""
    return [
        f"{letter}  {shortened(run.name)} {run.run_id[:8]} · "
        f"{format_time(run.started_at)}"
        for letter, run in zip(LETTERS, compared.runs, strict=False)
    ]


def headline(compared: Comparison) -> str:
    """Return in one line how much of what differs."""
    n_cells = sum(len(code.cells) for code in compared.code)
    counts = (
        (len(compared.metrics), "metric"),
        (len(compared.params.items), "param"),
        (n_cells, "code cell"),
        (len(compared.datasets), "dataset"),
        (len(compared.packages.items), "package"),
    )
    facts = [each.name for each in compared.facts.items[:10]]
    parts = [*facts, *(counted(n, noun) for n, noun in counts if n)]
    return f"differs: {', '.join(map(shortened, parts)) or 'nothing but the cost'}"


def sections(compared: Comparison) -> Iterator[Section]:
    """Yield what differs in the order it is read."""
    params, others = compared.params.items, compared.other_params
    if compared.facts.items:
        yield _table("run", compared.facts.items)
    if compared.metrics:
        rows = [row for metric in compared.metrics for row in _metric_rows(metric)]
        notes = _more(len(rows), "rows", ".frame()")
        yield Section(title="metrics", rows=rows[:_MOST_ROWS], notes=notes)
    if params or others.items:
        n_others = len(others.items) + len(others.equal)
        hidden = f"{counted(n_others, 'param')} that autolog recorded not shown"
        notes = [f"{hidden}: see --all-params"] if n_others else []
        yield _table("params", params, *notes, where=".frame()")
    yield from _code_sections(compared)
    if compared.datasets:
        yield _data(compared.datasets)
    if compared.packages.items or compared.notes:
        yield _table("environment", compared.packages.items, *compared.notes)
    if compared.cost.items:
        rows = [_cost_row(each) for each in compared.cost.items[:_MOST_ROWS]]
        yield Section(title="cost", rows=rows)


def _table(
    title: str, items: Sequence[Difference], *notes: str, where: str = ".comparison"
) -> Section:
    rows = [_row(each) for each in items[:_MOST_ROWS]]
    more = _more(len(items), title, where)
    return Section(title=title, rows=rows, notes=[*more, *notes])


def _more(count: int, what: str, where: str) -> list[str]:
    hidden = count - _MOST_ROWS
    return [f"... and {hidden:,} more {what} in {where}"] if hidden > 0 else []


def _row(item: Difference) -> tuple[str, ...]:
    given = [value for value in item.values if value is not None]
    start = len(commonprefix(given)) if given[1:] else 0  # noqa: RUF071 - of texts
    return (
        shortened(item.name),
        *(_NONE if v is None else shortened(v, start=start) for v in item.values),
    )


def shortened(text: str, *, start: int = 0) -> str:
    """Return a text in one line that fits a table, with its length where it is cut.

    >>> shortened("a" * 7000, start=6990)
    '…aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa (7,000 characters)'
    """
    n_all = len(text)
    first = max(start - _LEAD, 0) if n_all > _WIDTH else 0
    part = text[first : first + _WIDTH]
    line = part.replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")
    if len(part) == n_all:
        return line
    tail = "…" if first + _WIDTH < n_all else ""
    return f"{'…' if first else ''}{line}{tail} ({n_all:,} characters)"


def _metric_rows(metric: MetricDifference) -> Iterator[tuple[str, ...]]:
    histories = metric.histories
    is_stepped = any(len(each.points) > 1 for each in histories if each)
    last = [None if each is None else (each.last, each.last_step) for each in histories]
    yield _numbers(shortened(metric.name), last, with_step=is_stepped)
    if is_stepped and metric.mode is not None:
        best = [
            None
            if each is None or each.best is None or each.best_step is None
            else (each.best, each.best_step)
            for each in histories
        ]
        word = "lowest" if metric.mode == "min" else "highest"
        is_whole = all(each.is_whole for each in histories if each)
        label = f"· {word}" if is_whole else f"· {word} of those read"
        yield _numbers(label, best, with_step=True)


def _numbers(
    name: str, found: Sequence[tuple[float, int] | None], *, with_step: bool
) -> tuple[str, ...]:
    values = [None if each is None else each[0] for each in found]
    given = {value for value in values if value is not None}
    # Values that differ are not to look the same.
    form = (
        format_number if len({format_number(v) for v in given}) == len(given) else repr
    )
    cells = [
        _NONE
        if each is None
        else form(each[0]) + (f" at step {each[1]:,}" if with_step else "")
        for each in found
    ]
    return (name, *cells, *([_delta(*values)] if len(values) == 2 else []))


def _delta(a: float | None, b: float | None, *, unit: str = "") -> str:
    if a is None or b is None or not math.isfinite(b - a):
        return ""
    share = (b - a) / abs(a) if a else math.inf
    # What is not zero is not to look as if it were.
    form = "+.1f" if b == a or abs(share) >= 5e-4 else "+.1g"
    part = f" ({100 * share:{form}}%)" if math.isfinite(100 * share) else ""
    return f"{'+' if b >= a else ''}{format_number(b - a)}{unit}{part}"


def _cost_row(item: Difference) -> tuple[str, ...]:
    name, unit, scale = _COSTS.get(item.name, (item.name, "", 1.0))
    values = [None if text is None else _float(text) / scale for text in item.values]
    cells = [
        _NONE if value is None else f"{format_number(value)}{unit}" for value in values
    ]
    delta = [_delta(*values, unit=unit)] if len(values) == 2 else []
    return (shortened(name), *cells, *delta)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # another tool's tag
        return math.nan


def _data(items: Sequence[DatasetDifference]) -> Section:
    rows: list[Sequence[str]] = []
    notes: list[str] = []
    for item in items:
        contexts = {each.context for each in item.versions if each} - {""}
        context = f" ({', '.join(sorted(contexts))})" if contexts else ""
        texts = (dataset_text(each) if each else _NONE for each in item.versions)
        rows.append((shortened(item.name + context), *texts))
        rows += [
            (f"· column {name}", *values) for name, *values in map(_row, item.columns)
        ]
        if not item.columns and len(set(map(_form, item.versions))) == 1:
            notes.append(f"{shortened(item.name)}: the same size and columns.")
    more = _more(len(rows) - _MOST_ROWS, "rows", ".comparison")
    notes = [*notes[:_MOST_ROWS], *more]
    return Section(title="data", rows=rows[: 2 * _MOST_ROWS], notes=notes)


def _form(dataset: LoggedDataset | None) -> object:
    return dataset and (dataset.n_rows, dataset.columns or object())


def dataset_text(dataset: LoggedDataset) -> str:
    """Return a dataset's digest and size.

    >>> dataset_text(LoggedDataset(name="X", digest="12ab34cd56", n_rows=569))
    '12ab34cd 569 rows'
    """
    rows, columns = dataset.n_rows, dataset.n_columns
    size = "" if rows is None else f" {counted(rows, 'row')}"
    if rows is not None and columns is not None:
        size = f" {rows:,} x {columns:,}"
    return shortened(f"{dataset.digest[:8]}{size}")


def _code_sections(compared: Comparison) -> Iterator[Section]:
    """Yield the lines in which the code of runs differs from the first one's."""
    n_left = _MOST_LINES
    for letter, code in zip(LETTERS[1:], compared.code, strict=False):
        if not (code.note or code.cells):
            continue
        counts = Counter(cell.change for cell in code.cells)
        counted_cells = [f"{n} {change}" for change, n in counts.items()]
        counted_cells += [f"{code.n_equal} equal"] if code.n_equal else []
        title = f"code, A to {letter}"
        cells: list[tuple[str, Sequence[str]]] = []
        for cell in code.cells:
            if n_left <= 0:
                break
            lines = [_code_line(line) for line in cell.lines[:n_left]]
            hidden = len(cell.lines) - len(lines)
            lines += [f"... {counted(hidden, 'more line')}"] if hidden else []
            cells.append((_heading(cell), lines))
            n_left -= len(lines) + 1
        hidden = len(code.cells) - len(cells)
        more = f"... and {counted(hidden, 'more cell')}" if hidden else ""
        yield Section(
            title=": ".join(filter(None, [title, ", ".join(counted_cells)])),
            cells=cells,
            notes=list(filter(None, [more, code.note])),
        )


def _heading(cell: CellDifference) -> str:
    old, new = cell.positions
    place = (
        old if old == new or new is None else new if old is None else f"{old} → {new}"
    )
    return f"cell {place} {cell.change}"


def _code_line(line: str) -> str:
    if len(line) <= _CODE_WIDTH:
        return line
    return f"{line[:_CODE_WIDTH]}… ({len(line) - 2:,} characters)"


def equal(compared: Comparison) -> list[tuple[str, tuple[str, ...]]]:
    """Return what does not differ: how much of it, and what it is."""
    metrics = [f"{k}={format_number(v)}" for k, v in compared.equal_metrics.items()]
    params = [f"{key}={value}" for key, value in compared.params.equal.items()]
    data = [f"{each.name} {dataset_text(each)}" for each in compared.equal_datasets]
    packages = [f"{key} {value}" for key, value in compared.packages.equal.items()]
    facts = [f"{key}={value}" for key, value in compared.facts.equal.items()]
    found = [("metric", metrics), ("param", params), ("dataset", data),
             ("package", packages), ("other fact", facts)]  # fmt: skip
    shown = [(counted(len(m), noun), _cut(m)) for noun, m in found if m]
    if compared.code and all(code.is_equal for code in compared.code):
        n_cells = compared.code[0].n_equal
        cells = (counted(n_cells, "cell"),) if n_cells else ()
        shown.insert(bool(metrics) + bool(params), ("code", cells))
    return shown


def _cut(members: Sequence[str]) -> tuple[str, ...]:
    hidden = len(members) - _MOST_EQUAL
    more = [f"... and {hidden:,} more"] if hidden > 0 else []
    return (*map(shortened, members[:_MOST_EQUAL]), *more)
