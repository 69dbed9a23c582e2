"""Subscribers to a project's changes, and the thread that finds them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nbmlops.config import Settings
from nbmlops.server._threads import BusyError
from nbmlops.server.changes import TOPICS, Changes

_TICK_S = 1.0
_MAX_SUBSCRIBERS = 64


class Subscriber:
    """One reader of a project's changes; made and waited for on the event loop."""

    def __init__(self, *, may_write: bool = False) -> None:
        self.may_write = may_write
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._topics: set[str] = set()
        self.is_closed = False

    async def wait(self, timeout_s: float) -> list[str]:
        """Return the topics that changed since the last call; none when time is up."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), timeout_s)
        self._woken.clear()
        topics = [topic for topic in TOPICS if topic in self._topics]
        self._topics.clear()
        return topics

    def notify(self, topics: Iterable[str]) -> None:
        """Add topics that changed; from any thread."""
        with suppress(RuntimeError):  # the loop is closed: the server has stopped
            self._loop.call_soon_threadsafe(self._add, topics)

    def close(self) -> None:
        """End the waiting, now and later; from any thread."""
        self.is_closed = True
        self.notify(())

    def _add(self, topics: Iterable[str]) -> None:
        self._topics.update(topics)
        self._woken.set()


class Watchers:
    """The watched projects: one thread each, while it has a subscriber."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._subscribers: dict[Settings, set[Subscriber]] = {}
        self._polled: set[Settings] = set()

    @property
    def projects(self) -> list[Path]:
        """The projects that are watched now."""
        return [settings.project for settings in self._subscribers]

    @property
    def writable_projects(self) -> list[Path]:
        """Those that are watched by a user who may write to them."""
        with self._lock:
            return [
                settings.project
                for settings, subscribers in self._subscribers.items()
                if any(subscriber.may_write for subscriber in subscribers)
            ]

    @contextmanager
    def subscribe(self, settings: Settings, *, may_write: bool) -> Iterator[Subscriber]:
        """Subscribe to a project's changes."""
        subscriber = Subscriber(may_write=may_write)
        with self._lock:
            if sum(map(len, self._subscribers.values())) >= _MAX_SUBSCRIBERS:
                raise BusyError(
                    f"{_MAX_SUBSCRIBERS} event streams are open already.",
                    fix="Close JupyterLab windows you do not use.",
                )
            if settings in self._polled:
                subscriber.notify(TOPICS)
            if settings not in self._subscribers:
                threading.Thread(
                    target=self._watch,
                    args=(settings,),
                    name="nbmlops watcher",
                    daemon=True,
                ).start()
            self._subscribers.setdefault(settings, set()).add(subscriber)
        try:
            yield subscriber
        finally:
            with self._lock:
                self._subscribers.get(settings, set()).discard(subscriber)

    def stop(self) -> None:
        """End all subscriptions and watching."""
        self._stopping.set()
        with self._lock:
            for subscriber in [
                each for some in self._subscribers.values() for each in some
            ]:
                subscriber.close()

    def _watch(self, settings: Settings) -> None:
        changes = Changes(settings)
        try:
            while not self._stopping.is_set():
                topics = changes.poll()
                with self._lock:
                    self._polled.add(settings)
                    if not self._subscribers[settings]:
                        return
                    for subscriber in self._subscribers[settings] if topics else ():
                        subscriber.notify(topics)
                if settings.project in self.writable_projects:
                    changes.notice_aliases(topics)
                self._stopping.wait(_TICK_S)
        finally:
            changes.close()
            with self._lock:
                self._polled.discard(settings)
                for subscriber in self._subscribers.pop(settings, set()):
                    subscriber.close()  # its reader comes back, to a new watcher
