"""Tables and lines: HTML for a notebook, plain text for everything else."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

from nbmlops.entities import Endpoint, Explanation, ModelVersion, Replay
from nbmlops.render.badge import OUT_OF_ORDER, order_badge

if TYPE_CHECKING:
    import pandas as pd

WIDEST = 40
"""Characters that a cell of a table has room for."""

_STYLE = (
    "text-align:left;padding:2px 12px 2px 0;font-family:var(--jp-code-font-family,"
    "monospace);font-size:var(--jp-code-font-size,13px);white-space:nowrap"
)
_WRAPPED = _STYLE.removesuffix(";white-space:nowrap")


def table_html(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, wraps: bool = False
) -> str:
    """Return an HTML table of escaped texts."""
    style = _WRAPPED if wraps else _STYLE
    of_table = ' style="overflow-wrap:anywhere"' if wraps else ""
    head = "".join(f'<th style="{style}">{escape(title)}</th>' for title in header)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{style}">{escape(str(cell))}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    return (
        f"<table{of_table}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def terminal_width() -> int:
    """Return how many characters a line of the terminal has; 80 where there is none."""
    return shutil.get_terminal_size().columns


def clip(text: str, most: int = WIDEST) -> str:
    """Return a text of at most so many characters.

    >>> len(clip("x" * 100)), clip("short"), clip("long words", most=5)
    (40, 'short', 'long…')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def wrapped(line: str, width: int) -> str:
    """Return a line in as many lines as the width asks for."""
    return textwrap.fill(line, max(width, 20), subsequent_indent="  ")


def table_text(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    width: int | None = None,
    narrowest: int = 10,
) -> str:
    """Return a table in plain text, columns aligned.

    >>> print(table_text(["name", "auc"], [["baseline", 0.9]]))
    name      auc
    baseline  0.9
    """
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if width is None or _total(widths) <= width:
        return _aligned(lines, widths)
    most = max(
        (n for n in range(narrowest, max(widths)) if _total(_cut(widths, n)) <= width),
        default=max(narrowest, WIDEST),
    )
    lines = [[clip(cell, most) for cell in line] for line in lines]
    widths = _cut(widths, most)
    blocks, taken = [], 1
    while taken < len(widths):
        end = taken + 1
        while (
            end < len(widths) and _total([widths[0], *widths[taken : end + 1]]) <= width
        ):
            end += 1
        part = [[line[0], *line[taken:end]] for line in lines]
        blocks.append(_aligned(part, [widths[0], *widths[taken:end]]))
        taken = end
    return "\n\n".join(blocks)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _cut(widths: Sequence[int], most: int) -> list[int]:
    return [min(width, most) for width in widths]


def _aligned(lines: Iterable[Sequence[str]], widths: Sequence[int]) -> str:
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def duration(seconds: float) -> str:
    """Return a time as one reads it.

    >>> duration(0.2), duration(42.4), duration(125), duration(4000)
    ('0 s', '42 s', '2 min 5 s', '1 h 7 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {round(whole % 3600 / 60)} min"


def number(value: float) -> str:
    """Return a metric's value in at most four significant digits.

    >>> number(0.83456), number(3.0), number(float("nan"))
    ('0.8346', '3', 'nan')
    """
    return f"{value:.4g}"


def clock(moment: datetime) -> str:
    """Return a time in the reader's own zone, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_clock(moment: datetime) -> str:
    """Return a time in the reader's own zone, to the minute or the day."""
    there = moment.astimezone()
    is_this_year = there.year == datetime.now(there.tzinfo).year
    return there.strftime("%m-%d %H:%M" if is_this_year else "%Y-%m-%d")


def _lines_html(lines: Iterable[str]) -> str:
    return (
        '<div style="color:var(--jp-ui-font-color2,#666);'
        f'font-size:var(--jp-ui-font-size1,13px)">{"<br>".join(lines)}</div>'
    )


class Renderable:
    """A result as lines of text; its HTML is those lines, escaped."""

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return _lines_html(escape(line) for line in repr(self).splitlines())


class Table(Renderable):
    """A result that is a table."""

    def __init__(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        empty: str,
        notes: Sequence[str] = (),
    ) -> None:
        self._notes = notes
        self._header = header
        self._rows = rows
        self._empty = empty

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        if not self._rows:
            return self._empty
        text = table_text(self._header, self._rows)
        return "\n".join([text, *(f"note: {note}" for note in self._notes)])

    def _repr_html_(self) -> str:
        if not self._rows:
            return f"<p>{escape(self._empty)}</p>"
        notes = "".join(f"<p>note: {escape(note)}</p>" for note in self._notes)
        return table_html(self._header, self._rows) + notes

    def frame(self) -> pd.DataFrame:
        """Return the table as a frame."""
        import pandas as pd

        return pd.DataFrame(list(self._rows), columns=list(self._header))


class RunLine(Renderable):
    """One line on a run, under the cell that made it, and notes below."""

    def __init__(
        self,
        name: str,
        run_id: str,
        facts: Sequence[str],
        notes: Sequence[str] = (),
        *,
        order_note: str | None = None,
    ) -> None:
        self._facts = [f"run {name} {run_id[:8]}", *facts]
        self._notes = [f"note: {note}" for note in notes]
        self._order_note = order_note
        if order_note:
            self._notes.insert(0, f"note: {OUT_OF_ORDER}: {order_note}")

    def __repr__(self) -> str:
        order = [OUT_OF_ORDER] if self._order_note else []
        return "\n".join([" · ".join([*self._facts, *order]), *self._notes])

    def _repr_html_(self) -> str:
        badge = order_badge(self._order_note)
        facts = [*map(escape, self._facts), *([badge] if badge else [])]
        notes = [
            escape(note).replace("\n", "<br>").replace("  ", "&ensp;")
            for note in self._notes
        ]
        return _lines_html([" · ".join(facts), *notes])


def version_table(version: ModelVersion) -> Table:
    """Return one model version as a table of its facts."""
    rows: list[tuple[str, object]] = [
        ("model version", f"{version.model}/{version.version}"),
        ("aliases", ", ".join(version.aliases) or "none"),
        ("run", (version.run_id or "none")[:8]),
        ("source", version.source or "unknown"),
        *((name, number(value)) for name, value in sorted(version.metrics.items())),
    ]
    return Table(["registered", ""], rows, empty="")


def endpoints_table(endpoints: Sequence[Endpoint]) -> Table:
    """Return endpoints with their state and URL."""
    return Table(
        ["endpoint", "serves", "state", "url", "note"],
        [
            (e.name, f"{e.model}/{e.version}", e.state, e.url, e.message)
            for e in endpoints
        ],
        empty="No endpoints: deploy a model with %deploy MODEL@ALIAS.",
    )


def predictions_table(predictions: Iterable[object]) -> Table:
    """Return predictions as a table, a row each."""
    return Table(["prediction"], [(each,) for each in predictions], empty="No rows.")


def replay_table(replay: Replay) -> Table:
    """Return what a replay was compared by, under its verdict."""

    def shown(value: float | str | None) -> str:
        if value is None:
            return "missing"
        return value[:12] if isinstance(value, str) else repr(value)

    rows = [
        (f"{c.what} {c.name}", c.verdict, shown(c.original), shown(c.replayed))
        for c in replay.compared
    ]
    header = [f"replay {replay.run_id[:8]}", replay.verdict, "then", "again"]
    return Table(header, rows, empty="Nothing to compare.", notes=replay.notes)


def explanation_table(why: Explanation) -> Table:
    """Return the change that each factor makes to a metric."""
    rows: list[tuple[str, str, str, str]] = [
        (
            f"{each.factor} {'<--' if each.factor == why.factor else ''}".strip(),
            "same" if not each.differs else _signed(each.change),
            "" if each.value is None else number(each.value),
            each.detail,
        )
        for each in why.effects
    ]
    rows.append(("together and unexplained", _signed(why.rest), "", ""))
    whole = f"change {_signed(why.second - why.first)}"
    header = [why.metric, whole, f"from {number(why.first)}", "what differs"]
    return Table(header, rows, empty="", notes=why.notes)


def _signed(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.4g}"
