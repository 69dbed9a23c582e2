"""Imports that are waited for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class PostImportHook:
    """Tells when a module that is not there yet has been imported."""

    def __init__(
        self, awaited: list[str], arrived: Callable[[ModuleType], None]
    ) -> None:
        self._awaited = awaited
        self._arrived = arrived

    def find_spec(
        self,
        name: str,
        path: Any = None,  # noqa: ANN401
        target: Any = None,  # noqa: ANN401
    ) -> ModuleSpec | None:
        """Return the module's own spec; its loader tells when it has run."""
        if name not in self._awaited:
            return None
        found = (
            finder.find_spec(name, path, target)
            for finder in sys.meta_path
            if finder is not self and hasattr(finder, "find_spec")
        )
        spec = next(filter(None, found), None)
        loader: Any = spec and spec.loader
        if loader is not None:
            self._awaited.remove(name)
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                del loader.exec_module
                try:
                    run(module)
                except BaseException as error:
                    error.__traceback__ = error.__traceback__.tb_next  # type: ignore[union-attr]
                    raise
                self._arrived(module)

            loader.exec_module = exec_module
        return spec
