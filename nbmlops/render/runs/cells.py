"""The cells of a table of runs as HTML, and the notes below the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import accumulate
from typing import Protocol

from nbmlops.entities import AskedColumns, FoldedRuns, Page, Run, RunColumn
from nbmlops.errors import did_you_mean
from nbmlops.render.formats import truncate
from nbmlops.render.runs.columns import HTML_WIDTH, NAME, RunColumns, cell
from nbmlops.render.svg import sparkline
from nbmlops.render.tables import OUT_OF_ORDER, order_badge

_CURVE_WIDTH = 8  # characters
_MOST_CURVE_POINTS = 1200  # in one table, at some eight bytes each
_LONGEST_NOTE = 150  # two lines of a terminal

Curves = Mapping[tuple[str, str], Sequence[tuple[int, float]]]


class Listing(Protocol):
    """Where the rows come from; each part is read when it is asked for."""

    @property
    def columns(self) -> AskedColumns | None:
        """What is read of each run."""

    @property
    def is_cut(self) -> bool:
        """Whether the page read last is short, many runs before it being folded."""

    @property
    def scan_limit(self) -> int:
        """How many folded runs are passed over for a page."""

    def page(self, number: int = 0) -> Page[Run]:
        """Return a page."""

    def folded(self, runs: Sequence[Run]) -> Mapping[str, FoldedRuns]:
        """Return the attempts and children of rows."""

    def curves(
        self, runs: Sequence[Run], metrics: Sequence[str], *, n_points: int
    ) -> Curves:
        """Return thinned histories."""

    def blocks(self, limit: int) -> Iterator[tuple[Run, ...]]:
        """Yield rows, some thousand at a time."""

    def names(self, run: Run) -> Sequence[str]:
        """Return the names of all metrics, params and tags of a run."""


def read_curves(
    listing: Listing, runs: Sequence[Run], columns: Sequence[RunColumn]
) -> Curves:
    """Return the histories to draw in a table, of fewer points the more there are."""
    metrics = [column.name for column in columns if column.kind == "metrics"]
    if not metrics or not runs:
        return {}
    n_points = _MOST_CURVE_POINTS // (len(runs) * len(metrics))
    return listing.curves(runs, metrics, n_points=min(40, max(8, n_points)))


def fit_cell(
    listing: Listing, runs: Sequence[Run], columns: RunColumns
) -> tuple[tuple[RunColumn, ...], Curves]:
    """Return the columns that a notebook's cell has room for, and their histories."""
    curves = read_curves(listing, runs, columns.shown)
    drawn = {name for _, name in curves}

    def text(run: Run, column: RunColumn) -> str:
        has_curve = column.kind == "metrics" and column.name in drawn
        return cell(run, column) + " " * _CURVE_WIDTH * has_curve

    room = columns.fitting(HTML_WIDTH, text) if curves else columns.shown
    return tuple(column for column in columns.shown if column in room), curves


def cell_html(run: Run, column: RunColumn, curves: Curves) -> str:
    """Return a cell's content: escaped text, with a sparkline where there is one."""
    html = escape(truncate(cell(run, column)))
    points = curves.get((run.run_id, column.name), ())
    if column.kind == "metrics" and points:
        return f"{sparkline(points, width=60, height=16)} {html}"
    if column == NAME and run.order_note:
        return f"{html} {order_badge(run.order_note)}"
    return html


def folded_html(folded: FoldedRuns, columns: Sequence[RunColumn]) -> str:
    """Return the runs folded into a row: a summary, and a line on each newest one."""
    metrics = [column for column in columns if column.kind == "metrics"][:4]
    groups = (folded.attempts, folded.children)
    counts = (folded.n_attempts, folded.n_children)
    html, summaries = "", iter(folded.summary)
    for count, runs in zip(counts, groups, strict=True):
        if count:
            lines = [_line(run, metrics) for run in runs]
            more = count - len(runs)
            lines += [f"and {more} more: %runs --all"] if more > 0 else []
            html += (
                f"<details><summary>{escape(next(summaries))}</summary>"
                f"{'<br>'.join(map(escape, lines))}</details>"
            )
    return html


def _line(run: Run, metrics: Sequence[RunColumn]) -> str:
    values = [f"{m.name} {cell(run, m)}" for m in metrics if cell(run, m)]
    order = [OUT_OF_ORDER] if run.order_note else []
    return " · ".join([run.run_id[:8], truncate(run.name), run.status, *order, *values])


def notes(
    listing: Listing,
    page: Page[Run],
    columns: RunColumns,
    shown: Sequence[RunColumn],
    *,
    is_cut: bool,
) -> list[str]:
    """Return what a table does not show, a line each."""
    lines = []
    if columns.same:
        values = [f"{column.name} {truncate(text)}" for column, text in columns.same]
        most = None if columns.is_asked else _LONGEST_NOTE
        lines.append(f"The same in all {len(page)}: {_some(values, most)}.")
    if left_out := columns.left_out(shown):
        names = [column.name for column in left_out]
        words = _some(names, _LONGEST_NOTE - 60)
        what = "Also differing" if len(page) > 1 else "No room for"
        lines.append(f"{what}: {words}; ask with --columns A,B.")
    if columns.n_quiet:
        lines.append(
            f"{columns.n_quiet:,} params that autolog recorded are not shown: "
            "see them with --all-params."
        )
    for name in columns.missing:
        near = did_you_mean(name, listing.names(page.items[0]))
        lines.append(f"None of these runs has {name!r}.{near}")
    if is_cut:
        lines.append(
            f"Passed over {listing.scan_limit:,} folded runs, then stopped: "
            "narrow it with --filter, or see each run with --all."
        )
    return lines


def _some(words: Sequence[str], most: int | None) -> str:
    """Return the first words, of so many characters together, and how many follow."""
    ends = accumulate(len(word) + 2 for word in words)
    n_shown = max(1, sum(most is None or end <= most for end in ends))
    more = len(words) - n_shown
    shown = ", ".join(words[:n_shown])
    return f"{shown} and {more:,} more" if more else shown
