"""A table of runs: as text, as HTML without scripts, and as a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from nbmlops.entities import FoldedRuns, Run, RunColumn
from nbmlops.render.formats import (
    WIDEST,
    format_time,
    terminal_width,
    truncate,
    wrapped,
)
from nbmlops.render.runs.cells import (
    Curves,
    Listing,
    cell_html,
    fit_cell,
    folded_html,
    notes,
)
from nbmlops.render.runs.columns import NAME, STARTED, RunColumns, cell
from nbmlops.render.tables import OUT_OF_ORDER, Renderable, table_text
from nbmlops.render.templates import style_sheet

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 100
_WIDEST_NAME, _WIDEST_VALUE = 24, 18  # in a terminal


class RunsTable(Renderable):
    """Runs, with the metrics and params in which they differ.

    Parameters
    ----------
    listing : Listing
        Where the rows come from; its first page is read at once.
    limit : int
        Rows of the frame; the table has those of the first page.
    keep : sequence of RunColumn, default=()
        Columns to show also when all rows have the same value.
    notes : sequence of str, default=()
        What else to say below the table.
    all_params : bool, default=False
        Whether params that are the defaults of estimators have columns too.

    Attributes
    ----------
    empty : str
        What to say when there are no rows.
    listing : Listing
        Where the rows come from.
    keep, all_params : tuple of RunColumn, bool
        As given.
    page : Page of Run
        The runs shown, holding what was asked for.
    columns : RunColumns
        What is shown of them.
    """

    def __init__(
        self,
        listing: Listing,
        *,
        limit: int,
        keep: Sequence[RunColumn] = (),
        notes: Sequence[str] = (),
        all_params: bool = False,
    ) -> None:
        self.empty = "There are no runs."
        self.listing, self.keep = listing, tuple(keep)
        self.page = listing.page()
        self.all_params = all_params
        self.columns = RunColumns(
            self.page.items, listing.columns, keep=keep, all_params=all_params
        )
        self._limit, self._is_cut, self._said = limit, listing.is_cut, notes

    def __len__(self) -> int:
        return len(self.page)

    def __repr__(self) -> str:
        if not self.page.items:
            return self.empty
        width = terminal_width()
        shown = self.columns.fitting(width, self._text)
        header = [truncate(self.columns.title(column)) for column in shown]
        rows = [[self._text(run, column) for column in shown] for run in self.page]
        table = table_text(header, rows, width=width, narrowest=WIDEST)
        return "\n".join([table, *(wrapped(n, width) for n in self._notes(shown))])

    def _repr_html_(self) -> str:
        runs = self.page.items[:_MOST_ROWS]
        if not runs:
            return f"<p>{escape(self.empty)}</p>"
        shown, curves = fit_cell(self.listing, runs, self.columns)
        head = "".join(_cell("th", c, escape(self.columns.title(c))) for c in shown)
        body = ""
        for run in runs:
            cells = [_cell("td", c, self._html(run, c, shown, curves)) for c in shown]
            body += f"<tr>{''.join(cells)}</tr>"
        left = len(self.page) - len(runs)
        more = [f"{left} more rows: .frame()"] if left else []
        lines = map(escape, [*self._notes(shown), *more])
        return (
            f'{style_sheet("runs.css")}<div style="overflow-x:auto">'
            f'<table class="nbmlops-runs"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
            f'<div class="nbmlops-runs-notes">{"<br>".join(lines)}</div>'
        )

    def _html(
        self, run: Run, column: RunColumn, shown: Sequence[RunColumn], curves: Curves
    ) -> str:
        html = cell_html(run, column, curves)
        if column == NAME and (folded := self._folded.get(run.run_id)):
            html += folded_html(folded, shown)
        return html

    def frame(self) -> pd.DataFrame:
        """Return one row a run, numbers as numbers and times as times.

        The runs are read some thousand at a time, and of each what was asked for.

        Returns
        -------
        DataFrame of shape (n_runs, n_columns)
            At most ``limit`` rows. Columns ``run_id``, ``name``, ``status``,
            ``started_at``, ``ended_at``, ``source``, ``metrics.*`` and ``params.*``,
            without those that autolog recorded and that are defaults in every run;
            or ``run_id``, ``name`` and those asked for. A param is a number where all
            its values are numbers as Python writes them.
        """
        from nbmlops.render.runs.frame import frame

        blocks = self.listing.blocks(self._limit)
        return frame(blocks, self.listing.columns, all_params=self.all_params)

    @cached_property
    def _folded(self) -> Mapping[str, FoldedRuns]:
        return self.listing.folded(self.page.items)

    def _notes(self, shown: Sequence[RunColumn]) -> list[str]:
        is_cut = self._is_cut
        own = notes(self.listing, self.page, self.columns, shown, is_cut=is_cut)
        return [*self._said, *own]

    def _text(self, run: Run, column: RunColumn) -> str:
        if column == STARTED:
            return format_time(run.started_at, is_short=True)
        if column != NAME:
            is_cut = column.kind == "params" and not self.columns.is_asked
            return truncate(cell(run, column), _WIDEST_VALUE if is_cut else WIDEST)
        folded = self._folded.get(run.run_id)
        marks = [*(folded.summary if folded else ())]
        marks += [OUT_OF_ORDER] if run.order_note else []
        return truncate(
            truncate(run.name, _WIDEST_NAME) + (f" ({', '.join(marks)})" * bool(marks))
        )


def _cell(tag: str, column: RunColumn, html: str) -> str:
    if column.kind == "metrics":
        return f"<{tag}>{html}</{tag}>"
    # For viewers of untrusted notebooks, which drop style sheets.
    is_text = tag == "td" and (column == NAME or " " in html)
    whole = ' style="white-space:nowrap"' if is_text else ""
    return f'<{tag} class="t"{whole}>{html}</{tag}>'
