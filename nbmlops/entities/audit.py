"""What was changed, by whom and why; which version an alias named, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

AuditAction = Literal[
    "version registered",
    "version deleted",
    "alias moved",
    "alias noticed",
    "rolled back",
    "deployed",
    "undeployed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of the audit log.

    Attributes
    ----------
    at : datetime
        UTC; never before the line above.
    who : str
        The user who made the change; "" when it was noticed and was made elsewhere.
    what : AuditAction
        ``alias noticed`` is a move that another client made before ``at``.
    version, alias, endpoint : int or None, str or None, str or None
        What was changed.
    before, after : int or None
        The version that the alias names or the endpoint serves; None for no version.
    why : str
        The reason that the user gave.
    store : str
        Where the model is registered; "" for the project's embedded store.
    previous, hash : str
        sha256 of the line above, and of this one.
    """

    at: datetime
    who: str
    what: AuditAction
    model: str
    version: int | None
    alias: str | None
    endpoint: str | None
    before: int | None
    after: int | None
    why: str
    store: str
    previous: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFault:
    """A line of the audit log that is not as it was written.

    Attributes
    ----------
    line : int
        Its number, from 1.
    """

    line: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What a check of the audit log found.

    Attributes
    ----------
    head : str
        The hash of the newest line.
    """

    n_lines: int
    head: str
    faults: tuple[AuditFault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasPeriod:
    """The time in which an alias named one version.

    Attributes
    ----------
    version : int or None
        None while the alias was removed.
    since, until : datetime, datetime or None
        UTC; it is until now when None.
    is_noticed : bool
        Whether another client moved it, some time before ``since``.
    """

    version: int | None
    since: datetime
    until: datetime | None
    who: str
    why: str
    is_noticed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasHistory:
    """Which versions an alias named.

    Attributes
    ----------
    version : int or None
        The last of the periods', which is that of now, or of the time asked for.
    periods : tuple of AliasPeriod
        In order of time.
    """

    model: str
    alias: str
    version: int | None
    periods: tuple[AliasPeriod, ...]
