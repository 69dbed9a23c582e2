"""A rehearsal, as text of 80 columns and as HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from nbmlops.entities import Rehearsal, RehearsalSlice
from nbmlops.render.formats import format_number, truncate
from nbmlops.render.tables import Renderable, table_html, table_text

if TYPE_CHECKING:
    import pandas as pd

_WIDTH = 80
_MOST_SHOWN = 3
_SLICES = ("slice", "rows", "share", "elsewhere", "p")


class RehearsalView(Renderable):
    """A model version on logged requests; what ``nm.rehearse`` returns.

    Parameters
    ----------
    rehearsal : Rehearsal
        What differs.
    rows : DataFrame
        The rows, with both predictions.

    Attributes
    ----------
    rehearsal : Rehearsal
        What differs.
    """

    def __init__(self, rehearsal: Rehearsal, rows: pd.DataFrame) -> None:
        self.rehearsal = rehearsal
        self._rows = rows

    def frame(self) -> pd.DataFrame:
        """Return a row for each row of the requests, in the order of their time.

        Returns
        -------
        DataFrame
            ``request_id``, ``row``, ``time``, ``version``, each column of the input as
            ``in.NAME``, the predictions ``before`` and ``after``, ``is_changed`` and
            ``has_failed``.
        """
        return self._rows

    def __repr__(self) -> str:
        lines = [_title(self.rehearsal)]
        facts = _facts(self.rehearsal)
        width = max(len(name) for name, _ in facts)
        room = _WIDTH - width - 2
        lines += [f"{name:{width}}  {truncate(text, room)}" for name, text in facts]
        rows = [_slice_row(each) for each in self.rehearsal.slices]
        if rows:
            lines += ["", table_text(_SLICES, _wrapped(rows))]
        else:
            lines.append(_no_slice(self.rehearsal))
        return "\n".join([*lines, *(f"note: {note}" for note in self.rehearsal.notes)])

    def _repr_html_(self) -> str:
        parts = [f"<p>{escape(_title(self.rehearsal))}</p>"]
        parts.append(table_html(("", ""), _facts(self.rehearsal), wraps=True))
        if rows := [_slice_row(each) for each in self.rehearsal.slices]:
            parts.append(table_html(_SLICES, rows))
        else:
            parts.append(f"<p>{escape(_no_slice(self.rehearsal))}</p>")
        parts += [f"<p>note: {escape(note)}</p>" for note in self.rehearsal.notes]
        return "".join(parts)


def _title(found: Rehearsal) -> str:
    served = ", ".join(map(str, found.served))
    return (
        f"{found.model}/{found.version} on {found.n_rows:,} rows that "
        f"{found.endpoint} has answered\n"
        f"{found.first_at:%Y-%m-%d %H:%M} to {found.last_at:%Y-%m-%d %H:%M} UTC, "
        f"{found.n_requests:,} requests, by version {served}"
    )


def _facts(found: Rehearsal) -> list[tuple[str, str]]:
    facts = [("different", _share(found.n_different, found.n_rows))]
    if found.flips:
        flips = [
            f"{_value(each.before)} to {_value(each.after)}: {each.n_rows:,}"
            for each in found.flips[:_MOST_SHOWN]
        ]
        facts.append(("flips", ", ".join(flips)))
    if found.shift is not None and found.n_different:
        shift = found.shift
        low, _, middle, _, high = map(format_number, shift.quantiles)
        facts += [
            (
                "shift",
                f"{shift.mean:+.4g} on average, from {format_number(shift.mean_before)}"
                f" to {format_number(shift.mean_after)}",
            ),
            ("", f"1 %: {low}, 50 %: {middle}, 99 %: {high} of the differences"),
            (
                "changed",
                f"{_share(found.n_changed, found.n_rows)}, by "
                f"{format_number(shift.large)} or more",
            ),
        ]
    facts.append(("failed", _share(found.n_failed, found.n_rows)))
    facts += [
        ("", f"{each.n_rows:,}: {each.message} ({each.request_id}, row {each.row})")
        for each in found.errors[:_MOST_SHOWN]
    ]
    facts.append(
        (
            "predict",
            f"{_time(found.us_per_row)} a row in batches, "
            f"{_time(found.us_single)} a row alone",
        )
    )
    return facts


def _share(n: int, n_rows: int) -> str:
    if not n:
        return "no row"
    return f"{n:,} rows, {format_number(100 * n / n_rows)} %"


def _no_slice(found: Rehearsal) -> str:
    if not found.n_different and not found.n_failed:
        return "Every prediction is what it was."
    return f"No slice stands out; {found.n_slices:,} were looked at."


def _slice_row(found: RehearsalSlice) -> tuple[str, ...]:
    shift = "" if found.shift is None else f" ({found.shift:+.3g})"
    return (
        found.name,
        f"{found.n_rows:,}",
        f"{found.share * 100:.3g} % {found.what}{shift}",
        f"{found.share_elsewhere * 100:.3g} %",
        f"{found.p_value:.0e}",
    )


def _wrapped(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return rows whose first column goes on below where it is too long."""
    others = zip(_SLICES[1:], *(rest for _, *rest in rows), strict=True)
    room = _WIDTH - sum(2 + max(map(len, column)) for column in others)
    found: list[tuple[str, ...]] = []
    for name, *rest in rows:
        first, *more = textwrap.wrap(name, room, subsequent_indent="  ")
        found.append((first, *rest))
        found += [(line, *("" for _ in rest)) for line in more]
    return found


def _value(value: object) -> str:
    return (
        format_number(value) if isinstance(value, float) else truncate(str(value), 20)
    )


def _time(us: float) -> str:
    return f"{us:.3g} µs" if us < 1000 else f"{us / 1000:.3g} ms"
