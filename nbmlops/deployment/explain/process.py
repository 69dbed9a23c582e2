"""Explaining from where no model is loaded."""

from __future__ import annotations

from nbmlops.config import Settings
from nbmlops.deployment import records
from nbmlops.entities import Contributions, RowContributions
from nbmlops.serving import explainer

MODULE = "nbmlops.deployment.explain"


def explain(settings: Settings, name: str, request_id: str) -> Contributions:
    """Return what the columns of a logged request contributed to its answer."""
    records.check_known(settings, name)
    document = explainer.explain(MODULE, records.root(settings) / name, request_id)
    rows = tuple(RowContributions(**row) for row in document.pop("rows"))
    return Contributions(**document, rows=rows)
