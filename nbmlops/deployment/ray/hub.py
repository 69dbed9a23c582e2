"""What the parts of an endpoint tell one another: an actor of Ray."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from typing import Any

from nbmlops.serving.request_log.feedback import Labels
from nbmlops.serving.request_log.requests import LoggedRequest

NAMESPACE = "nbmlops"
Routes = dict[str, Any]
"""Applications by role: ``champion``, ``canary``, ``shadow``; ``share``, ``token``."""
Logged = LoggedRequest | Labels
_MOST_LOGGED = 100_000
_WAIT_S, _ROUTED_S = 10.0, 5.0


class Hub:
    """Routers wait here for routes, and versions report what they have answered.

    What is logged waits here while no supervisor takes it, the newest of it.
    """

    def __init__(self, owner: str) -> None:
        self._owner, self._id = owner, uuid.uuid4().hex
        self._number, self._routes = 0, Routes()
        self._changed = asyncio.Event()
        self._seen: dict[str, tuple[int, float]] = {}
        self._snapshots: dict[str, dict[str, dict[str, Any]]] = {}
        self._logged: deque[Logged] = deque(maxlen=_MOST_LOGGED)

    async def owner(self) -> str:
        """Return whose endpoint it is."""
        return self._owner

    async def set_routes(self, routes: Routes) -> None:
        """Have requests go elsewhere; return when no router goes by other routes."""
        self._routes, self._number = routes, self._number + 1
        apps = set(routes.values())
        self._snapshots = {k: v for k, v in self._snapshots.items() if k in apps}
        self._changed.set()
        self._changed = asyncio.Event()
        until = time.monotonic() + _ROUTED_S
        while any(
            number < self._number and time.monotonic() - at < 2 * _WAIT_S
            for number, at in self._seen.values()
        ):
            if time.monotonic() > until:
                return
            await asyncio.sleep(0.01)

    async def routes(self, router: str = "", number: int = -1) -> tuple[int, Routes]:
        """Return routes, and their number; those of a number are known, so wait."""
        if router:
            self._seen[router] = number, time.monotonic()
        if number == self._number:
            changed = self._changed
            await asyncio.wait([asyncio.create_task(changed.wait())], timeout=_WAIT_S)
        return self._number, self._routes

    async def report(
        self, app: str, replica: str, snapshot: dict[str, Any], logged: list[Logged]
    ) -> tuple[Routes, list[dict[str, Any]]]:
        """Keep what a replica has counted; return the routes, and others' counts."""
        self._logged.extend(logged)
        if app in self._routes.values():
            self._snapshots.setdefault(app, {})[replica] = snapshot
        others = [
            snapshot
            for each, replicas in self._snapshots.items()
            for key, snapshot in replicas.items()
            if (each, key) != (app, replica)
        ]
        return self._routes, others

    async def take(
        self,
    ) -> tuple[str, dict[str, list[dict[str, Any]]], list[Logged]]:
        """Return its id, the counts by application, and what is to be written."""
        logged = list(self._logged)
        self._logged.clear()
        counts = {app: list(found.values()) for app, found in self._snapshots.items()}
        return self._id, counts, logged
