"""A comparison of runs that shows itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.entities import Comparison
from nbmlops.render.comparison_curves import figure, legend_key, stepped
from nbmlops.render.comparison_parts import (
    CodeBlock,
    Section,
    equal,
    headline,
    legend,
    parts,
)
from nbmlops.render.formats import terminal_width, wrapped
from nbmlops.render.tables import Renderable, table_html, table_text
from nbmlops.render.templates import render_html

if TYPE_CHECKING:
    import pandas as pd

_MOST_CURVES = 9


class ComparisonView(Renderable):
    """What differs between runs; it shows itself.

    Parameters
    ----------
    comparison : Comparison
        What differs.

    Attributes
    ----------
    comparison : Comparison
        What differs, in full: what is shown is cut.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def __repr__(self) -> str:
        compared = self.comparison
        width = terminal_width()
        blocks = ["\n".join(legend(compared)), wrapped(headline(compared), width)]
        for part in parts(compared):
            if isinstance(part, CodeBlock):
                lines = _code(part, width)
            else:
                lines = _table(part, len(compared.runs), width)
            notes = [wrapped(note, width) for note in part.notes]
            blocks.append("\n".join([*lines, *notes]))
        alike = ", ".join(text for text, _ in equal(compared))
        blocks += [wrapped(f"equal: {alike}", width)] if alike else []
        return "\n\n".join(blocks)

    def _repr_html_(self) -> str:
        compared = self.comparison
        n_runs, curves = len(compared.runs), stepped(compared.metrics)
        return render_html(
            "comparison.html",
            legend=[(legend_key(i), text) for i, text in enumerate(legend(compared))],
            headline=headline(compared),
            parts=parts(compared),
            table=lambda part: table_html(part.header(n_runs), part.rows, wraps=True),
            figures=list(filter(None, map(figure, curves[:_MOST_CURVES]))),
            n_hidden=len(curves) - _MOST_CURVES,
            equal=equal(compared),
        )

    def frame(self) -> pd.DataFrame:
        """Return the params and metrics of all the runs, equal ones included.

        Returns
        -------
        DataFrame of shape (n_values, 3 + n_runs)
            Columns ``kind`` (``param``, ``metric`` for the last value, ``best``),
            ``name``, ``is_equal``, and one a run, named by its id. Metrics are numbers,
            params texts; None where a run has none.
        """
        import pandas as pd

        compared = self.comparison
        n_runs = len(compared.runs)
        rows: list[list[object]] = [
            ["param", each.name, False, *each.values] for each in compared.params.items
        ]
        for metric in compared.metrics:
            for kind, field in (("metric", "last"), ("best", "best")):
                values = [getattr(each, field, None) for each in metric.histories]
                rows.append([kind, metric.name, False, *values])
        for kind, alike in (
            ("param", compared.params.equal),
            ("metric", compared.equal_metrics),
        ):
            rows += [
                [kind, key, True, *[value] * n_runs] for key, value in alike.items()
            ]
        columns = ["kind", "name", "is_equal", *(run.run_id for run in compared.runs)]
        return pd.DataFrame(rows, columns=columns, dtype=object)


def _table(section: Section, n_runs: int, width: int) -> list[str]:
    if not section.rows:
        return [section.title]
    return [table_text(section.header(n_runs), section.rows, width=width)]


def _code(block: CodeBlock, width: int) -> list[str]:
    lines = [block.title]
    for heading, code in block.cells:
        lines += [
            f"  {heading}",
            *(part for line in code for part in _fold(line, width)),
        ]
    return lines


def _fold(line: str, width: int) -> list[str]:
    """Return a line of code in parts that fit the terminal, each with its sign."""
    room = max(width - 6, 20)
    parts = [line[2:][start : start + room] for start in range(0, len(line) - 2, room)]
    return [f"    {line[:2]}{part}" for part in parts] or [f"    {line}"]
