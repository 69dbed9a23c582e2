"""A model in the foreground: ``python -m nbmlops.serving FOLDER``, in a container.

FOLDER holds ``model/`` and ``served.json``. The bearer token is in the environment.
There is no supervisor: who runs the container starts it again, and stops it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nbmlops.config import Serving
from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.serving.app import EndpointApp, Limits
from nbmlops.serving.http.server import HttpServer
from nbmlops.serving.model import load
from nbmlops.serving.worker import limit_threads

TOKEN = "NBMLOPS_ENDPOINT_TOKEN"  # noqa: S105 - the name of a variable
_DRAIN_S = 10.0
_log = logging.getLogger("nbmlops.serving")


def main(words: Sequence[str] | None = None) -> int:
    """Serve until stopped, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nbmlops.serving")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--no-auth", action="store_true")
    options = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        token = None if options.no_auth else _token()
        app = _app(options.folder, token, is_public=options.host not in _LOOPBACK)
    except NbmlopsError as error:
        sys.stderr.write(f"{error.problem}\n{error.fix}\n")
        return 1
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.create_server((options.host, options.port), family=family)
    gc.collect()
    gc.freeze()
    asyncio.run(_serve(app, listener))
    return 0


_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _token() -> str:
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UsageError(
            f"{TOKEN} is not set, and requests need a token.",
            fix=f"Set {TOKEN}, or serve without one: --no-auth.",
        )
    return token


def _app(folder: Path, token: str | None, *, is_public: bool) -> EndpointApp:
    n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    limit_threads(n_threads)
    served = json.loads((folder / "served.json").read_text("utf-8"))
    serving = Serving(**served["serving"])
    model = load(
        folder / "model",
        name=served["model"],
        version=served["version"],
        trust=tuple(served["trust"]),
        is_fast=serving.fast,
    )
    inputs = replace(
        model.spec,
        unseen_category=serving.unseen_category,
        out_of_range=serving.out_of_range,
    )
    return EndpointApp(
        replace(model, spec=inputs),
        endpoint=served["endpoint"],
        token=token,
        limits=Limits(
            body_bytes=served["max_request_bytes"], waiting=serving.max_waiting
        ),
        is_batching=serving.batching,
        n_threads=n_threads,
        is_public=is_public,
    )


async def _serve(app: EndpointApp, listener: socket.socket) -> None:
    is_stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, is_stopping.set)
    server = HttpServer(app, listener)
    server.accept()
    _log.info("listening on port %d", listener.getsockname()[1])
    await is_stopping.wait()
    await server.drain(_DRAIN_S, closes_idle=True)


if __name__ == "__main__":
    sys.exit(main())
