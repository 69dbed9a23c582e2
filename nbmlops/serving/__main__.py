"""An endpoint's process: ``python -m nbmlops.serving FOLDER --fd N``."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import json
import logging
import os
import socket
import sys
from pathlib import Path

from nbmlops.errors import NbmlopsError
from nbmlops.serving.log import keep_log

_log = logging.getLogger("nbmlops.serving")
_WATCH_S = 1.0


def main(argv: list[str] | None = None) -> int:
    """Serve the model of a folder until stopped, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nbmlops.serving")
    parser.add_argument("folder", type=Path, help="holds spec.json, token and model/")
    parser.add_argument("--fd", type=int, required=True, help="a listening socket")
    parser.add_argument("--no-auth", action="store_true", help="ask for no token")
    parser.add_argument(
        "--wait", action="store_true", help="load the model after a line on stdin"
    )
    parser.add_argument(
        "--trust", action="append", default=[], help="a module whose code may run"
    )
    options = parser.parse_args(argv)
    listener = socket.socket(fileno=options.fd)
    listener.set_inheritable(False)
    faulthandler.enable()
    keep_log(options.folder / "log.txt")
    try:
        return _serve(options, listener)
    except NbmlopsError as error:
        _log.error("%s", error)
        said = json.dumps({"problem": error.problem, "fix": error.fix})
        (options.folder / "refusal.json").write_text(said, encoding="utf-8")
        return 1


def _serve(options: argparse.Namespace, listener: socket.socket) -> int:
    gc.disable()  # nothing of what the imports make is garbage
    # All that any model needs, while the deployer still fetches the files of this one.
    import skops.io  # noqa: F401
    import uvicorn

    from nbmlops.serving.app import make_app
    from nbmlops.serving.model import load

    if options.wait and not sys.stdin.readline():
        return 1
    folder: Path = options.folder
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    token = None if options.no_auth else (folder / "token").read_text("ascii").strip()
    model = load(
        folder / "model",
        name=spec["model"],
        version=spec["version"],
        trust=tuple(options.trust),
    )
    app = make_app(
        model,
        endpoint=spec["name"],
        token=token,
        max_request_bytes=spec["max_request_bytes"],
    )
    gc.freeze()
    gc.enable()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="off",
            loop="asyncio",
            http="h11",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
    )
    asyncio.run(_run(server, listener, folder, spec["name"]))
    return 0


async def _run(server, listener: socket.socket, folder: Path, name: str) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001 - uvicorn is imported late
    watch = asyncio.create_task(_stop_when_disowned(server, folder, name))
    await server.serve(sockets=[listener])
    watch.cancel()


async def _stop_when_disowned(server, folder: Path, name: str) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Stop an endpoint that no record names: its deployer died, or it was replaced."""
    parent = os.getppid()
    was_named = False
    while True:
        await asyncio.sleep(_WATCH_S)
        is_named = _is_named(folder, name)
        if not is_named and (was_named or os.getppid() != parent):
            _log.info("No record names this endpoint: it stops.")
            server.should_exit = True
            return
        was_named = is_named


def _is_named(folder: Path, name: str) -> bool:
    try:
        return (folder.parent / name).readlink().name == folder.name
    except FileNotFoundError:
        return False
    except OSError:
        return True


if __name__ == "__main__":
    sys.exit(main())
