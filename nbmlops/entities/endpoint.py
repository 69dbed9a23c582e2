"""An endpoint: where a model version answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

EndpointState = Literal["starting", "ready", "unresponsive", "dead"]
EndpointRole = Literal["champion", "canary", "shadow"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionMetrics:
    """What one version of an endpoint has answered since its process began.

    Attributes
    ----------
    role : EndpointRole
        A ``shadow`` gets copies; nobody sees its answers.
    share : float
        The share of the requests that it answers, 0 to 1.
    n_requests : int
        How many were sent to it.
    n_errors : int
        How many it failed on: status 500 and above.
    n_refused : int
        How many were refused for what was sent: status 400 to 499.
    requests_per_s : float
        Over the last 5 seconds.
    latency_ms_p50, latency_ms_p99 : float or None
        Milliseconds from arrival to answer, interpolated in a histogram: of the last 5
        seconds, of all where there was no request in them; None before the first one.
    """

    version: int
    role: EndpointRole
    share: float
    n_requests: int
    n_errors: int
    n_refused: int
    requests_per_s: float
    latency_ms_p50: float | None
    latency_ms_p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointMetrics:
    """What the versions of an endpoint have answered.

    Attributes
    ----------
    versions : tuple of VersionMetrics
        The champion first, then the canary and the shadow where there are some.
    """

    name: str
    versions: tuple[VersionMetrics, ...]
