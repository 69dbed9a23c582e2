"""The one handler: who may ask, which thread works, how errors are written."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote_plus

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler
from tornado import web

from nbmlops._masking import mask, secrets_in
from nbmlops.entities import to_json
from nbmlops.errors import NbmlopsError, UsageError, did_you_mean, in_words
from nbmlops.server._request import Request
from nbmlops.server._route import Response, Route
from nbmlops.server._threads import RETRY_AFTER_S, Threads

_log = logging.getLogger(__name__)
_MESSAGES = {
    400: ("The request cannot be read.", "Send it as docs/rest.md says."),
    403: (
        "This needs a signed-in user who is allowed to do it.",
        "Open Jupyter again with its token; a write also needs the X-XSRFToken header.",
    ),
    404: (
        "There is no such route.",
        "See those there are in nbmlops/api/openapi.json.",
    ),
    405: ("The route does not take this method.", "See nbmlops/api/openapi.json."),
}
_UNFORESEEN = (
    "Something in nbmlops went wrong.",
    "See the Jupyter server's log for the cause.",
)


class Handler(APIHandler):
    """Answers the methods of one path by calling the work of its routes."""

    auth_resource = "nbmlops"

    def initialize(self, routes: Mapping[str, Route], threads: Threads) -> None:
        """Take the routes of this path, by method, and the threads to work in."""
        self._routes = routes
        self._threads = threads

    async def prepare(self) -> None:  # type: ignore[override]
        """Check the request as Jupyter does; reading is no sign of a user at work."""
        self._track_activity = self.request.method != "GET"
        await super().prepare()

    @web.authenticated
    async def get(self, *names: str) -> None:
        """Do what the table of routes says for this method."""
        await self.answer(await self.allowed_route(), names)

    post = put = delete = get

    async def allowed_route(self) -> Route:
        """Return the route of the request's method, when the user may take it."""
        method = self.request.method or ""
        route = self._routes.get(method)
        action = route.action if route else "read" if method == "GET" else "write"
        if not await self.may(action):
            raise web.HTTPError(403)
        if route is None:
            raise web.HTTPError(405 if self._routes else 404)
        return route

    async def may(self, action: str) -> bool:
        """Return whether Jupyter's authorizer lets the user do this."""
        return await ensure_async(
            self.authorizer.is_authorized(
                self, self.current_user, action, self.auth_resource
            )
        )

    async def answer(self, route: Route, names: tuple[str, ...]) -> None:
        """Do the route's work in a thread and write what it returns."""
        request = self.read(route, names)

        def work() -> Response:
            found = route.work(request)
            if not isinstance(found, Response):
                found = Response(content=found, status=route.status)
            if isinstance(found.content, bytes | None):
                return found
            text = json.dumps(to_json(found.content), allow_nan=False)
            return replace(found, content=text)

        response = await self._threads.run(route.lane, work, timeout_s=route.timeout_s)
        self.set_status(response.status)
        for name, value in response.headers.items():
            self.set_header(name, value)
        content = response.content or None
        await self.finish(content, set_content_type=response.content_type)

    def read(self, route: Route, names: tuple[str, ...]) -> Request:
        """Return the request, its query checked against the route."""
        known = ("path", *route.query)
        query = {}
        for name in self.request.query_arguments:
            values = self.get_query_arguments(name, strip=False)
            # Jupyter's own: its token, and what tells polling from a user at work.
            if name in ("token", "no_track_activity", "_xsrf"):
                continue
            if name not in known:
                raise UsageError(
                    f"Unknown parameter {name[:80]!r}.{did_you_mean(name, known)}",
                    fix=f"Use {', '.join(known)}.",
                )
            if len(values) > 1:
                raise UsageError(
                    f"{name} is given {len(values)} times.", fix="Give it once."
                )
            query[name] = values[0]
        return Request(
            root=Path(self.settings["server_root_dir"]).expanduser(),
            names=names,
            query=query,
            content=self.request.body,
            content_type=self.request.headers.get("Content-Type", "application/json"),
            fields=route.body,
        )

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Give an error of ours its own status."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if isinstance(error, NbmlopsError):
            status_code = error.status
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write ``{error, message, fix}``; what nobody foresaw stays in the log."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if isinstance(error, NbmlopsError):
            name = type(error).__name__
            message, fix = error.problem, in_words(error.fix)
        else:
            name = "HTTPError" if isinstance(error, web.HTTPError) else "Error"
            message, fix = _MESSAGES.get(status_code, _UNFORESEEN)
        if status_code == 503:
            self.set_header("Retry-After", str(RETRY_AFTER_S))
        answer: dict[str, object] = {
            "error": name,
            "message": self._masked(message),
            "fix": self._masked(fix),
        }
        if fields := getattr(error, "fields", None):
            answer["fields"] = {n: self._masked(text) for n, text in fields.items()}
        self.finish(json.dumps(answer))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log an error of ours in a line, with its cause; the rest with a trace."""
        if isinstance(value, NbmlopsError):
            cause = f" ({value.__cause__!r})" if value.__cause__ else ""
            level = logging.WARNING if value.status >= 500 else logging.INFO
            line = f"{type(value).__name__}: {value}{cause}"
            _log.log(level, "%s", self._masked(line))
        elif isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)
        else:
            trace = "".join(traceback.format_exception(typ, value, tb))
            text = f"{self._request_summary()}\n{trace}"
            _log.error("Uncaught exception %s", self._masked(text))

    def _masked(self, text: str) -> str:
        """Return a text without secrets, nor pieces of those the request holds."""
        asked = unquote_plus(self.request.uri or "")
        sent = self.request.body.decode("utf-8", "replace")
        return mask(text, secrets_in(f"{asked}\n{sent}"))
