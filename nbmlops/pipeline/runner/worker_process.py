"""The process that runs steps, notebooks and journals: ``python -m``, by its name.

It is light to import: who starts it needs no more than its name.
"""

from __future__ import annotations

from collections.abc import Callable


def prepare() -> None:
    """Load what steps need, in the process that workers are forked from."""
    import ipykernel.kernelspec  # noqa: F401
    from jupyter_client.provisioning.factory import KernelProvisionerFactory

    from nbmlops.execution import run, subprocess_run  # noqa: F401
    from nbmlops.execution.clients import fork  # noqa: F401
    from nbmlops.execution.notebooks.html import load
    from nbmlops.pipeline.runner import journal_sender, worker  # noqa: F401
    from nbmlops.store.connection import load_database_code
    from nbmlops.tracking.provenance.source import installed

    KernelProvisionerFactory.instance()
    load()
    load_database_code()
    installed()


def _work(task: object, report: Callable[[object], None]) -> object:
    from nbmlops.execution.subprocess_run import NotebookTask, run_notebook_task
    from nbmlops.pipeline.runner.journal_sender import SendTask, send_journal_of
    from nbmlops.pipeline.runner.step_runs import Task
    from nbmlops.pipeline.runner.worker import work

    match task:
        case NotebookTask():
            return run_notebook_task(task, report)
        case SendTask():
            return send_journal_of(task)
        case Task():
            return work(task)
    raise TypeError(type(task))


if __name__ == "__main__":
    from nbmlops.engines.local import serve

    serve(_work)
