"""A request, checked: where it points and what it asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from nbmlops.config import Settings, load_settings
from nbmlops.errors import NotFoundError, UsageError, did_you_mean
from nbmlops.server._threads import load_gently
from nbmlops.store import Store, connect, embedded
from nbmlops.tracking.provenance.source import relative

DEFAULT_LIMIT = 25
MAX_LIMIT = 200
_MAX_INTEGER = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a route's work is given; reading it may touch the disk and the store."""

    root: Path
    names: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    content_type: str = "application/json"
    fields: Mapping[str, Any] | None = None

    def at(self, path: object) -> Request:
        """Return the same request about another path."""
        return replace(self, query={**self.query, "path": str(path)})

    @property
    def file(self) -> Path:
        """The file that ``path`` names; it need not exist."""
        path = self.query.get("path", "")
        if not path.strip("/"):
            raise UsageError("No file is named.", fix="Give its path.")
        return self._inside(path)

    @cached_property
    def settings(self) -> Settings:
        """Settings of the project around ``path``."""
        target = self._inside(self.query.get("path", ""))
        return load_settings(target if target.is_dir() else target.parent)

    @property
    def unopened_store(self) -> Store:
        """The project's store, neither made nor asked."""
        uri = self.settings.tracking_uri or embedded.tracking_uri(self.settings.home)
        return Store(settings=self.settings, uri=uri)

    @property
    def is_store_missing(self) -> bool:
        """Whether the embedded store has not been made yet."""
        is_made = embedded.database(self.settings.home).exists()
        return self.unopened_store.is_embedded and not is_made

    @cached_property
    def found_store(self) -> Store | None:
        """The project's store; None while the embedded one is not made.

        Looking at a project must not write to it, so this makes no store.
        """
        if self.is_store_missing:
            return None
        store = connect(self.settings)
        load_gently(store)
        return store

    @property
    def store(self) -> Store:
        """The project's store, for what can only be there when it is."""
        if self.found_store is None:
            raise NotFoundError(
                f"Nothing is recorded in project {self.settings.project.name!r} yet.",
                fix="Run a %%track cell in one of its notebooks first.",
            )
        return self.found_store

    @property
    def limit(self) -> int:
        """How many items a page may hold."""
        text = self.query.get("limit", str(DEFAULT_LIMIT))
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT):
            raise UsageError(
                f"limit is {text[:80]!r}.", fix=f"Give a number from 1 to {MAX_LIMIT}."
            )
        return int(text)

    @property
    def page_token(self) -> str | None:
        """The token of the page, from the page before."""
        return self.query.get("page_token") or None

    def flag(self, name: str) -> bool:
        """Return whether a parameter of the query is ``true``."""
        text = self.query.get(name, "false")
        if text not in ("true", "false"):
            raise UsageError(f"{name} is {text[:80]!r}.", fix="Give true or false.")
        return text == "true"

    def source_of(self, notebook: str) -> str:
        """Return a notebook as runs of this project name it as their source."""
        return relative(self._inside(notebook), self.settings.project)

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """The fields of the JSON body; None for an optional one that is missing."""
        fields = self.fields or {}
        try:
            given = json.loads(self.content or b"{}")
        except (ValueError, RecursionError) as error:
            raise UsageError(
                "The body of the request is not JSON.", fix=f"Send {_shape(fields)}."
            ) from error
        if not isinstance(given, dict):
            raise UsageError("The body is no object.", fix=f"Send {_shape(fields)}.")
        for name in given:
            if name not in fields:
                raise UsageError(
                    f"Unknown field {name[:80]!r}.{did_you_mean(name, fields)}",
                    fix=f"Send {_shape(fields)}.",
                )
        return {name: _checked(name, given.get(name), fields) for name in fields}

    def _inside(self, path: str) -> Path:
        try:
            root = self.root.resolve()
            target = (root / path.strip("/")).resolve()
            target.exists()  # raises when the name is too long for the disk
            is_inside = target.is_relative_to(root)
        except (OSError, ValueError, RuntimeError):  # or a NUL, or a loop of links
            is_inside = False
        if not is_inside:
            raise UsageError(
                f"{path[:200]!r} is not a path below the Jupyter server's root.",
                fix="Give a folder or notebook of the file browser.",
            )
        return target


def _checked(name: str, value: object, fields: Mapping[str, Any]) -> object:
    declared = fields[name]
    options = get_args(declared) if isinstance(declared, UnionType) else (declared,)
    kinds = [get_origin(kind) or kind for kind in options]
    is_empty = isinstance(value, str) and not value
    is_beyond = isinstance(value, int) and not 1 <= value <= _MAX_INTEGER
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) in kinds and not is_empty and not is_beyond:
        return value
    if value is None:
        raise UsageError(f"Field {name!r} is missing.", fix=f"Send {_shape(fields)}.")
    what = next(words for kind, words in _WORDS.items() if kind in kinds)
    raise UsageError(
        f"Field {name!r} is {str(value)[:80]!r}.", fix=f"Send {what} as {name!r}."
    )


_WORDS = {
    int: "a whole number from 1",
    float: "a number",
    dict: "an object",
    list: "an array",
    str: "a text",
}


def _shape(fields: Mapping[str, Any]) -> str:
    names = (f"{n}?" if NoneType in get_args(kind) else n for n, kind in fields.items())
    return f"{{{', '.join(names)}}}"
