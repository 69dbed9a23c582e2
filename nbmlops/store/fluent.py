"""MLflow's own module-level API, pointed at our run while one is open.

So ``mlflow.log_metric`` in a tracked cell reaches the run the user sees.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from nbmlops.entities import RunStatus
from nbmlops.errors import StoreError
from nbmlops.store.connection import Store, answering, prepare_environment
from nbmlops.store.experiments import by_id, experiment_name

if TYPE_CHECKING:
    from mlflow import ActiveRun
    from mlflow.entities import Run


_tracked_into: dict[str, str] = {}
"""The experiment of the run that this process opened last, by the store's URI."""


def note_experiment(store: Store, experiment: str) -> None:
    """Make an experiment the current one: a run was opened in it."""
    _tracked_into[store.uri] = experiment


def current_experiment(store: Store) -> str:
    """Return the experiment in which runs are looked for when none is named.

    It is the one this process tracked into last, else that of `default_experiment`.
    """
    return _tracked_into.get(store.uri) or default_experiment(store)


def default_experiment(store: Store) -> str:
    """Return the experiment of a new run that names none.

    It is the one chosen by ``mlflow.set_experiment``, else the project's own.
    """
    fluent = sys.modules.get("mlflow.tracking.fluent")
    chosen = getattr(fluent, "_active_experiment_id", None)
    if chosen is None:
        return store.settings.experiment
    try:
        return _name_of(store, chosen)
    except StoreError:
        return by_id(chosen)


def has_autolog() -> bool:
    """Return whether the user has turned MLflow's own autolog of scikit-learn on."""
    if "mlflow.utils.autologging_utils" not in sys.modules:
        return False
    from mlflow.utils.autologging_utils import AUTOLOGGING_INTEGRATIONS

    settings = [AUTOLOGGING_INTEGRATIONS.get(name) for name in ("sklearn", "mlflow")]
    return any(given and not given.get("disable", True) for given in settings)


@cache
def _name_of(store: Store, experiment_id: str) -> str:
    return experiment_name(store, experiment_id)


_set_aside: dict[str, str] = {}
"""Experiments chosen with ``mlflow.set_experiment``, by the run open over them."""


@cache
def _provide_experiment() -> None:
    """Have MLflow put a nested run into the experiment of the run it is in."""
    from mlflow.tracking import fluent
    from mlflow.tracking.default_experiment import registry
    from mlflow.tracking.default_experiment.abstract_context import (
        DefaultExperimentProvider,
    )

    class OfOpenRun(DefaultExperimentProvider):
        def in_context(self) -> bool:
            return bool(fluent._active_run_stack.get())

        def get_experiment_id(self) -> str:
            return str(fluent._active_run_stack.get()[-1].info.experiment_id)

    registry._default_experiment_provider_registry.register(OfOpenRun)


def stack(store: Store) -> list[ActiveRun]:
    """Return the runs open in this thread, the innermost last, as MLflow keeps them."""
    prepare_environment()
    import mlflow
    from mlflow.tracking import fluent

    if mlflow.get_tracking_uri() != store.uri:
        mlflow.set_tracking_uri(store.uri)
    found: list[ActiveRun] = fluent._active_run_stack.get()
    return found


def use_runs(store: Store, run_ids: Callable[[], Sequence[str]]) -> None:
    """Have MLflow, just imported, log to runs that were opened before.

    They are looked up when a thread first asks for its active run.
    """
    import mlflow
    from mlflow.tracking import fluent

    def stack_of_thread() -> list[ActiveRun]:
        found = [mlflow.ActiveRun(store.client.get_run(each)) for each in run_ids()]
        if found and fluent._active_experiment_id is None:
            _provide_experiment()
        return found

    mlflow.set_tracking_uri(store.uri)
    fluent._active_run_stack.default_factory = stack_of_thread


def activate(stack: list[ActiveRun], run: Run) -> None:
    """Make a run the one that ``mlflow.log_*`` writes to, in the stack's thread."""
    import mlflow
    from mlflow.tracking import fluent

    _provide_experiment()
    # Not `start_run(run_id=...)`: it refuses a run outside the active experiment.
    stack.append(mlflow.ActiveRun(run))
    chosen, own = fluent._active_experiment_id, run.info.experiment_id
    if chosen not in (None, own):  # by the user, for runs that name none
        _set_aside[run.info.run_id] = chosen
        fluent._active_experiment_id = own


def deactivate(store: Store, run_id: str, status: RunStatus) -> None:
    """Take a run from MLflow's stack; runs left open above it end with ``status``."""
    from mlflow.tracking import fluent

    stack = fluent._active_run_stack.get()
    ids = [run.info.run_id for run in stack]
    if run_id not in ids:
        return
    chosen = _set_aside.pop(run_id, None)
    if chosen and fluent._active_experiment_id == stack[-1].info.experiment_id:
        fluent._active_experiment_id = chosen  # type: ignore[assignment]
    position = ids.index(run_id)
    left_open = ids[position + 1 :]
    del stack[position:]
    with answering(store):
        client = store.client
        client._tracking_client.store.shut_down_async_logging()
        for nested in left_open:
            client.set_terminated(nested, status)
