"""Who may ask an endpoint, and the headers of every answer."""

from __future__ import annotations

import hmac
import uuid
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nbmlops._masking import mask
from nbmlops.errors import NbmlopsError
from nbmlops.scoring.request import refusal

_HOSTS = frozenset(("127.0.0.1", "localhost", "::1"))


class AuthMiddleware:
    """Refuse requests without the token or from elsewhere; add our headers."""

    def __init__(self, app: ASGIApp, *, token: str | None, model_version: str) -> None:
        self._app = app
        self._token = None if token is None else f"Bearer {token}".encode()
        self._model_version = model_version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = uuid.uuid4().hex
        scope["request_id"] = request_id

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-model-version"] = self._model_version
            await send(message)

        refused = self._refuse(Headers(scope=scope))
        await (refused or self._app)(scope, receive, with_headers)

    def _refuse(self, headers: Headers) -> JSONResponse | None:
        origin = headers.get("origin")
        if urlsplit(f"//{headers.get('host', '')}").hostname not in _HOSTS or (
            origin is not None and urlsplit(origin).hostname not in _HOSTS
        ):
            return error_answer(
                refusal(
                    "This endpoint answers its own machine alone.",
                    fix="Send it to 127.0.0.1, not from another site's page.",
                    status=403,
                )
            )
        given = headers.get("authorization", "").encode("latin-1")
        if self._token is None or hmac.compare_digest(given, self._token):
            return None
        return error_answer(
            refusal(
                "The bearer token is missing or wrong.",
                fix="Send 'Authorization: Bearer TOKEN'; "
                "nbmlops.endpoint(NAME).token is it.",
                status=401,
            ),
            headers={"www-authenticate": "Bearer"},
        )


def error_answer(
    error: NbmlopsError, *, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return an error as its status and ``{error, message, fix}``."""
    return JSONResponse(
        {
            "error": type(error).__name__,
            "message": mask(error.problem),
            "fix": mask(error.fix),
        },
        status_code=error.status,
        headers=headers,
    )
