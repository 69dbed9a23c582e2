"""``events``: a stream that says what to read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from tornado import web
from tornado.iostream import StreamClosedError

from nbmlops.config import Settings
from nbmlops.server._base import Handler
from nbmlops.server._request import Request
from nbmlops.server._route import Route, route
from nbmlops.server._threads import Threads
from nbmlops.server.watcher import Subscriber, Watchers

_FIRST_POLL_S = 1.0
_KEEP_ALIVE_S = 15.0


@route("GET", "events", answers=None)
def locate(request: Request) -> Settings:
    """Tell what changes, as server-sent events."""
    return request.settings


class EventsHandler(Handler):
    """Keeps a response open and writes an event into it at every change."""

    _subscriber: Subscriber | None = None

    def initialize(  # type: ignore[override]
        self, routes: Mapping[str, Route], threads: Threads, watchers: Watchers
    ) -> None:
        """Take, besides what every handler gets, who watches the projects."""
        super().initialize(routes, threads)
        self._watchers = watchers

    @web.authenticated
    async def get(self) -> None:
        """Say hello, then what changed, until the reader or the server goes."""
        route = await self.allowed_route()
        settings = await self._threads.run(
            route.lane,
            partial(locate, self.read(route, ())),
            timeout_s=route.timeout_s,
        )
        may_write = await self.may("write")
        with self._watchers.subscribe(settings, may_write=may_write) as subscriber:
            self._subscriber = subscriber
            self.set_header("Content-Type", "text/event-stream")
            self.set_header("Cache-Control", "no-store")
            self.set_header("X-Accel-Buffering", "no")
            with suppress(StreamClosedError):
                # What is read after hello is no older than the first poll.
                await subscriber.wait(_FIRST_POLL_S)
                await self._send("event: hello\ndata: {}\n\n")
                while not subscriber.is_closed:
                    topics = await subscriber.wait(_KEEP_ALIVE_S)
                    data = json.dumps({"topics": topics})
                    await self._send(
                        f"event: changed\ndata: {data}\n\n" if topics else ":\n\n"
                    )

    async def _send(self, text: str) -> None:
        self.write(text)
        await self.flush()

    def on_connection_close(self) -> None:
        """Wake the stream up so that it ends."""
        if self._subscriber:
            self._subscriber.close()
        super().on_connection_close()
