"""Whether the cells of a run ran in the order of their notebook."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

ORDER = "nbmlops.order"
ORDER_CELLS = "nbmlops.order.cells"
_OUT_OF_ORDER = "out-of-order"
_MOST_NAMED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Whether a run from the top of the notebook would have given the run the same."""

    cells: tuple[int, ...] = ()
    is_presumed: bool = False

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Order:
        """Return the order that a run's tags hold.

        >>> Order.of(Order(cells=(4, 5)).tags()).cells
        (4, 5)
        """
        is_clean = tags.get(ORDER) != _OUT_OF_ORDER
        counts = re.findall(r"\b[0-9]{1,9}\b", tags.get(ORDER_CELLS, ""))
        return cls(
            cells=() if is_clean else tuple(map(int, counts)),
            is_presumed=tags.get(f"{ORDER}.basis") == "execution",
        )

    def tags(self) -> dict[str, str]:
        """Return what the run carries of it."""
        tags = {
            ORDER: _OUT_OF_ORDER if self.cells else "clean",
            f"{ORDER}.basis": "execution" if self.is_presumed else "file",
        }
        if self.cells:
            tags[ORDER_CELLS] = ", ".join(map(str, self.cells))
        return tags

    @property
    def note(self) -> str | None:
        """What a run from the top would do otherwise; None when the order is clean.

        >>> Order(cells=(3, 7)).note
        'a run from the top would treat [3], [7] differently'
        """
        if not self.cells:
            return None
        shown = ", ".join(f"[{count}]" for count in self.cells[:_MOST_NAMED])
        n_more = len(self.cells) - _MOST_NAMED
        more = f" and {n_more} more" if n_more > 0 else ""
        return f"a run from the top would treat {shown}{more} differently"
