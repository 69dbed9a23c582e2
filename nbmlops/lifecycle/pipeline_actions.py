"""What steps that register and deploy do, and whether it is still so.

It is light to import, since a plan needs it: what acts is imported when it acts.
"""

from __future__ import annotations

from collections.abc import Mapping

from nbmlops.config import Settings
from nbmlops.entities import Action, StepReport
from nbmlops.errors import NotFoundError, StoreError, UsageError
from nbmlops.pipeline.runner.step_runs import Task
from nbmlops.store import Store, connect


def run_action(task: Task, store: Store) -> Mapping[str, object]:
    """Do what a step without a notebook is for."""
    action, source = task.step.action, task.action_source
    assert action is not None  # noqa: S101
    options = dict(action.options)
    if action.kind == "register":
        from nbmlops.lifecycle.register import register
        from nbmlops.store.runs.queries import get_run

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
    from nbmlops.lifecycle.deploy import deploy

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


def find_gap(
    action: Action,
    source: StepReport | None,
    values: Mapping[str, object],
    settings: Settings,
    store: Store | None,
) -> str:
    """Return what has changed since a step registered or deployed, or ""."""
    try:
        if action.kind == "register":
            return _registry_gap(action, source, values, store or connect(settings))
        return _endpoint_gap(action, source, values, settings, store)
    except StoreError as error:
        return f"whether it still holds is not known: {error.problem}"


def _registry_gap(
    action: Action,
    source: StepReport | None,
    values: Mapping[str, object],
    store: Store,
) -> str:
    from nbmlops.store.registry.registered_models import get_model
    from nbmlops.store.registry.versions import find_version

    name, number = str(values.get("model")), values.get("version")
    alias = action.options.get("alias")
    found = find_version(store, name, number) if isinstance(number, int) else None
    if found is None:
        return f"version {number} of {name!r} is gone"
    if source is not None and found.model_id != source.model_id:
        return f"version {number} of {name!r} is another model"
    at = get_model(store, name).aliases.get(str(alias))
    if alias is None or at == number:
        return ""
    return f"alias {alias!r} is {'not set' if at is None else f'at version {at}'}"


def _endpoint_gap(
    action: Action,
    source: StepReport | None,
    values: Mapping[str, object],
    settings: Settings,
    store: Store | None,
) -> str:
    from nbmlops.deployment.endpoints import get_endpoint
    from nbmlops.store.registry.versions import resolve_version

    name = str(action.options["endpoint"])
    try:
        endpoint = get_endpoint(settings, name)
    except NotFoundError:
        endpoint = None
    if endpoint is None or endpoint.state != "ready":
        return f"endpoint {name!r} does not answer"
    if source is not None:
        wanted = f"{source.values.get('model')}/{source.values.get('version')}"
    else:
        target = str(action.options["model"])
        try:
            version, _ = resolve_version(store or connect(settings), target)
        except NotFoundError as error:
            return error.problem.rstrip(".")
        wanted = f"{version.model}/{version.version}"
    if (served := f"{endpoint.model}/{endpoint.version}") != wanted:
        return f"endpoint {name!r} answers with {served}, not {wanted}"
    if endpoint.url != values.get("url"):
        return f"endpoint {name!r} is at {endpoint.url} now"
    return ""
