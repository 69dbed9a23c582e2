"""An endpoint: where a model version answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

EndpointState = Literal["starting", "ready", "unresponsive", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint, from its record on disk and its process.

    Attributes
    ----------
    alias : str or None
        The alias it was deployed by; None when deployed by version number.
    url : str
        Base URL; ``/invocations`` is below it.
    state : EndpointState
        ``dead`` when its process is gone, ``unresponsive`` when it does not answer.
    started_at : datetime
        UTC.
    message : str
        Why it is not ready, with the fix; or what happened to it last.
    canary_version, canary_share : int or None, float or None
        The version that answers a share of the requests, between 0 and 1.
    shadow_version : int or None
        The version that gets a copy of each request.
    previous_version : int or None
        The version that a roll-back goes to.
    """

    name: str
    model: str
    version: int
    alias: str | None
    url: str
    port: int
    pid: int
    state: EndpointState
    started_at: datetime
    message: str = ""
    canary_version: int | None = None
    canary_share: float | None = None
    shadow_version: int | None = None
    previous_version: int | None = None
