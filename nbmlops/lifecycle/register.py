"""From a run to a model version."""

from __future__ import annotations

from nbmlops.entities import ModelVersion, Run
from nbmlops.errors import UsageError
from nbmlops.governance.aliases import move
from nbmlops.governance.audit_log import AuditLog, change
from nbmlops.store import Store, connect
from nbmlops.store.registry import versions
from nbmlops.store.registry.aliases import find_aliases
from nbmlops.store.registry.registered_models import check_names
from nbmlops.store.runs.resolve import resolve_run
from nbmlops.tracking.provenance.replay_notebook import refuse_in_replay
from nbmlops.tracking.sync.sender import flush_pending


def register(
    model: str,
    *,
    run: str | Run = "latest",
    alias: str | None = None,
    experiment: str | None = None,
    store: Store | None = None,
) -> ModelVersion:
    """Register the model of a run, and set an alias on the version.

    Parameters
    ----------
    model : str
        Name of the registered model, made when missing.
    run : str or Run, default="latest"
        A run id, 6 or more of its first characters, ``latest`` (the newest run with a
        model), or ``best:METRIC``, ``best:METRIC:min`` or ``best:METRIC:max`` (the
        best finished run with a model).
    alias : str, optional
        Such as ``champion``; it moves to the new version.
    experiment : str, optional
        Where ``latest`` and ``best:`` look; by default the one this process tracked
        into last, else the one set with ``mlflow.set_experiment``, else the project's.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    ModelVersion
        The new version, or the one this very model was registered as before.

    Raises
    ------
    NotFoundError
        No run fits.
    ConflictError
        Somebody else has just moved the alias; the version is registered.
    UsageError
        The run has no model, or a name is refused.
    """
    if not isinstance(model, str):
        raise UsageError(
            f"A registered model's name is a text, not {model!r}.",
            fix='Write nm.register("credit", run="latest").',
        )
    refuse_in_replay("register models")
    check_names(model, alias)
    flush_pending()
    store = store or connect()
    if isinstance(run, str):
        run = resolve_run(store, run, experiment=experiment, with_model=True)
    seen = find_aliases(store, model).get(alias) if alias is not None else None
    number, is_new = versions.create_version_number(store, model, run)
    if is_new:
        made = change("version registered", model, version=number)
        AuditLog(store.settings).record(made)
    version = versions.get_version(store, model, number)
    if alias is None:
        return version
    return move(store, version, alias, expected=seen)
