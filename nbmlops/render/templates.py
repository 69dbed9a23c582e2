"""The Jinja2 templates of larger pieces of HTML; Jinja2 is imported at first use."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.render.formats import format_number, truncate

if TYPE_CHECKING:
    from jinja2 import Environment


def render_html(template: str, **values: object) -> str:
    """Return a template of this folder, filled; every text in it is escaped."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"number": format_number, "cut": truncate}
    return environment
