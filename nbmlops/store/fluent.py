"""MLflow's own module-level API, pointed at our run while one is open.

So ``mlflow.log_metric`` in a tracked cell reaches the run the user sees.
"""

from __future__ import annotations

import sys

from nbmlops.entities import RunStatus
from nbmlops.store.connection import Store, answering, prepare_environment


def current_experiment(store: Store) -> str:
    """Return the experiment of what names none.

    Parameters
    ----------
    store : Store
        The project's.

    Returns
    -------
    str
        The one chosen by ``mlflow.set_experiment``, else the project's own.
    """
    if "mlflow" in sys.modules:
        from mlflow.tracking import fluent

        if fluent._active_experiment_id is not None:
            with answering(store):
                chosen = store.client.get_experiment(fluent._active_experiment_id)
                return str(chosen.name)
    return store.settings.experiment


def has_autolog() -> bool:
    """Return whether the user has turned MLflow's own autolog of scikit-learn on."""
    if "mlflow.utils.autologging_utils" not in sys.modules:
        return False
    from mlflow.utils.autologging_utils import AUTOLOGGING_INTEGRATIONS

    settings = [AUTOLOGGING_INTEGRATIONS.get(name) for name in ("sklearn", "mlflow")]
    return any(given and not given.get("disable", True) for given in settings)


def activate(store: Store, run_id: str) -> None:
    """Make a run the one that ``mlflow.log_*`` writes to, in this thread.

    Parameters
    ----------
    store : Store
        Where the run is.
    run_id : str
        The run.
    """
    prepare_environment()
    import mlflow
    from mlflow.tracking import fluent

    if mlflow.get_tracking_uri() != store.uri:
        mlflow.set_tracking_uri(store.uri)
    with answering(store):
        # Not `start_run(run_id=...)`: it refuses a run outside the active experiment.
        run = mlflow.ActiveRun(store.client.get_run(run_id))
    fluent._active_run_stack.get().append(run)


def deactivate(store: Store, run_id: str, status: RunStatus) -> None:
    """Take a run from MLflow's stack; runs left open above it end with ``status``.

    Parameters
    ----------
    store : Store
        Where the run is.
    run_id : str
        The run that `activate` was given. It is not ended here.
    status : RunStatus
        Status of the nested runs the user's code left open.
    """
    from mlflow.tracking import fluent

    stack = fluent._active_run_stack.get()
    ids = [run.info.run_id for run in stack]
    if run_id not in ids:
        return
    position = ids.index(run_id)
    with answering(store):
        for left_open in ids[position + 1 :]:
            store.client.set_terminated(left_open, status)
    del stack[position:]
