"""How results look: HTML for a notebook, plain text for everything else."""

from nbmlops.render.runs import RunsTable
from nbmlops.render.svg import image, sparkline
from nbmlops.render.tables import (
    RunLine,
    Shown,
    Table,
    clock,
    endpoints_table,
    explanation_table,
    number,
    predictions_table,
    replay_table,
    table_html,
    table_text,
    version_table,
)

__all__ = [
    "RunLine",
    "RunsTable",
    "Shown",
    "Table",
    "clock",
    "endpoints_table",
    "explanation_table",
    "image",
    "number",
    "predictions_table",
    "replay_table",
    "sparkline",
    "table_html",
    "table_text",
    "version_table",
]
