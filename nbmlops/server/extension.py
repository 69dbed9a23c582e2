"""What the Jupyter server loads."""

from __future__ import annotations

import re
from pathlib import Path

from jupyter_server.extension.application import ExtensionApp

from nbmlops.server import openapi, resources  # noqa: F401 - they add their routes
from nbmlops.server._base import Handler
from nbmlops.server._route import ROUTES
from nbmlops.server._threads import Threads
from nbmlops.server.events import EventsHandler
from nbmlops.server.recovery import Reaper
from nbmlops.server.watcher import Watchers

PREFIX = "nbmlops/api/"


class Extension(ExtensionApp):
    """Adds the routes to the server; ends what they left running with it."""

    name = "nbmlops"

    def initialize_handlers(self) -> None:
        """Add a handler for each path, and one that knows no path."""
        self.threads = Threads()
        self.watchers = Watchers()
        root = Path(self.settings["server_root_dir"]).expanduser()
        self.reaper = Reaper(lambda: [root, *self.watchers.writable_projects])
        by_path = {route.path: route for route in ROUTES}
        for path in by_path:
            routes = {route.method: route for route in ROUTES if route.path == path}
            given = {"routes": routes, "threads": self.threads}
            pattern = PREFIX + re.sub(r"\{\w+\}", "([^/]+)", path)
            if path == "events":
                watched = given | {"watchers": self.watchers}
                self.handlers.append((pattern, EventsHandler, watched))
            else:
                self.handlers.append((pattern, Handler, given))
        nothing = {"routes": {}, "threads": self.threads}
        self.handlers.append((PREFIX + "(.*)", Handler, nothing))

    async def stop_extension(self) -> None:
        """End the event streams and the threads."""
        self.reaper.stop()
        self.watchers.stop()
