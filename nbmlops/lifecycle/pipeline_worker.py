"""A process that does the steps of pipelines: ``python -m``, by the runner alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nbmlops.engines.local import serve
from nbmlops.errors import UsageError
from nbmlops.pipeline.beside import Errand, run_errand
from nbmlops.pipeline.courier import Letter, deliver
from nbmlops.pipeline.tasks import Task
from nbmlops.pipeline.working import work
from nbmlops.store import Store


def act(task: Task, store: Store) -> Mapping[str, object]:
    """Do what a step without a notebook is for.

    Parameters
    ----------
    task : Task
        Its step has an action, and ``source`` is the step that it is about.
    store : Store
        Where the model is.

    Returns
    -------
    Mapping of str to object
        The step's values: ``model`` and ``version``, for a deploy ``url``, too.
    """
    from nbmlops.lifecycle import deploy, register
    from nbmlops.store.search import get_run

    action, source = task.step.action, task.source
    assert action is not None  # noqa: S101
    options = dict(action.options)
    if action.kind == "register":
        if source is None or source.model_run_id is None:
            raise UsageError(
                f"Step {action.source!r} logged no model to register.",
                fix="Log one in its notebook: run.log_model(model, X).",
            )
        run = get_run(store, source.model_run_id)
        alias = options.get("alias")
        version = register(
            str(options["model"]),
            run=run,
            alias=None if alias is None else str(alias),
            store=store,
        )
        return {"model": version.model, "version": version.version}
    target = options.get("model")
    if source is not None:
        target = f"{source.values['model']}/{source.values['version']}"
    port = options.get("port")
    handle = deploy(
        str(target),
        name=str(options["endpoint"]),
        port=port if isinstance(port, int) else None,
        store=store,
    )
    return {"model": str(target), "url": handle.url}


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
