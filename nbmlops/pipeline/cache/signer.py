"""Records signed with the project's key, and the form of a kept result."""

from __future__ import annotations

import hmac
import json
import math
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from nbmlops.errors import UsageError
from nbmlops.secrets import find_reference

_ANY_HEAD = b"nbmlops-sealed-"
_HEAD = _ANY_HEAD + b"2 "
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORTEST = 16  # characters of a key that is given


class EntryError(Exception):
    """A record that cannot be used; its message follows *its result*."""


class Signer:
    """Signs records, and verifies them."""

    def __init__(self, file: Path, reference: str | None = None) -> None:
        self._file = file
        self._key = b""
        given = find_reference(reference) if reference else None
        if given is not None:
            if len(given) < _SHORTEST:
                raise UsageError(
                    f"The key of the cache, {reference}, has {len(given)} characters.",
                    fix=f"Give it {_SHORTEST} or more at random: openssl rand -hex 32",
                )
            self._key = sha256(given.encode()).digest()

    def sign(self, body: Mapping[str, Any]) -> bytes:
        """Return a record as signed bytes; the key is made when there is none."""
        self._key = self._key or self._read() or self._make()
        content = json.dumps(body).encode()
        return b"%s%s\n%s" % (_HEAD, self._mac(content), content)

    def verify(self, signed: bytes) -> dict[str, Any]:
        """Return a record that this key has signed."""
        head, _, content = signed.partition(b"\n")
        self._key = self._key or self._read()
        if head.startswith(_HEAD):
            mac = head.removeprefix(_HEAD)
            if not self._key or not hmac.compare_digest(mac, self._mac(content)):
                raise EntryError("is damaged, or signed with a key of another project")
        return read_unverified(signed)

    def _mac(self, content: bytes) -> bytes:
        return blake2b(content, key=self._key, digest_size=32).hexdigest().encode()

    def _read(self) -> bytes:
        with suppress(OSError):
            text = self._file.read_bytes().strip()
            if re.fullmatch(rb"[0-9a-f]{64}", text):
                return bytes.fromhex(text.decode())
        return b""

    def _make(self) -> bytes:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._file.with_name("key.lock")):
            if key := self._read():
                return key
            draft = self._file.with_name(f".tmp-{secrets.token_hex(8)}")
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(secrets.token_hex(32))
            draft.replace(self._file)
            return self._read()


def read_unverified(signed: bytes) -> dict[str, Any]:
    """Return a record, its signature unchecked: to list it, never to use it."""
    head, _, content = signed.partition(b"\n")
    if signed.startswith((b'{"body"', _ANY_HEAD)) and not head.startswith(_HEAD):
        raise EntryError("is of another format; remove such with: nbmlops cache gc")
    with suppress(ValueError, RecursionError):
        body = json.loads(content) if head.startswith(_HEAD) else None
        if isinstance(body, dict):
            return body
    raise EntryError("is damaged")


def is_entry(body: Mapping[str, Any]) -> bool:
    """Return whether what was read has the form of an entry.

    >>> is_entry({"key": "..", "outputs": {}})
    False
    """
    match body:
        case {
            "key": str(key),
            "pipeline": str(),
            "step": str(),
            "run_id": str(),
            "duration_s": int() | float() as duration_s,
            "made_at": int() | float(),
            "values": dict(),
            "metrics": dict(metrics),
            "outputs": dict(outputs),
        }:
            models = (body.get("model_id"), body.get("model_run_id"))
            return (
                is_sha256(key)
                and math.isfinite(duration_s)
                and all(type(each) in (int, float) for each in metrics.values())
                and all(each is None or isinstance(each, str) for each in models)
                and all(map(_is_file, outputs.values()))
            )
    return False


def _is_file(kept: object) -> bool:
    match kept:
        case {"sha256": str(digest), "size": int(), "mode": int(mode)}:
            return is_sha256(digest) and 0 <= mode <= 0o777
    return False


def is_sha256(text: str) -> bool:
    """Return whether a text is a digest."""
    return _SHA256.fullmatch(text) is not None
