"""A process that does the steps of pipelines: ``python -m``, by the runner alone."""

from __future__ import annotations

from collections.abc import Callable

from nbmlops.engines.local import serve
from nbmlops.lifecycle.pipeline_actions import act
from nbmlops.pipeline.beside import Errand, run_errand
from nbmlops.pipeline.courier import Letter, deliver
from nbmlops.pipeline.tasks import Task
from nbmlops.pipeline.working import work


def prepare() -> None:
    """Load what steps need, in a process of which workers are forked."""
    import ipykernel.kernelspec  # noqa: F401
    from jupyter_client.provisioning.factory import KernelProvisionerFactory

    from nbmlops.pipeline import injection, step  # noqa: F401
    from nbmlops.pipeline.html import load
    from nbmlops.store.connection import load_database_code
    from nbmlops.tracking.environment import installed

    KernelProvisionerFactory.instance()
    load()
    load_database_code()
    installed()


def _work(task: Task | Errand | Letter, tell: Callable[[object], None]) -> object:
    match task:
        case Errand():
            return run_errand(task, tell)
        case Letter():
            return deliver(task)
    return work(task, act=act)


if __name__ == "__main__":
    serve(_work)
