"""A grid of runs made of a few widgets: one a column, one box a row to select it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets as ipw

from nbmlops.entities import Run, RunColumn
from nbmlops.render.runs.cells import Curves, cell_html
from nbmlops.render.runs.columns import NAME

_ROW_PX = 28  # as in grid.css


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the grid."""

    run: Run
    summary: str = ""
    is_open: bool = False
    is_inner: bool = False


class RunsGrid:
    """Columns of runs; each page is drawn into the same widgets."""

    def __init__(
        self,
        *,
        on_sort: Callable[[RunColumn], None],
        on_fold: Callable[[Run], None],
        on_select: Callable[[Run, bool], None],
    ) -> None:
        self._on_sort, self._on_fold, self._on_select = on_sort, on_fold, on_select
        self._rows: Sequence[Row] = ()
        self._columns: Sequence[RunColumn] = ()
        self._is_drawing = False
        # One layout for many widgets: each of them is a message to the browser.
        self._line = ipw.Layout(height=f"{_ROW_PX}px", width="auto", margin="0")
        self._square = ipw.Layout(
            height=f"{_ROW_PX}px", width="28px", margin="0", flex="0 0 auto"
        )
        self._tight = ipw.Layout(margin="0", flex="0 0 auto")
        self._checks: list[ipw.Checkbox] = []
        self._folds: list[ipw.Button] = []
        self._titles: list[ipw.Button] = []
        self._bodies: list[ipw.HTML] = []
        self._boxes: list[ipw.VBox] = []
        self._corner = ipw.Box(layout=self._square)
        self._first = ipw.VBox(layout=self._tight)
        self._second = ipw.VBox(layout=self._tight)
        self.widget = ipw.HBox()
        self.widget.add_class("nbmlops-grid")

    def draw(
        self,
        rows: Sequence[Row],
        columns: Sequence[RunColumn],
        curves: Curves,
        *,
        title_of: Callable[[RunColumn], str],
        sorted_by: tuple[RunColumn, bool] | None,
        can_sort: Callable[[RunColumn], bool],
    ) -> None:
        """Show these rows and columns."""
        self._rows, self._columns = rows, columns
        while len(self._titles) < len(columns):
            self._add_column(len(self._titles))
        while len(self._checks) < len(rows):
            self._add_row(len(self._checks))
        for n, column in enumerate(columns):
            title = title_of(column)
            arrow = ""
            if sorted_by is not None and sorted_by[0] == column:
                arrow = " ▼" if sorted_by[1] else " ▲"
            with self._titles[n].hold_sync():
                self._titles[n].description = title + arrow
                self._titles[n].tooltip = f"Order by {title}"
                self._titles[n].disabled = not can_sort(column)
            self._bodies[n].value = "".join(_cell(row, column, curves) for row in rows)
            box = self._boxes[n]
            (box.add_class if column.kind == "metrics" else box.remove_class)("m")
        for row, fold in zip(rows, self._folds, strict=False):
            with fold.hold_sync():
                fold.description = row.summary and ("▾" if row.is_open else "▸")
                fold.tooltip = row.summary
                fold.disabled = not row.summary
        self._first.children = (self._corner, *self._checks[: len(rows)])
        self._second.children = (self._corner, *self._folds[: len(rows)])
        has_folds = any(row.summary for row in rows)
        self.widget.children = (
            self._first,
            *((self._second,) if has_folds else ()),
            *self._boxes[: len(columns)],
        )

    def mark(self, run_ids: Sequence[str]) -> None:
        """Tick the rows of these runs, and no others."""
        self._is_drawing = True
        for row, check in zip(self._rows, self._checks, strict=False):
            check.value = row.run.run_id in run_ids
        self._is_drawing = False

    def close(self) -> None:
        """Close every widget, those of hidden rows too."""
        close_all(self.widget, self._second, *self._checks, *self._folds, *self._boxes)

    def _add_column(self, n: int) -> None:
        title = ipw.Button(layout=self._line, **_style_of(self._titles))
        title.on_click(lambda _: self._on_sort(self._columns[n]))
        body = ipw.HTML(layout=self._tight, **_style_of(self._bodies))
        self._titles.append(title)
        self._bodies.append(body)
        self._boxes.append(ipw.VBox([title, body], layout=self._tight))

    def _add_row(self, n: int) -> None:
        square, style = self._square, _style_of(self._checks)
        check = ipw.Checkbox(indent=False, layout=square, **style)
        check.observe(lambda new: self._selected(n, is_ticked=new["new"]), "value")
        fold = ipw.Button(layout=square, **_style_of(self._folds))
        fold.on_click(lambda _: self._on_fold(self._rows[n].run))
        self._checks.append(check)
        self._folds.append(fold)

    def _selected(self, n: int, *, is_ticked: bool) -> None:
        if not self._is_drawing:
            self._on_select(self._rows[n].run, is_ticked)


def close_all(*widgets: ipw.Widget) -> None:
    """Close widgets with all they are made of: children, layouts, styles."""
    waiting = list(widgets)
    while waiting:
        widget = waiting.pop()
        if widget.comm is None:  # closed already
            continue
        parts = (getattr(widget, name) for name in widget.keys)
        for part in parts:
            inner = part if isinstance(part, tuple) else (part,)
            waiting += [each for each in inner if isinstance(each, ipw.Widget)]
        widget.close()


def _style_of(widgets: Sequence[Any]) -> dict[str, Any]:
    return {"style": widgets[0].style} if widgets else {}


def _cell(row: Row, column: RunColumn, curves: Curves) -> str:
    html = cell_html(row.run, column, curves)
    if column == NAME and row.is_inner:
        html = f"↳ {html}"
    if column == NAME and row.summary:
        html += f' <span class="i">{escape(row.summary)}</span>'
    kinds = f"r{' n' * (column.kind == 'metrics')}{' i' * row.is_inner}"
    return f'<div class="{kinds}">{html or "&nbsp;"}</div>'
