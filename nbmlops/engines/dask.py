"""Tasks done on a cluster of Dask: a scheduler, or a cluster made for the run."""

from __future__ import annotations

import pickle
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from nbmlops.config import Settings
from nbmlops.engines._protocol import WorkerExited
from nbmlops.engines.dask_task import (
    GONE,
    DaskReply,
    DaskTask,
    began_at,
    call,
    run_task,
    stop_of,
)
from nbmlops.engines.local import TICK_S
from nbmlops.engines.preflight import find_problem, read_machine
from nbmlops.errors import DependencyError, EngineError, UsageError

if TYPE_CHECKING:
    from nbmlops.engines._protocol import Engine

_CONNECT_S = 15.0
_END_S = 40.0  # more than a process takes that is stopped, and then killed
_FIX = "See that the scheduler runs and can be reached, then run it again."


class DaskEngine:
    """Has tasks done by the workers of a Dask cluster, each in a process of its own.

    Nothing is connected to, or started, before the first task.
    """

    def __init__(self, settings: Settings) -> None:
        try:
            import dask.config
            import distributed  # noqa: F401
        except ImportError as error:
            raise DependencyError(
                "The engine 'dask' needs Dask, which is not installed.",
                fix='Install it: pip install "nbmlops[dask]".',
            ) from error
        self._settings = settings
        self._address = settings.dask.address or dask.config.get(
            "scheduler-address", None
        )
        self._cluster: Any = None
        self._mark = settings.home / "pipelines" / "marks" / uuid4().hex
        self._is_stopped = False
        self._gone: dict[str, list[str]] = {}  # workers that were to do a task
        self._threads = ThreadPoolExecutor(1000, thread_name_prefix="nbmlops-dask")
        if not self._address and not settings.dask.cluster:
            raise UsageError(
                "No Dask cluster is named.",
                fix="Set DASK_SCHEDULER_ADDRESS, or `address` or `cluster` in "
                "[tool.nbmlops.dask] of pyproject.toml.",
            )

    @property
    def n_jobs(self) -> int:
        """As many as the workers that are there have threads."""
        with self._asking():
            return sum(self._client.nthreads().values()) or 1

    @property
    def jobs_per_machine(self) -> int:
        """As many as the workers of one machine have threads."""
        found: Counter[str | None] = Counter()
        with self._asking():
            for address, n_threads in self._client.nthreads().items():
                found[urlsplit(address).hostname] += n_threads
        return max(found.values(), default=1)

    def prestart(self, module: str, env: Mapping[str, str]) -> None:
        """Begin nothing: where a worker will be is for Dask to say."""

    def submit(
        self,
        module: str,
        env: Mapping[str, str],
        task: object,
        *,
        limit_s: float | None = None,
    ) -> Future[object]:
        """Have a task done by the next worker of the cluster that is free."""
        key = f"nbmlops-{uuid4().hex}"
        dask_task = DaskTask(
            key=key,
            module=module,
            env=dict(env),
            folder=str(self._settings.project),
            task=pickle.dumps(task),
            limit_s=limit_s,
            mark=str(self._mark),
            machine=self._machine,
            is_store_here=self._is_store_here,
        )
        self._gone[key] = []
        with self._asking():
            future = self._client.submit(
                pickle.loads, call(run_task, dask_task), key=key, pure=False
            )
        return self._threads.submit(self._answer, key, future)

    def _answer(self, key: str, future: Any) -> object:  # noqa: ANN401 - Dask is untyped
        why = self._wait(key, future)
        reply = DaskReply(how=why) if why else _reply(future)
        with suppress(EngineError), self._asking():
            future.cancel()
            if future.status == "finished":
                for name in (key, stop_of(key)):
                    self._event(name).clear()
        if reply.answer is None:
            raise WorkerExited(reply.how, was_late=reply.was_late)
        return pickle.loads(reply.answer)  # noqa: S301 - our own

    def _wait(self, key: str, future: Any) -> str:  # noqa: ANN401
        """Wait until there is a reply; return why there will be none, or ""."""
        is_done = threading.Event()
        future.add_done_callback(lambda _: is_done.set())
        stop_at: float | None = None
        while not is_done.wait(TICK_S):
            with suppress(EngineError), self._asking():
                while self._gone[key]:
                    if self._event(began_at(key, self._gone[key].pop())).is_set():
                        return GONE
                if self._is_stopped and stop_at is None:
                    stop_at = time.monotonic() + _END_S
                    self._event(stop_of(key)).set()
                    if not self._event(key).is_set():
                        return "it was stopped before it began"
            if stop_at is not None and time.monotonic() > stop_at:
                return "the Dask worker did not stop it"
        return ""

    def _event(self, name: str) -> Any:  # noqa: ANN401
        from distributed import Event

        return Event(name, client=self._client)

    def stop(self) -> None:
        """Have all tasks interrupted, and those that wait for a worker dropped."""
        self._is_stopped = True

    def close(self) -> None:
        """Leave the cluster; one that was made for the run ends."""
        self.stop()
        self._threads.shutdown()
        if "_client" in self.__dict__:
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()
        self._mark.unlink(missing_ok=True)

    @property
    def _is_store_here(self) -> bool:
        uri = self._settings.tracking_uri
        return not uri or uri.startswith("sqlite")

    @cached_property
    def _machine(self) -> Any:  # noqa: ANN401 - as it travels
        self._mark.parent.mkdir(parents=True, exist_ok=True)
        self._mark.write_text(uuid4().hex, encoding="utf-8")
        return read_machine(str(self._mark))

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401
        from distributed import Client

        if self._address:
            target = self._address
        else:
            target = self._cluster = _make_cluster(self._settings)
        try:
            client = Client(target, set_as_default=False, timeout=_CONNECT_S)
        except (OSError, ValueError) as error:
            raise EngineError(
                f"No Dask scheduler answers at {target!r}.", fix=_FIX
            ) from error
        try:
            self._check(client)
        except BaseException:
            client.close()
            raise
        client.subscribe_topic("all", self._hear)
        return client

    def _check(self, client: Any) -> None:  # noqa: ANN401
        """Refuse a cluster of which a worker cannot do what is asked of it."""
        mine = self._machine
        with _asking(client):
            asked = call(read_machine, str(self._mark))
            found = client.run(pickle.loads, asked, on_error="return")
        for address, theirs in found.items():
            if isinstance(theirs, BaseException):
                problem: tuple[str, str] | None = (
                    f"It cannot be asked: {type(theirs).__name__}: {theirs}.",
                    "Give workers the environment of this process.",
                )
            else:
                problem = find_problem(mine, theirs, is_store_here=self._is_store_here)
            if problem is not None:
                raise UsageError(
                    f"Dask worker {address} cannot run steps. {problem[0]}",
                    fix=problem[1],
                )

    def _hear(self, event: tuple[float, Any]) -> None:
        """Note, in Dask's thread, that a worker went that was to do some tasks."""
        message = event[1]
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            for key in message["processing-tasks"]:
                if key in self._gone:
                    self._gone[key].append(message["worker"])

    def _asking(self) -> Any:  # noqa: ANN401
        return _asking(self._client)


@contextmanager
def _asking(client: Any) -> Iterator[None]:  # noqa: ANN401
    """Turn the failures of a question to the scheduler into ours."""
    try:
        if client.status not in ("running", "connecting"):
            raise OSError(f"the client is {client.status}")
        yield
    except OSError as error:
        raise EngineError("The Dask scheduler does not answer.", fix=_FIX) from error


def _reply(future: Any) -> DaskReply:  # noqa: ANN401
    """Return the reply of a future that is done."""
    try:
        if future.status == "error":
            error = future.exception()
            return DaskReply(how=f"{type(error).__name__}: {error}")
        found = future.result(timeout=_END_S)
    except (CancelledError, OSError):
        return DaskReply(how="the Dask scheduler is gone, or has dropped it")
    return found if isinstance(found, DaskReply) else DaskReply(how=repr(found))


def _make_cluster(settings: Settings) -> Any:  # noqa: ANN401
    """Return a cluster made by the class that the project names."""
    name = str(settings.dask.cluster)
    module, _, kind = name.rpartition(".")
    try:
        make = getattr(import_module(module), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"[tool.nbmlops.dask] cluster is {name!r}, which cannot be imported.",
            fix="Name an installed class, such as dask_jobqueue.SLURMCluster.",
        ) from error
    cluster = make()
    if settings.dask.workers is not None:
        cluster.scale(settings.dask.workers)
    return cluster


if TYPE_CHECKING:
    _: type[Engine] = DaskEngine
