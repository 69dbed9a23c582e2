"""Parameters written into a notebook as code of its language, by papermill.

Only imported when a notebook is to be run: papermill takes a second to import.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import nbformat
from papermill.exceptions import PapermillException
from papermill.iorw import load_notebook_node
from papermill.translators import PythonTranslator, papermill_translators

from nbmlops.errors import UsageError
from nbmlops.execution.notebooks.notebook import INJECTED, PARAMETERS, language, tagged
from nbmlops.secrets import Secret

_LOOK_UP = "nbmlops.secret("


class _Python(PythonTranslator):  # type: ignore[misc]
    """Papermill's, except that a tuple stays one and a secret is named, not shown."""

    @classmethod
    def translate(cls, val: object) -> str:
        if isinstance(val, Secret):
            return f'{_LOOK_UP}"{val.name}")'
        if isinstance(val, tuple):
            return f"({''.join(f'{cls.translate(item)}, ' for item in val)})"
        return str(super().translate(val))


def inject(
    notebook: Any,  # noqa: ANN401 - nbformat ships no types
    values: Mapping[str, object],
    *,
    kernel_name: str,
) -> Any:  # noqa: ANN401
    """Return a copy of a notebook, ready to run with these parameters."""
    copy = load_notebook_node(notebook)
    copy.cells = [
        cell for cell in copy.cells if INJECTED not in cell.metadata.get("tags", [])
    ]
    index = tagged(copy, PARAMETERS)
    if values and index is not None:
        source = _translate(values, kernel_name, language(notebook))
        cell = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
            source, metadata={"tags": [INJECTED]}
        )
        copy.cells.insert(index + 1, cell)
    return copy


def _translate(values: Mapping[str, object], kernel_name: str, spoken: str) -> str:
    if spoken.lower() == "python":
        source = str(_Python.codify(values))
        return f"import nbmlops\n\n{source}" if _LOOK_UP in source else source
    try:
        for name, value in values.items():
            _check_translatable(name, value)
        translator = papermill_translators.find_translator(kernel_name, spoken)
        return str(translator.codify(values))
    except (PapermillException, NotImplementedError) as error:
        raise UsageError(
            f"Parameters cannot be given to a notebook in {spoken}: {error}.",
            fix="Give numbers and plain texts, or set the values in the notebook.",
        ) from error


def _check_translatable(name: str, value: object) -> None:
    """Refuse what other languages would take for code, or cannot write."""
    match value:
        case Secret():
            raise NotImplementedError(f"{name!r} is a secret")
        case str() if set("$`\\") & set(value):
            raise NotImplementedError(f"{name!r} holds one of $, ` and \\")
        case float() if not math.isfinite(value):
            raise NotImplementedError(f"{name!r} is not finite")
        case tuple():
            raise NotImplementedError(f"{name!r} is a tuple")
        case list():
            for item in value:
                _check_translatable(name, item)
        case dict():
            for key, item in value.items():
                _check_translatable(name, key)
                _check_translatable(name, item)
