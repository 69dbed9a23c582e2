"""An executed notebook as one HTML file that opens with no kernel and no network."""

from __future__ import annotations

import re
import threading
from functools import cache, lru_cache
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
_FOCUSABLE = re.compile(
    r'(<div class="(?:[^"]* )?(?:jp-Cell-inputWrapper|jp-OutputArea-output)[ "][^>]*)'
)
_NO_ALT = re.compile(r"<img(?![^>]*\salt=)")
_SHORT = 10_000
_one_by_one = threading.Lock()


def to_html(notebook: Any, *, folder: Path, title: str) -> str:  # noqa: ANN401
    """Return a notebook as one HTML page that loads nothing."""
    resources = {"metadata": {"path": str(folder), "name": title}}
    with _one_by_one:
        page, _ = _exporter().from_notebook_node(notebook, resources=resources)
    return str(page)


def load() -> None:
    """Load what makes a page, which takes longer than to make one."""
    from nbformat.v4 import new_code_cell, new_notebook

    cell = new_code_cell("1")  # type: ignore[no-untyped-call]
    notebook = new_notebook(cells=[cell])  # type: ignore[no-untyped-call]
    to_html(notebook, folder=Path(), title="")


@cache
def _exporter() -> Any:  # noqa: ANN401
    """Return the exporter of this process: to compile its templates takes long."""
    from nbconvert import HTMLExporter
    from nbconvert.exporters import TemplateExporter
    from nbconvert.filters import widgetsdatatypefilter

    filter_of: Any = widgetsdatatypefilter.WidgetsDataTypeFilter

    class Page(HTMLExporter):
        """nbconvert's, which parses the whole page again to set a few attributes."""

        def from_notebook_node(
            self: Any,
            nb: Any,  # noqa: ANN401
            resources: dict[str, Any] | None = None,
            **options: Any,
        ) -> Any:  # noqa: ANN401
            """Return the page and its resources."""
            info = nb.metadata.get("language_info", {})
            lexer = info.get("pygments_lexer", info.get("name"))
            resources = self._init_resources(resources)
            shown = filter_of(
                notebook_metadata=self._nb_metadata, parent=self, resources=resources
            )
            self.register_filter("highlight_code", _highlighter(lexer))
            self.register_filter("filter_data_type", shown)
            page, resources = TemplateExporter.from_notebook_node(self, nb, resources)
            if _NO_ALT.search(page):
                return super().from_notebook_node(nb, resources, **options)
            return _FOCUSABLE.sub(r'\1 tabindex="0"', page), resources

    make: Any = Page
    exporter = make(
        raw_template=_TEMPLATE,
        embed_images=True,
        optimistic_validation=True,
        extra_template_basedirs=[],  # not the working folder: templates are code
    )
    exporter.register_filter("clean_html", _cleaned)
    shown = exporter.config.NbConvertBase.display_data_priority
    exporter.config.NbConvertBase.display_data_priority = [
        kind for kind in shown if kind != _WIDGET
    ]
    return exporter


@lru_cache(maxsize=10)
def _highlighter(lexer: str | None) -> Any:  # noqa: ANN401
    """Return what marks up code, and has it by heart the next time."""
    from nbconvert import filters

    make: Any = filters.Highlight2HTML
    mark_up = make(pygments_lexer=lexer)

    @lru_cache(maxsize=1000)
    def mark_up_short(source: str, magics: str | None) -> str:
        metadata = {"magics_language": magics} if magics else {}
        return str(mark_up(source, metadata=metadata))

    def highlight(source: str, *, metadata: Any = None) -> str:  # noqa: ANN401
        if len(source) >= _SHORT:
            return str(mark_up(source, metadata=metadata))
        return mark_up_short(source, (metadata or {}).get("magics_language"))

    return highlight


def _cleaned(element: Any) -> Any:  # noqa: ANN401 - str, or bytes of a picture
    """Return markup without what it may not have; most short ones come again."""
    is_short = isinstance(element, str) and len(element) < _SHORT
    return (_cleaned_short if is_short else _cleaned_now)(element)


def _cleaned_now(element: Any) -> Any:  # noqa: ANN401
    from nbconvert import filters

    clean: Any = filters.clean_html
    return clean(element)


_cleaned_short = lru_cache(maxsize=1000)(_cleaned_now)
