"""How results look: HTML for a notebook, plain text for everything else."""

from nbmlops.render.progress import CellBar
from nbmlops.render.runs import RunsTable
from nbmlops.render.svg import image, sparkline
from nbmlops.render.tables import (
    Renderable,
    RunLine,
    Table,
    clock,
    duration,
    endpoints_table,
    explanation_table,
    number,
    predictions_table,
    replay_table,
    table_html,
    table_text,
    terminal_width,
    version_table,
    wrapped,
)

__all__ = [
    "CellBar",
    "Renderable",
    "RunLine",
    "RunsTable",
    "Table",
    "clock",
    "duration",
    "endpoints_table",
    "explanation_table",
    "image",
    "number",
    "predictions_table",
    "replay_table",
    "sparkline",
    "table_html",
    "table_text",
    "terminal_width",
    "version_table",
    "wrapped",
]
