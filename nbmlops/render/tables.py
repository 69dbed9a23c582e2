"""Tables and lines: HTML for a notebook, plain text for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from nbmlops.entities import Explanation, ModelVersion, Replay
from nbmlops.render.formats import WIDEST, format_number, truncate

if TYPE_CHECKING:
    import pandas as pd

OUT_OF_ORDER = "out of order"
# Without variables, which viewers of untrusted notebooks drop; the orange is
# visible on white and on black.
_BADGE = (
    "border:1px solid #f57c00;border-radius:9px;padding:0 7px;font-size:11px;"
    "white-space:nowrap"
)
_STYLE = (
    "text-align:left;padding:2px 12px 2px 0;font-family:var(--jp-code-font-family,"
    "monospace);font-size:var(--jp-code-font-size,13px);white-space:nowrap"
)
_WRAPPED = _STYLE.removesuffix(";white-space:nowrap")


def order_badge(note: str | None) -> str:
    """Return the badge of a run whose cells ran out of order.

    >>> order_badge(None)
    ''
    """
    if note is None:
        return ""
    return f'<span style="{_BADGE}" title="{escape(note)}">{OUT_OF_ORDER}</span>'


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
    lines = [[truncate(cell, most) for cell in line] for line in lines]
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


def version_table(version: ModelVersion, done: str = "registered") -> Table:
    """Return one model version as a table of its facts, under what was done."""
    rows: list[tuple[str, object]] = [
        ("model version", f"{version.model}/{version.version}"),
        ("aliases", ", ".join(version.aliases) or "none"),
        ("run", (version.run_id or "none")[:8]),
        ("source", version.source or "unknown"),
        *(
            (name, format_number(value))
            for name, value in sorted(version.metrics.items())
        ),
    ]
    return Table([done, ""], rows, empty="")


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
            "" if each.value is None else format_number(each.value),
            each.detail,
        )
        for each in why.effects
    ]
    rows.append(("together and unexplained", _signed(why.rest), "", ""))
    whole = f"change {_signed(why.second - why.first)}"
    header = [why.metric, whole, f"from {format_number(why.first)}", "what differs"]
    return Table(header, rows, empty="", notes=why.notes)


def _signed(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.4g}"
