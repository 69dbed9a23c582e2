"""The supervisor: it answers who deploys, and keeps endpoints alive."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbmlops.deployment import records
from nbmlops.deployment.records import Canary, Record, Served
from nbmlops.deployment.supervisor.endpoint import RunningEndpoint
from nbmlops.deployment.supervisor.local import LocalEndpoint
from nbmlops.deployment.supervisor.target import DeployTarget
from nbmlops.deployment.supervisor.workers import WorkerProcess, is_alive, reap
from nbmlops.errors import NbmlopsError, NotFoundError
from nbmlops.processes.channel import AsyncChannel, Document
from nbmlops.processes.process_id import ProcessId
from nbmlops.serving.log import keep_log
from nbmlops.serving.worker import WorkerSpec

_log = logging.getLogger("nbmlops.supervisor")
_IDLE_S = 600.0
_TICK_S = 0.5


def main(folder: str, listener_fd: int, target: DeployTarget) -> int:
    """Supervise the endpoints of a folder until there is nothing to do."""
    listener = socket.socket(fileno=listener_fd)
    listener.set_inheritable(False)
    keep_log(records.log_path(Path(folder), target.name))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    target.prepare()
    return asyncio.run(Supervisor(Path(folder), listener, target).serve())


class Supervisor:
    """Answers requests over its socket, each in a task."""

    def __init__(
        self, folder: Path, listener: socket.socket, target: DeployTarget
    ) -> None:
        self._folder, self._listener, self._target = folder, listener, target
        self._endpoints: dict[str, RunningEndpoint[Any, Any]] = {}
        self._is_stopping = asyncio.Event()
        self._follower: int | None = None
        self._handlers: dict[str, Callable[[Document], Awaitable[Document]]] = {
            "deploy": self._deploy,
            "canary": self._begin_canary,
            "shadow": self._begin_shadow,
            "promote": self._promote,
            "abort": self._abort,
            "rollback": self._roll_back,
            "undeploy": self._undeploy,
            "token": self._rotate_token,
            "alias": self._follow,
            "note": self._note,
            "up": self._up,
            "status": self._status,
            "stop": self._stop,
        }

    async def serve(self) -> int:
        """Serve until stopped, or idle."""
        loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        loop.add_signal_handler(signal.SIGTERM, self._is_stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._is_stopping.set)
        loop.add_signal_handler(signal.SIGCHLD, reap)
        for name in records.list_names(self._folder):
            self._spawn(self._restore(name))
        self._listener.setblocking(False)
        loop.add_reader(self._listener.fileno(), self._accept)
        busy_at = loop.time()
        while not self._is_stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_stopping.wait(), _TICK_S)
            if self._endpoints:
                busy_at = loop.time()
            elif loop.time() - busy_at > _IDLE_S:
                break
            await self._forget_removed()
            self._follow_aliases()
        self._end_follower()
        loop.remove_reader(self._listener.fileno())
        self._listener.close()
        records.socket_path(self._folder, self._target.name).unlink(missing_ok=True)
        await asyncio.gather(*(each.leave() for each in self._endpoints.values()))
        return 0

    def _follow_aliases(self) -> None:
        """Have a child follow the aliases, as long as there are some."""
        found = [each.record for each in self._endpoints.values()]
        if any(record and record.alias for record in found):
            if self._follower is None or not is_alive(self._follower):
                self._follower = self._target.start_follower(self._folder)
        else:
            self._end_follower()

    def _end_follower(self) -> None:
        if self._follower is not None:
            with suppress(ProcessLookupError):
                os.kill(self._follower, signal.SIGTERM)
            self._follower = None

    async def _forget_removed(self) -> None:
        """Stop what somebody removed from the disk."""
        for name, endpoint in tuple(self._endpoints.items()):
            is_there = (self._folder / name / "endpoint.json").exists()
            if endpoint.record is not None and not is_there:
                async with endpoint.lock:
                    await endpoint.remove()
                self._endpoints.pop(name, None)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restore(self, name: str) -> None:
        """Take over an endpoint of the supervisor before: its worker, or its port."""
        record = records.find_record(self._folder, name)
        if record is None or record.target != self._target.name:
            return
        endpoint = self._endpoints[name] = self._target.endpoint(self._folder, name)
        async with endpoint.lock:
            try:
                await endpoint.restore(record)
            except NbmlopsError as error:
                _log.error("endpoint %s does not come up: %s", name, error)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            self._spawn(self._answer(AsyncChannel(connection)))

    async def _answer(self, channel: AsyncChannel) -> None:
        document = await channel.next()
        if document is None:
            channel.close()
            return
        if document["type"] == "worker":
            self._adopt(document, channel)
            return
        try:
            answer = await self._handlers[document["type"]](document)
        except NbmlopsError as error:
            answer = {
                "type": "error",
                "error": type(error).__name__,
                "problem": error.problem,
                "fix": error.fix,
            }
        except Exception as error:  # noqa: BLE001 - it answers others all the same
            _log.error("a request failed", exc_info=error)
            problem = f"The supervisor failed: {type(error).__name__}: {error}."
            fix = f"See {records.log_path(self._folder, self._target.name)}."
            answer = {"type": "error", "problem": problem, "fix": fix}
        channel.tell(answer)
        channel.close()

    def _adopt(self, document: Document, channel: AsyncChannel) -> None:
        spec = WorkerSpec.read(document["spec"])
        (fd,) = channel.take_files()
        listener = socket.socket(fileno=fd)
        endpoint = self._endpoints.get(spec.endpoint)
        assert isinstance(endpoint, LocalEndpoint | None)  # noqa: S101 - its target
        process = ProcessId.of(document["pid"])
        if endpoint is None:
            worker = WorkerProcess(spec, process, channel, lambda _: None)
        else:
            worker = WorkerProcess(
                spec, process, channel, endpoint.on_end, endpoint.on_snapshot
            )
        if endpoint is None or not endpoint.adopt(worker, listener):
            worker.stop()
            listener.close()
        elif endpoint.listener is not listener:
            listener.close()

    # -- requests

    async def _deploy(self, document: Document) -> Document:
        wanted = Record.read(document["record"])
        if any(os.environ.get(k) != v for k, v in document["environ"].items()):
            os.environ.update(document["environ"])
            self._end_follower()
        endpoint = self._endpoints.get(wanted.name)
        if endpoint is None:
            endpoint = self._target.endpoint(self._folder, wanted.name)
            self._endpoints[wanted.name] = endpoint
        async with endpoint.lock:
            self._endpoints[wanted.name] = endpoint  # it may just have been removed
            try:
                await endpoint.deploy(wanted, document["timeout_s"])
            except BaseException:
                if endpoint.record is None:
                    del self._endpoints[wanted.name]
                raise
        return {"type": "done"}

    async def _begin_canary(self, document: Document) -> Document:
        canary = Canary.read(document["canary"])
        assert canary is not None  # noqa: S101 - it is asked for
        endpoint = self._find(document["name"])
        async with endpoint.lock:
            await endpoint.rollout.begin_canary(canary, document["timeout_s"])
        return {"type": "done"}

    async def _begin_shadow(self, document: Document) -> Document:
        served = Served.read(document["served"])
        endpoint = self._find(document["name"])
        async with endpoint.lock:
            if served is None:
                await endpoint.rollout.end_shadow()
            else:
                await endpoint.rollout.begin_shadow(served, document["timeout_s"])
        return {"type": "done"}

    async def _promote(self, document: Document) -> Document:
        endpoint = self._find(document["name"])
        async with endpoint.lock:
            await endpoint.promote(document["timeout_s"])
        return {"type": "done"}

    async def _abort(self, document: Document) -> Document:
        endpoint = self._find(document["name"])
        async with endpoint.lock:
            await endpoint.rollout.end_canary("the canary was aborted")
        return {"type": "done"}

    async def _roll_back(self, document: Document) -> Document:
        endpoint = self._find(document["name"])
        async with endpoint.lock:
            await endpoint.roll_back(document["timeout_s"])
        return {"type": "done"}

    async def _undeploy(self, document: Document) -> Document:
        endpoint = self._endpoints.pop(document["name"], None)
        if endpoint is None:
            records.remove(self._folder, document["name"])
        else:
            async with endpoint.lock:
                await endpoint.remove()
        return {"type": "done"}

    async def _rotate_token(self, document: Document) -> Document:
        endpoint = self._find(document["name"])
        async with endpoint.lock:
            endpoint.rotate_token(secrets.token_urlsafe(32))
        return {"type": "done"}

    async def _follow(self, document: Document) -> Document:
        endpoint = self._find(document["name"])
        async with endpoint.lock:
            endpoint.follow(document["alias"])
        return {"type": "done"}

    async def _note(self, document: Document) -> Document:
        endpoint = self._find(document["name"])
        async with endpoint.lock:
            endpoint.note(document["message"])
        return {"type": "done"}

    async def _up(self, _: Document) -> Document:
        for name in records.list_names(self._folder):
            if name not in self._endpoints:
                await self._restore(name)
        for endpoint in self._endpoints.values():
            async with endpoint.lock:  # being restored, or brought up again
                pass
        return {"type": "done"}

    async def _status(self, _: Document) -> Document:
        return {
            "type": "status",
            "pid": os.getpid(),
            "endpoints": {
                name: [
                    {
                        "pid": next((one.pid for one in each.processes), 0),
                        "role": each.spec.role,
                        "snapshot": each.snapshot,
                        "before": each.before,
                    }
                    for each in (*endpoint.workers, *endpoint.rollout.workers.values())
                ]
                for name, endpoint in self._endpoints.items()
            },
        }

    async def _stop(self, _: Document) -> Document:
        self._is_stopping.set()
        return {"type": "done", "pid": os.getpid()}

    def _find(self, name: str) -> RunningEndpoint[Any, Any]:
        if name not in self._endpoints:
            raise NotFoundError(
                f"No endpoint {name[:80]!r}.",
                fix="See those there are with: %endpoints.",
            )
        return self._endpoints[name]
