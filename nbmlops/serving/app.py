"""The routes of an endpoint."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as installed_version
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from nbmlops.errors import DeployError, NbmlopsError
from nbmlops.scoring.request import refusal
from nbmlops.serving.auth import AuthMiddleware, error_answer
from nbmlops.serving.model import ServedModel

_log = logging.getLogger(__name__)
_BODY_TIMEOUT_S = 30.0
_MAX_WAITING = 64


def make_app(
    model: ServedModel, *, endpoint: str, token: str | None, max_request_bytes: int
) -> ASGIApp:
    """Return the application that answers for one model version."""
    invocations = _Invocations(model, max_request_bytes=max_request_bytes)
    routes = [
        Route("/invocations", invocations.answer, methods=["POST"]),
        Route("/ping", _ping, methods=["GET"]),
        Route("/health", _ping, methods=["GET"]),
        Route("/version", _version, methods=["GET"]),
    ]
    app = Starlette(
        routes=[Mount(f"/endpoints/{endpoint}", routes=routes)],
        exception_handlers={
            NbmlopsError: _refused,
            HTTPException: _no_route,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    version = quote(f"{model.name}/{model.version}", safe="/ ")
    return AuthMiddleware(app, token=token, model_version=version)


class _Invocations:
    def __init__(self, model: ServedModel, *, max_request_bytes: int) -> None:
        self._model = model
        self._limit = max_request_bytes
        self._waiting = 0
        self._threads = ThreadPoolExecutor(
            max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="predict"
        )

    async def answer(self, request: Request) -> Response:
        if self._waiting >= _MAX_WAITING:
            busy = DeployError(
                "The endpoint is busy.", fix="Send it again in a second."
            )
            busy.status = 503
            return error_answer(busy, headers={"retry-after": "1"})
        self._waiting += 1
        try:
            body = await self._read(request)
            content = await asyncio.get_running_loop().run_in_executor(
                self._threads,
                self._model.answer,
                body,
                request.headers.get("content-type", ""),
            )
        finally:
            self._waiting -= 1
        return Response(content, media_type="application/json")

    async def _read(self, request: Request) -> bytes:
        if request.headers.get("content-encoding", "identity") != "identity":
            raise refusal(
                "A compressed body is not read.", fix="Send it plain.", status=415
            )
        if int(request.headers.get("content-length", "0")) > self._limit:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_TIMEOUT_S):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._limit:
                        raise self._too_large()
        except TimeoutError as error:
            raise refusal(
                f"The body did not arrive within {_BODY_TIMEOUT_S:.0f} s.",
                fix="Send it whole.",
                status=408,
            ) from error
        return bytes(body)

    def _too_large(self) -> NbmlopsError:
        return refusal(
            f"The body is larger than {self._limit} bytes.",
            fix="Send fewer rows at a time, or set max_request_bytes and deploy again.",
            status=413,
        )


async def _ping(_: Request) -> Response:
    return Response("\n", media_type="application/json")


async def _version(_: Request) -> Response:
    return Response(installed_version("mlflow"), media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, NbmlopsError):
        raise error
    # What is left of a body that was not read must not be taken for a request.
    unread = error.status in (408, 413)
    return error_answer(error, headers={"connection": "close"} if unread else None)


async def _no_route(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    problem = f"{request.method} {request.url.path[:200]}: {error.detail}."
    fix = "Use POST /invocations, or GET /ping, /health or /version, below the URL."
    return error_answer(
        refusal(problem, fix=fix, status=error.status_code),
        headers=dict(error.headers or {}),
    )


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)


async def _failed(request: Request, error: Exception) -> Response:
    request_id = request.scope["request_id"]
    _log.error("request %s: the model raised %r", request_id, error)
    failure = DeployError(
        f"The model failed on this request, {request_id}.",
        fix="Look for that id in the endpoint's log.",
    )
    failure.status = 500
    return error_answer(failure)
