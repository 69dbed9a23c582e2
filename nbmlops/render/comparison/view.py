"""A comparison of runs that shows itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmlops.entities import Comparison
from nbmlops.render.comparison.curves import figure, legend_key, stepped
from nbmlops.render.comparison.sections import equal, headline, legend, sections
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
        for section in sections(compared):
            lines = [section.title]
            if section.rows:
                header = section.header(len(compared.runs))
                lines = [table_text(header, section.rows, width=width)]
            for heading, code in section.cells:
                lines += [f"  {heading}", *(_fold(line, width) for line in code)]
            notes = [wrapped(note, width) for note in section.notes]
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
            sections=sections(compared),
            table=lambda section: table_html(
                section.header(n_runs), section.rows, wraps=True
            ),
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


def _fold(line: str, width: int) -> str:
    """Return a line of code in lines that fit the terminal, each with its sign."""
    room = max(width - 6, 20)
    starts = range(2, max(len(line), 3), room)
    return "\n".join(f"    {line[:2]}{line[at : at + room]}" for at in starts)
