"""The table of runs with buttons: sorted, filtered and paged by the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import ipywidgets as ipw

from nbmlops.entities import FoldedRuns, Run, RunColumn, mode_of
from nbmlops.errors import NbmlopsError
from nbmlops.notebook.output.grid import Row, RunsGrid, close_all
from nbmlops.render.formats import truncate
from nbmlops.render.runs.cells import fit_cell, notes
from nbmlops.render.runs.columns import RunColumns
from nbmlops.render.templates import style_sheet
from nbmlops.store.runs.fields import SOURCE
from nbmlops.store.runs.listing import RunListing
from nbmlops.store.runs.search_language import backticked, quoted

_MOST_ROWS = 50
_ATTRIBUTES = {
    "run": "attributes.run_id",
    "name": "attributes.run_name",
    "status": "attributes.status",
    "started": "attributes.start_time",
    "ended": "attributes.end_time",
    "source": f"tags.`{SOURCE}`",
}
_EXPRESSION = re.compile(r"[<>=]|\s(I?LIKE|IS|IN)\s", re.IGNORECASE)


def condition_of(text: str) -> str:
    """Return what a user typed as a filter: an expression, or a part of a name.

    >>> condition_of("metrics.auc > 0.8"), condition_of(" ")
    ('metrics.auc > 0.8', '')
    >>> condition_of("boost")
    "attributes.run_name ILIKE '%boost%'"
    """
    text = text.strip()
    if not text or _EXPRESSION.search(text):
        return text
    return f"attributes.run_name ILIKE {quoted(f'%{text}%')}"


class RunsBrowser:
    """A table of runs to click in. It holds one page; the store does the rest.

    Its buttons may answer in another thread than the cells: they go by run ids and
    never by MLflow's active run.
    """

    def __init__(
        self,
        listing: RunListing,
        *,
        compare: Callable[[str, str], Any],
        keep: tuple[RunColumn, ...] = (),
        all_params: bool = False,
        n_rows: int = 20,
        hides: str = "",
    ) -> None:
        self._start, self._listing = listing, listing
        self._compare_runs, self._keep = compare, keep
        self._all_params = all_params
        self._n_rows = min(n_rows, _MOST_ROWS)
        self._sorted: tuple[RunColumn, bool] | None = None
        self._number = 0
        self._columns: RunColumns | None = None
        self._selected: dict[str, Run] = {}
        self._unfolded: set[str] = set()
        self._build(f"<style>.{hides}{{display:none}}</style>" if hides else "")
        self._begin()

    def close(self) -> None:
        """Take it out of the notebook and the kernel."""
        self._grid.close()
        close_all(self.widget)

    def _build(self, style: str) -> None:
        self._field = ipw.Text(
            placeholder="part of a name, or metrics.auc > 0.8",
            continuous_update=False,
            layout=ipw.Layout(width="320px"),
        )
        self._field.observe(lambda _: self._begin(), "value")
        self._all = ipw.ToggleButton(
            value=not self._start.query.is_folded,
            description="All attempts and children",
            layout=ipw.Layout(width="auto"),
        )
        self._all.observe(lambda _: self._begin(), "value")
        self._compare = ipw.Button(description="Compare", disabled=True)
        self._compare.on_click(lambda _: self._show_comparison())
        self._chosen = ipw.Label()
        self._bar = ipw.HBox(
            [self._field, self._all, self._compare, self._chosen],
            layout=ipw.Layout(flex_flow="row wrap", align_items="center"),
        )
        self._back = _button("chevron-left", "The page before", lambda: self._turn(-1))
        self._next = _button("chevron-right", "The next page", lambda: self._turn(1))
        again = _button("refresh", "Read the runs again", self._begin)
        self._where = ipw.Label()
        self._foot = ipw.HBox([self._back, self._where, self._next, again])
        self._grid = RunsGrid(
            on_sort=self._sort, on_fold=self._fold, on_select=self._select
        )
        self._notes, self._result = ipw.HTML(), ipw.HTML()
        hidden = ipw.HTML(
            style_sheet("grid.css") + style, layout=ipw.Layout(display="none")
        )
        parts = (self._bar, self._grid.widget, self._notes, self._foot, self._result)
        self.widget = ipw.VBox([hidden, *parts])

    def _begin(self) -> None:
        """Read the first page of what is asked for now."""
        with self._showing_errors():
            typed = condition_of(self._field.value)
            given = self._start.query
            self._listing = self._start.with_query(
                size=self._n_rows,
                filter=" AND ".join(filter(None, (given.filter, typed))),
                order_by=self._order() or given.order_by,
                is_folded=not self._all.value,
            )
            self._number = 0
            self._show()

    def _turn(self, by: int) -> None:
        self._number = max(0, self._number + by)
        with self._showing_errors():
            self._show()

    def _sort(self, column: RunColumn) -> None:
        """Order by a column, then the other way round, then as at the start."""
        is_largest_first = column.kind == "metrics" and mode_of(column.name) != "min"
        if self._sorted is None or self._sorted[0] != column:
            self._sorted = column, is_largest_first
        elif self._sorted[1] == is_largest_first:
            self._sorted = column, not is_largest_first
        else:
            self._sorted = None
        self._begin()

    def _fold(self, run: Run) -> None:
        self._unfolded ^= {run.run_id}
        with self._showing_errors():
            self._show()

    def _select(self, run: Run, is_selected: bool) -> None:
        self._selected.pop(run.run_id, None)
        if is_selected:
            self._selected[run.run_id] = run
        for run_id in list(self._selected)[:-2]:
            del self._selected[run_id]
        self._mark()

    def _show_comparison(self) -> None:
        first, second = self._selected
        self._result.value = "Comparing…"
        with self._showing_errors(self._result):
            self._result.value = self._compare_runs(first, second)._repr_html_()

    def _show(self) -> None:
        page = self._listing.page(self._number)
        sorted_column = (self._sorted[0],) if self._sorted else ()
        columns = RunColumns(
            page.items,
            self._listing.columns,
            keep=(*self._keep, *sorted_column),
            all_params=self._all_params,
        )
        self._columns = columns
        folded = self._listing.folded(page.items)
        rows = [row for run in page for row in self._rows(run, folded.get(run.run_id))]
        shown, curves = fit_cell(self._listing, page.items, columns)
        self._grid.draw(
            rows,
            shown,
            curves,
            title_of=columns.title,
            sorted_by=self._sorted,
            can_sort=lambda column: self._clause(column) is not None,
        )
        self._mark()
        first = self._number * self._n_rows
        self._where.value = (
            f"runs {first + 1} to {first + len(page)}" if page.items else "no runs"
        )
        self._back.disabled = self._number == 0
        self._next.disabled = page.next_page_token is None
        is_cut = self._listing.is_cut
        lines = notes(self._listing, page, columns, shown, is_cut=is_cut)
        self._notes.value = "<br>".join(map(escape, lines))

    def _rows(self, run: Run, folded: FoldedRuns | None) -> Iterator[Row]:
        is_open = run.run_id in self._unfolded
        summary = ", ".join(folded.summary) if folded else ""
        yield Row(run=run, summary=summary, is_open=is_open)
        if folded and is_open:
            for inner in (*folded.attempts, *folded.children):
                yield Row(run=inner, is_inner=True)

    def _mark(self) -> None:
        self._grid.mark(tuple(self._selected))
        self._compare.disabled = len(self._selected) != 2
        names = [f"{truncate(r.name)} {r.run_id[:8]}" for r in self._selected.values()]
        self._chosen.value = " and ".join(names) or "Select two runs to compare them."

    def _order(self) -> str | None:
        if self._sorted is None:
            return None
        column, is_largest_first = self._sorted
        return f"{self._clause(column)} {'DESC' if is_largest_first else 'ASC'}"

    def _clause(self, column: RunColumn) -> str | None:
        """Return what MLflow calls a column, if it can order by it."""
        if column.kind == "attributes":
            return _ATTRIBUTES.get(column.name)
        name = column.name
        if column.kind == "params" and self._columns is not None:
            names = self._columns.sources(column)
            if len(names) > 1:  # the params of several estimators
                return None
            name = names.pop() if names else name
        return f"{column.kind}.{backticked(name)}"

    @contextmanager
    def _showing_errors(self, place: ipw.HTML | None = None) -> Iterator[None]:
        """Show an error: one in a button's thread has no other place."""
        place = place or self._notes
        try:
            yield
        except NbmlopsError as error:
            place.value = _error_html(f"{error.problem} {error.fix}")
        except Exception as error:
            place.value = _error_html(f"{type(error).__name__}: {error}")
            raise


def _error_html(text: str) -> str:
    color = "var(--jp-error-color1,#d32f2f)"
    return f'<div role="alert" style="color:{color}">{escape(text)}</div>'


def _button(icon: str, tooltip: str, act: Callable[[], None]) -> ipw.Button:
    button = ipw.Button(icon=icon, tooltip=tooltip, layout=ipw.Layout(width="36px"))
    button.on_click(lambda _: act())
    return button
