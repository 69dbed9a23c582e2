"""The contributions to an answer, as they show themselves."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from nbmlops.entities import Contributions, RowContributions
from nbmlops.render.formats import format_number, truncate
from nbmlops.render.tables import Renderable, Table

if TYPE_CHECKING:
    import pandas as pd

_N_SHOWN = 20
_WIDEST = 40


class ContributionsView(Renderable):
    """What the columns of a request contributed to its answer.

    Parameters
    ----------
    contributions : Contributions
        The values.

    Attributes
    ----------
    contributions : Contributions
        The values.
    """

    def __init__(self, contributions: Contributions) -> None:
        self.contributions = contributions

    def frame(self) -> pd.DataFrame:
        """Return a row for each row of the request.

        Returns
        -------
        DataFrame
            ``row``, ``prediction``, ``label``, ``base``, ``output``, and each column's
            contribution as ``in.NAME``.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                **{
                    name: [getattr(row, name) for row in self.contributions.rows]
                    for name in ("row", "prediction", "label", "base", "output")
                },
                **{
                    f"in.{name}": [row.columns[name] for row in self.contributions.rows]
                    for name in self.contributions.rows[0].columns
                },
            }
        )

    def __repr__(self) -> str:
        return f"{self._title()}\n{self._table()!r}"

    def _repr_html_(self) -> str:
        title = escape(self._title()).replace("\n", "<br>")
        return f"<p>{title}</p>{self._table()._repr_html_()}"

    def _title(self) -> str:
        found = self.contributions
        more = f", row 0 of {len(found.rows):,}" if len(found.rows) > 1 else ""
        title = f"{found.model}/{found.version} on request {found.request_id}{more}"
        return f"{title}\n{_what(found, found.rows[0])}"

    def _table(self) -> Table:
        row = self.contributions.rows[0]
        found = sorted(row.columns.items(), key=lambda each: -abs(each[1]))
        lines = [("base", format_number(row.base))]
        lines += [
            (truncate(name, _WIDEST), f"{value:+.4g}")
            for name, value in found[:_N_SHOWN]
        ]
        if rest := found[_N_SHOWN:]:
            lines.append((f"{len(rest)} others", f"{sum(v for _, v in rest):+.4g}"))
        lines.append(("output", format_number(row.output)))
        return Table(["column", "contribution"], lines, empty="")


def _what(found: Contributions, row: RowContributions) -> str:
    name = "number" if row.label is None else f"{found.of} of {str(row.label)[:30]!r}"
    how = "by permutations" if found.method == "permutation" else "exact"
    return f"{name} · {how}"
