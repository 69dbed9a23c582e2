"""Templates and style sheets. Jinja2 is imported at first use: it takes 50 ms.

A table of runs and the line below a tracked cell are made without it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.render.formats import format_number, truncate

if TYPE_CHECKING:
    from jinja2 import Environment


FOLDER = Path(__file__).with_name("templates")


def render_html(template: str, **values: object) -> str:
    """Return a template of this folder, filled; every text in it is escaped."""
    return _environment().get_template(template).render(values)


@cache
def style_sheet(name: str) -> str:
    """Return a style sheet of this folder as an element."""
    return f"<style>{(FOLDER / name).read_text(encoding='utf-8')}</style>"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"number": format_number, "cut": truncate}
    return environment
