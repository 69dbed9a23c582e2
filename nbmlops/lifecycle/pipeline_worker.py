"""A process that does the steps of pipelines: ``python -m``, by the runner alone."""

from __future__ import annotations

from collections.abc import Callable

from nbmlops.engines.local import serve
from nbmlops.execution.subprocess_run import NotebookTask, run_notebook_task
from nbmlops.lifecycle.pipeline_actions import act
from nbmlops.pipeline.runner.journal_sender import SendTask, deliver
from nbmlops.pipeline.runner.messages import Task
from nbmlops.pipeline.runner.worker import work


def prepare() -> None:
    """Load what steps need, in a process of which workers are forked."""
    import ipykernel.kernelspec  # noqa: F401
    from jupyter_client.provisioning.factory import KernelProvisionerFactory

    from nbmlops.execution import run  # noqa: F401
    from nbmlops.execution.notebooks.html import load
    from nbmlops.store.connection import load_database_code
    from nbmlops.tracking.provenance.environment import installed

    KernelProvisionerFactory.instance()
    load()
    load_database_code()
    installed()


def _work(
    task: Task | NotebookTask | SendTask, tell: Callable[[object], None]
) -> object:
    match task:
        case NotebookTask():
            return run_notebook_task(task, tell)
        case SendTask():
            return deliver(task)
    return work(task, act=act)


if __name__ == "__main__":
    serve(_work)
