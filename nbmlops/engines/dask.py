"""Tasks done on a cluster of Dask: a scheduler, or a cluster made for the run."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from nbmlops.config import Settings
from nbmlops.engines.dask_submission import FIX, Submission, asking
from nbmlops.engines.dask_task import DaskTask, call
from nbmlops.engines.preflight import find_problem, read_machine
from nbmlops.errors import DependencyError, EngineError, UsageError

if TYPE_CHECKING:
    from nbmlops.engines._protocol import Engine

_CONNECT_S = 15.0


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
        self._submissions: list[Submission] = []
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
        with asking(self._client):
            return sum(self._client.nthreads().values()) or 1

    @property
    def jobs_per_machine(self) -> int:
        """As many as the workers of one machine have threads."""
        found: Counter[str | None] = Counter()
        with asking(self._client):
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
        dask_task = DaskTask(
            key=f"nbmlops-{uuid4().hex}",
            module=module,
            env=dict(env),
            folder=str(self._settings.project),
            task=pickle.dumps(task),
            limit_s=limit_s,
            mark=str(self._mark),
            machine=self._machine,
            is_store_here=self._is_store_here,
        )
        submission = Submission(self._client, dask_task)
        self._submissions.append(submission)
        return self._threads.submit(submission.result)

    def stop(self) -> None:
        """Have all tasks interrupted, and those that wait for a worker dropped."""
        for submission in self._submissions:
            submission.stop()

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
    def _client(self) -> Any:  # noqa: ANN401 - Dask is untyped
        from distributed import Client

        if self._address:
            target = self._address
        else:
            target = self._cluster = _make_cluster(self._settings)
        try:
            client = Client(target, set_as_default=False, timeout=_CONNECT_S)
        except (OSError, ValueError) as error:
            raise EngineError(
                f"No Dask scheduler answers at {target!r}.", fix=FIX
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
        with asking(client):
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
        message = event[1]
        if isinstance(message, dict) and message.get("action") == "remove-worker":
            for submission in self._submissions:
                submission.note_gone(message["worker"], message["processing-tasks"])


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
