"""Secrets by name: their values stay in memory, their names may be written down."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from nbmlops.errors import DependencyError, NbmlopsError, NotFoundError, UsageError

SERVICE = "nbmlops"
"""The service under which a keyring keeps our secrets."""
NAMES_FILE = "NBMLOPS_SECRET_NAMES"
"""Variable with a file that takes the name of each secret this process reads.

A notebook's runner masks what the kernel shows, so it must know which values the
kernel read. Only names are passed on; the runner looks the values up itself.
"""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_REFERENCE = re.compile(rf"secret:({_NAME.pattern})")
_SHORTEST = 4
_SHORTEST_LINE = 16

_URL_SAFE = str.maketrans("+/", "-_")

_forms: dict[str, None] = {}
_codes: dict[str, bytes] = {}


class Secret(str):
    """A text to be handed to any library, and whose name is all that is shown.

    Its ``repr``, which notebooks show, is ``<secret NAME>``. ``str(secret)`` and
    f-strings give the value. A pickle holds the name alone: the value is looked up
    again where it is loaded.

    Parameters
    ----------
    value : str
        The value.
    name : str
        What it is called in the environment or the keyring.

    Attributes
    ----------
    name : str
        What it is called in the environment or the keyring.
    """

    __slots__ = ("name",)

    name: str

    def __new__(cls, value: str, name: str) -> Secret:  # noqa: D102
        made = super().__new__(cls, value)
        made.name = name
        remember(value)
        return made

    @property
    def reference(self) -> str:
        """What is recorded in its place: ``secret:NAME``."""
        return f"secret:{self.name}"

    def __repr__(self) -> str:
        return f"<secret {self.name}>"

    def __reduce_ex__(self, protocol: Any) -> tuple[object, ...]:  # noqa: ANN401
        return secret, (self.name,)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self


def secret(name: str) -> Secret:
    """Return a secret from the environment, else from the keyring.

    Parameters
    ----------
    name : str
        Name of the environment variable, or of the entry that
        ``keyring set nbmlops NAME`` made.

    Returns
    -------
    Secret
        A `str`. From now on this process masks its value in all that nbmlops writes.

    Raises
    ------
    UsageError
        It cannot be a name: 1 to 128 ASCII letters, digits, ``_``, ``.`` and ``-``,
        a letter or ``_`` first.
    NotFoundError
        There is no such secret.
    DependencyError
        It is not in the environment, and no keyring can be asked without the extra
        ``secrets``.

    Examples
    --------
    >>> os.environ["DOCTEST_TOKEN"] = "t0p-5ecret"
    >>> token = secret("DOCTEST_TOKEN")
    >>> token, len(token)
    (<secret DOCTEST_TOKEN>, 10)
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{str(name)[:80]!r} cannot name a secret.",
            fix="Use up to 128 letters, digits, '_', '.' and '-', a letter or '_' "
            "first.",
        )
    value = os.environ.get(name) or _from_keyring(name)
    if (file := os.environ.get(NAMES_FILE)) is not None:
        _report(Path(file), name)
    return Secret(value, name)


def _from_keyring(name: str) -> str:
    set_it = f"export {name}=..., or keep it with: keyring set {SERVICE} {name}"
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        raise DependencyError(
            f"No secret {name!r} is in the environment, and no keyring is installed.",
            fix=f"Set it: export {name}=..., or install a keyring: "
            "pip install 'nbmlops[secrets]'.",
        ) from error
    try:
        value = keyring.get_password(SERVICE, name)
    except KeyringError as error:
        raise NotFoundError(
            f"No secret {name!r} is in the environment, and the keyring gave none "
            f"({type(error).__name__}).",
            fix=f"Set it: {set_it}.",
        ) from error
    if not value:
        raise NotFoundError(
            f"No secret {name!r} is in the environment or the keyring.",
            fix=f"Set it: {set_it}.",
        )
    return value


def find_reference(text: str) -> Secret | None:
    """Return the secret that a text like ``secret:NAME`` names."""
    found = _REFERENCE.fullmatch(text)
    return secret(found[1]) if found else None


def is_reference(text: str) -> bool:
    """Return whether a text is like ``secret:NAME``."""
    return _REFERENCE.fullmatch(text) is not None


def _report(file: Path, name: str) -> None:
    try:
        with file.open("a", encoding="ascii") as names:
            names.write(f"{name}\n")
    except OSError:  # its reader has gone
        return


class ChildSecrets:
    """The secrets another process has read, so that they are masked here."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: set[str] = set()

    def update(self) -> None:
        """Look up those that it has read since the last time."""
        if not self._file.exists():
            return
        names = set(self._file.read_text("ascii", "replace").split())
        for name in names - self._known:
            try:
                secret(name)
            except NbmlopsError:  # set in that process alone
                continue
        self._known = names


def remember(value: str) -> None:
    """Mask a value wherever nbmlops writes it, in all its encodings."""
    if value not in _forms:
        for form in _forms_of(value):
            if len(form) >= _SHORTEST:
                _forms[form] = None
        raw = value.encode("utf-8", "surrogatepass")
        if len(raw) >= _SHORTEST:
            _codes.update((code, raw) for code in _codes_of(raw))


def _forms_of(value: str) -> Iterator[str]:
    """Yield a value as written in a program, a document or a URL."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(value)[1:-1].replace("/", "\\/")  # as pandas writes JSON
    yield value.replace('"', '""')  # as in CSV
    yield repr(value)[1:-1]
    yield html.escape(value)
    yield html.escape(value, quote=False)  # as in a table of pandas
    raw = value.encode("utf-8", "surrogatepass")
    yield quote(raw, safe="")
    yield quote(raw)
    yield quote_plus(raw)
    if len(value) >= 2 * _SHORTEST:  # a shorter one is looked for in what is decoded
        yield base64.b64encode(raw).decode().rstrip("=")
    for line in value.splitlines():  # a traceback puts a number before each line
        if len(line) >= _SHORTEST_LINE:
            yield line


def _codes_of(raw: bytes) -> Iterator[str]:
    """Yield the base64 of some bytes that does not depend on their neighbours."""
    for n_before in range(3):
        code = base64.b64encode(bytes(n_before) + raw).decode().rstrip("=")
        is_cut = (n_before + len(raw)) % 3 != 0
        stable = code[(0, 2, 3)[n_before] : len(code) - is_cut]
        yield stable
        yield stable.translate(_URL_SAFE)


def known_codes() -> tuple[tuple[str, bytes], ...]:
    """Return texts that hint at a secret in base64, each with the secret's bytes."""
    return tuple(_codes.items())


def known_forms() -> tuple[str, ...]:
    """Return all texts that stand for a secret this process has read."""
    return tuple(_forms)
