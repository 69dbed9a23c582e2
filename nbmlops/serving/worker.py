"""An endpoint's worker: one model version, loaded, tried, and answering on a socket."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from nbmlops.config import Serving
from nbmlops.errors import NbmlopsError
from nbmlops.processes.channel import AsyncChannel, Channel, Document
from nbmlops.serving.app import EndpointApp, Limits
from nbmlops.serving.connections import Connections
from nbmlops.serving.explainer import explain
from nbmlops.serving.files import checked_files
from nbmlops.serving.forward import Canary, Shadow
from nbmlops.serving.http.server import HttpServer
from nbmlops.serving.log import keep_log, redirect
from nbmlops.serving.model import ServedModel, failure, load
from nbmlops.serving.request_log.feedback import Feedback
from nbmlops.serving.request_log.journal import Journal
from nbmlops.serving.request_log.requests import RequestLog

_log = logging.getLogger("nbmlops.serving")
_SNAPSHOT_S = 0.25
_RECONNECT_S = 0.1
_DRAIN_S = 10.0
_EXPLAIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a worker serves, and as what."""

    endpoint: str
    folder: str
    model: str
    version: int
    role: str = "champion"
    trust: tuple[str, ...] = ()
    digest: str = ""
    no_auth: bool = False
    n_threads: int = 1
    max_request_bytes: int = 10_000_000
    serving: Serving = field(default_factory=Serving)
    python: str = ""
    """Of the worker's own environment."""
    explainer: str = ""
    """The module that explains a request in a process of its own."""

    @property
    def model_folder(self) -> Path:
        """The folder of the model's files."""
        return Path(self.folder, "versions", str(self.version), "model")

    @property
    def document(self) -> Document:
        """The spec as JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, document: Document) -> WorkerSpec:
        """Return the spec of a document."""
        trust, serving = tuple(document["trust"]), Serving(**document["serving"])
        return cls(**{**document, "trust": trust, "serving": serving})


def run(
    spec: WorkerSpec,
    listener: socket.socket,
    control: socket.socket,
    reconnect: Callable[[], socket.socket | None],
    connections: Connections | None = None,
) -> int:
    """Serve until stopped, and return the exit code."""
    redirect(Path(spec.folder, "log.txt"))
    keep_log(Path(spec.folder, "log.txt"))
    faulthandler.enable()
    channel = Channel(control)
    target = f"{spec.model}/{spec.version}"
    with ExitStack() as stack:
        try:
            files = stack.enter_context(
                checked_files(
                    spec.model_folder, target, digest=spec.digest, trust=spec.trust
                )
            )
            model = load_version(spec, files)
        except Exception as error:  # noqa: BLE001 - whatever a model raises
            if not isinstance(error, NbmlopsError):
                _log.error("%s does not load", target, exc_info=error)
                error = failure(target, error)
            else:
                _log.error("%s", error)
            channel.send({"type": "failed", "problem": error.problem, "fix": error.fix})
            return 1
        gc.collect()
        gc.freeze()
        worker = Worker(spec, model, listener, reconnect, connections)
        return asyncio.run(worker.serve(control))


def limit_threads(n_threads: int) -> None:
    """Have linear algebra use so many threads, and OpenMP one.

    Threads of OpenMP wait for each other in each call: where other processes use the
    cores, a hundred rows took up to a second. Requests are predicted side by side.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    threadpool_limits({"blas": n_threads, "openmp": 1})


def load_version(spec: WorkerSpec, files: Path) -> ServedModel:
    """Return the model of a version from its checked files."""
    limit_threads(spec.n_threads)
    model = load(
        files,
        name=spec.model,
        version=spec.version,
        trust=spec.trust,
        is_fast=spec.serving.fast,
    )
    inputs = replace(
        model.spec,
        unseen_category=spec.serving.unseen_category,
        out_of_range=spec.serving.out_of_range,
    )
    return replace(model, spec=inputs)


class Worker:
    """Serves one model version, on its own when the supervisor is gone."""

    def __init__(
        self,
        spec: WorkerSpec,
        model: ServedModel,
        listener: socket.socket,
        reconnect: Callable[[], socket.socket | None],
        connections: Connections | None,
    ) -> None:
        self._spec, self._model, self._listener = spec, model, listener
        self._connections = connections
        self._connect = reconnect
        self._app = EndpointApp(
            model,
            endpoint=spec.endpoint,
            token=self._read_token(),
            limits=Limits(
                body_bytes=spec.max_request_bytes, waiting=spec.serving.max_waiting
            ),
            role=spec.role,
            is_batching=spec.serving.batching,
            n_threads=spec.n_threads,
            journal=self._open_log(),
        )
        if spec.explainer:
            self._app.explain = partial(
                explain, spec.explainer, Path(spec.folder), timeout_s=_EXPLAIN_S
            )
        self._peers: dict[int, Document] = {}
        self._app.other_snapshots = self._peers.values
        self._is_stopping = asyncio.Event()
        self._is_accepting = False
        self._closes_idle = spec.role != "champion"
        self._reported: dict[str, Any] = {}

    def _open_log(self) -> Journal:
        folder, serving = Path(self._spec.folder), self._spec.serving
        bounds = {"most_bytes": serving.log_bytes, "most_days": serving.log_days}
        log = None
        if serving.log_share:
            log = RequestLog(
                folder / "requests",
                self._model.spec.columns,
                sample=serving.log_share,
                **bounds,
            )
        return Journal(log=log, feedback=Feedback(folder / "feedback", **bounds))

    def _read_token(self) -> str | None:
        if self._spec.no_auth:
            return None
        return Path(self._spec.folder, "token").read_text("ascii").strip()

    async def serve(self, control: socket.socket) -> int:
        """Answer until stopped; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._is_stopping.set)
        self._server = HttpServer(self._app, self._listener, self._connections)
        self._channel: AsyncChannel | None = AsyncChannel(control)
        self._channel.tell({"type": "ready"})
        tasks = [loop.create_task(self._obey()), loop.create_task(self._report())]
        await self._is_stopping.wait()
        self._server.stop_accepting()
        if self._channel:
            self._channel.tell({"type": "draining"})
        await self._server.drain(_DRAIN_S, closes_idle=self._closes_idle)
        if Path(self._spec.folder, "endpoint.json").exists():  # else it was removed
            await asyncio.to_thread(self._app.journal.close)
        for task in tasks:
            task.cancel()
        if self._channel:
            self._channel.tell({"type": "drained", **self._app.metrics.snapshot()})
        return 0

    async def _obey(self) -> None:
        while True:
            assert self._channel is not None  # noqa: S101 - it is connected
            document = await self._channel.next()
            if document is None:
                self._channel.close()
                self._channel = None
                await self._reconnect()
                continue
            match document["type"]:
                case "accept":
                    self._is_accepting = True
                    self._server.accept()
                case "stop":
                    self._closes_idle |= document.get("closes_idle", False)
                    self._is_stopping.set()
                case "routes":
                    self._set_routes(document)
                case "peer":
                    self._peers.pop(document["pid"], None)
                    if document["snapshot"] is not None:
                        self._peers[document["pid"]] = document["snapshot"]
                case "token":
                    self._app.set_token(self._read_token())

    def _set_routes(self, routes: Document) -> None:
        canary, shadow = routes["canary"], routes["shadow"]
        self._app.set_routes(
            Canary(canary["socket"], canary["share"]) if canary else None,
            Shadow(shadow["socket"]) if shadow else None,
        )

    async def _reconnect(self) -> None:
        """Serve on, and give the listening socket to the next supervisor."""
        if not self._is_accepting:  # it was never current
            self._is_stopping.set()
            await asyncio.Event().wait()
        _log.warning("The supervisor is gone; this worker serves on.")
        while True:
            connection = await asyncio.to_thread(self._connect)
            if connection is not None:
                break
            if not Path(self._spec.folder, "endpoint.json").exists():
                self._is_stopping.set()
            await asyncio.sleep(_RECONNECT_S)
        self._channel = AsyncChannel(connection)
        hello = {"type": "worker", "pid": os.getpid(), "spec": self._spec.document}
        self._channel.tell(hello, [self._listener.fileno()])

    async def _report(self) -> None:
        """Have the supervisor know what has been counted."""
        while True:
            await asyncio.sleep(_SNAPSHOT_S)
            snapshot = self._app.metrics.snapshot()
            if self._channel is not None and snapshot != self._reported:
                self._reported = snapshot
                self._channel.tell({"type": "snapshot", **snapshot})


def main() -> int:
    """Serve what a line on stdin says, where a worker cannot be forked."""
    document = json.loads(sys.stdin.readline())
    listener = socket.socket(fileno=document["listener"])
    control = socket.socket(fileno=document["control"])
    spec = WorkerSpec.read(document["spec"])
    command = document.get("supervisor")
    reconnect = partial(_reconnect, command, Path(spec.folder).parent)
    return run(spec, listener, control, reconnect if command else lambda: None)


def _reconnect(command: list[str], folder: Path) -> socket.socket | None:
    """Return a connection to the next supervisor, which a command starts."""
    subprocess.run(command, check=False, cwd=folder)  # noqa: S603 - our own module
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:  # its own path may be too long for a socket
        connection.connect(f"/proc/self/fd/{opened}/supervisor.sock")
    except OSError:
        connection.close()
        return None
    finally:
        os.close(opened)
    return connection


if __name__ == "__main__":
    sys.exit(main())
