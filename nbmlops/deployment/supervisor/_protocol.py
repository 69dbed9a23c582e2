"""What serves a version, as a supervisor sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from nbmlops.processes.channel import Document
from nbmlops.processes.process_id import ProcessId
from nbmlops.serving.worker import WorkerSpec


class Listener(Protocol):
    """Where requests arrive."""

    def getsockname(self) -> Any:  # noqa: ANN401 - as a socket has it
        """Return host and port."""

    def close(self) -> None:
        """Take no more requests."""


class Worker(Protocol):
    """What serves one version: a process here, or the replicas of a cluster.

    ``ready`` is done when it could answer, ``drains`` is set when no new request comes.
    """

    spec: WorkerSpec
    ready: asyncio.Future[None]
    drains: asyncio.Event
    snapshot: dict[str, Any]
    is_stopping: bool

    @property
    def processes(self) -> tuple[ProcessId, ...]:
        """Its processes on this machine."""

    @property
    def before(self) -> tuple[Document, float]:
        """Its counts as they were some seconds ago, and how many seconds."""

    def accept(self) -> None:
        """Have it take requests."""

    def stop(self) -> None:
        """Have it answer what it has begun, and end."""

    def stopped(self) -> Coroutine[Any, Any, None]:
        """Stop it, and return when it is gone."""

    def killed(self) -> Coroutine[Any, Any, None]:
        """End it now, and return when it is gone."""


L = TypeVar("L", bound=Listener)
W = TypeVar("W", bound=Worker)
