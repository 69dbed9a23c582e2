"""An executed notebook as one HTML file that opens with no kernel and no network."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any

_TEMPLATE = """\
{%- extends 'index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
"""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_one_by_one = threading.Lock()


def to_html(notebook: Any, *, folder: Path, title: str) -> str:  # noqa: ANN401
    """Return a notebook as one HTML page that loads nothing.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        The notebook; a widget shows its static form, a formula its LaTeX.
    folder : Path
        Where the images that its markdown names are; they are embedded.
    title : str
        The page's title.

    Returns
    -------
    str
        HTML. What outputs load by themselves is theirs.
    """
    resources = {"metadata": {"path": str(folder), "name": title}}
    with _one_by_one:
        page, _ = _exporter().from_notebook_node(notebook, resources=resources)
    return str(page)


@cache
def _exporter() -> Any:  # noqa: ANN401
    """Return the exporter of this process: to compile its templates takes long."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        raw_template=_TEMPLATE, embed_images=True
    )
    shown = exporter.config.NbConvertBase.display_data_priority
    exporter.config.NbConvertBase.display_data_priority = [
        kind for kind in shown if kind != _WIDGET
    ]
    return exporter
