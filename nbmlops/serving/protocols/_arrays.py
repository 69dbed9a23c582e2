"""Rows of numbers alone, which need no table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from nbmlops.scoring.ranges import RangeCheck
from nbmlops.scoring.request import Table
from nbmlops.serving.fast_reader import FastReader
from nbmlops.serving.model import ServedModel

Array = np.ndarray[Any, Any]


class Arrays:
    """Reads rows that a model takes as an array and that need no closer look."""

    def __init__(self, model: ServedModel, unseen: Counter[str]) -> None:
        self._spec, self._unseen = model.spec, unseen
        self._reader = FastReader(model.spec) if model.takes_arrays else None
        self._ranges = RangeCheck(model.spec) if model.spec.ranges else None

    def read(self, body: bytes) -> tuple[Array, str] | None:
        """Return the rows of MLflow's JSON, and the output that is asked for."""
        found = self._reader.read(body) if self._reader else None
        return found if found is not None and self._is_usual(found[0]) else None

    def of(self, table: Table) -> Array | None:
        """Return the rows of a table."""
        found = self._reader.of(table) if self._reader else None
        return found if found is not None and self._is_usual(found) else None

    def _is_usual(self, rows: Array) -> bool:
        if self._ranges is None:
            return True
        n_outside = self._ranges.count(rows)
        if n_outside and self._spec.out_of_range == "warn":
            self._unseen["out_of_range"] += n_outside
            return True
        return not n_outside
