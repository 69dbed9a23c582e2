"""A run while it is open, and how it ends."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nbmlops._hashing import set_hash
from nbmlops._masking import mask, recorded
from nbmlops.entities import DatasetVersion, RunStatus, check_key
from nbmlops.errors import UsageError
from nbmlops.store import Store, artifacts, connect, datasets, fluent, runs
from nbmlops.tracking.cost import Meter
from nbmlops.tracking.ending import status_of, uncaught
from nbmlops.tracking.environment import installed
from nbmlops.tracking.owner import owner
from nbmlops.tracking.source import source_tags

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["cell", "session", "step"]


def open_run(
    store: Store | None = None,
    *,
    name: str,
    kind: Kind = "session",
    experiment: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    notebook: str | None = None,
) -> OpenRun:
    """Open a run that this process owns.

    Parameters
    ----------
    store : Store, optional
        Where to record it; the project's store by default.
    name : str
        The run's name.
    kind : {"cell", "session", "step"}, default="session"
        Value of the tag ``nbmlops.kind``.
    experiment : str, optional
        By default the one chosen with ``mlflow.set_experiment``, else the project's.
    params : Mapping of str to object, optional
        Params known from the start.
    tags : Mapping of str to str, optional
        Tags beside those every run carries.
    notebook : str, optional
        Path of the notebook, when the caller knows it.

    Returns
    -------
    OpenRun
        It must be closed; at exit of the process it closes itself.

    Raises
    ------
    UsageError
        MLflow refuses a name or a value.
    StoreError
        The store cannot be reached or written.
    """
    for key in (*(params or ()), *(tags or ())):
        check_key(key)
    store = store or connect()
    packages = installed()
    carried = {
        **source_tags(store.settings.project, notebook=notebook, environ=os.environ),
        "nbmlops.kind": kind,
        "nbmlops.kernel": owner(),
        "nbmlops.environment_hash": set_hash(packages),
        **{key: recorded(value, key) for key, value in (tags or {}).items()},
    }
    name = mask(name)
    experiment = experiment or fluent.current_experiment(store)
    run_id = runs.create_run(store, name=name, experiment=experiment, tags=carried)
    run = OpenRun(store, run_id, name=name, experiment=experiment)
    try:
        run.log_params(**(params or {}))
        listed = "\n".join([*packages, ""])
        run.log_bytes(listed.encode(), "nbmlops/environment.txt")
    except BaseException as error:
        run.close(error)
        raise
    return run


def to_number(name: str, value: Any) -> float:  # noqa: ANN401 - whatever was measured
    """Return a metric's value as a number.

    Parameters
    ----------
    name : str
        The metric's name.
    value : object
        A number of any kind, NaN and the infinities included.

    Returns
    -------
    float
        The value.

    Raises
    ------
    UsageError
        The name is refused, or the value is not a number.
    """
    check_key(name)
    try:
        if isinstance(value, str | bytes):
            raise TypeError("text")
        return float(value)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"Metric {name!r} is {value!r}, which is not a number.",
            fix="Log numbers as metrics and text as params or tags.",
        ) from error


class OpenRun:
    """A run that is being recorded.

    Attributes
    ----------
    store : Store
        Where it is recorded.
    run_id : str
        MLflow's run id.
    name : str
        The run's name.
    experiment : str
        Its experiment.
    metrics : dict of str to float
        The last value of each metric logged through this object.
    model_id : str or None
        The last model logged to it.
    error : BaseException or None
        What left its code last, as far as it is known.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        *,
        name: str,
        experiment: str,
    ) -> None:
        self.store = store
        self.run_id = run_id
        self.name = name
        self.experiment = experiment
        self.metrics: dict[str, float] = {}
        self.model_id: str | None = None
        self._digests: list[str] = []
        self.error: BaseException | None = None
        self._is_open = True
        self._pid = os.getpid()
        self._meter = Meter()
        fluent.activate(store, run_id)
        atexit.register(self._close_at_exit)

    def __repr__(self) -> str:
        return f"<run {self.name!r} {self.run_id}>"

    def log(self, /, *, step: int = 0, **metrics: float) -> None:
        """Append metrics to the run.

        Parameters
        ----------
        step : int, default=0
            Step the values belong to.
        **metrics : float
            Values by metric name.

        Raises
        ------
        UsageError
            A name or a value is refused, or the run is closed.
        """
        self.log_metrics(metrics, step=step)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Append metrics to the run, whatever their names.

        Parameters
        ----------
        metrics : Mapping of str to float
            Values by metric name.
        step : int, default=0
            Step the values belong to.

        Raises
        ------
        UsageError
            A name or a value is refused, or the run is closed.
        """
        numbers = {key: to_number(key, value) for key, value in metrics.items()}
        self._check_open()
        if numbers:
            runs.log_values(self.store, self.run_id, metrics=numbers, step=step)
        self.metrics.update(numbers)

    def log_params(self, /, **params: object) -> None:
        """Add params to the run; a param keeps its first value.

        Parameters
        ----------
        **params : object
            Values by param name, kept as their ``str``.

        Raises
        ------
        UsageError
            A param has another value already, or the run is closed.
        """
        for key in params:
            check_key(key)
        self._check_open()
        if params:
            written = {key: recorded(value, key) for key, value in params.items()}
            runs.log_values(self.store, self.run_id, params=written)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run.

        Parameters
        ----------
        tags : Mapping of str to str
            Values by tag name, replacing those of the same name.
        """
        self._check_open()
        written = {key: recorded(value, key) for key, value in tags.items()}
        runs.log_values(self.store, self.run_id, tags=written)

    def log_dataset(
        self, data: object, *, name: str = "data", context: str = ""
    ) -> DatasetVersion:
        """Record which data the run used, by its full content.

        Parameters
        ----------
        data : DataFrame, Series or ndarray
            The data; it is not stored, only named by its digest.
        name : str, default="data"
            Name of the dataset.
        context : str, default=""
            What it was used for, such as ``training``.

        Returns
        -------
        DatasetVersion
            Its digest and size.

        Raises
        ------
        UsageError
            It cannot be seen as a table.
        """
        self._check_open()
        dataset = datasets.log_dataset(
            self.store, self.run_id, _as_frame(data, name), name=name, context=context
        )
        self._digests.append(dataset.digest)
        return dataset

    def log_model(
        self, model: object, example: object = None, *, name: str = "model"
    ) -> str:
        """Store a fitted estimator as the run's model.

        Parameters
        ----------
        model : estimator
            A fitted scikit-learn estimator or pipeline.
        example : DataFrame or ndarray of shape (n_samples, n_features), optional
            Data it was fitted on: gives the signature and the input example, without
            which it cannot be deployed.
        name : str, default="model"
            Name of the logged model.

        Returns
        -------
        str
            MLflow's model id.

        Raises
        ------
        UsageError
            The model cannot be stored without pickle; it says which part.
        """
        from nbmlops.store.models import log_model

        self._check_open()
        self.model_id = log_model(self.store, self.run_id, model, example, name=name)
        return self.model_id

    def log_artifact(self, path: str | Path, folder: str = "") -> None:
        """Copy a file or folder into the run's artifacts.

        Parameters
        ----------
        path : str or Path
            A file, or a folder with all below it.
        folder : str, default=""
            Where in the artifacts it goes.

        Raises
        ------
        NotFoundError
            There is no such file.
        """
        self._check_open()
        artifacts.log_file(self.store, self.run_id, Path(path), folder)

    def log_bytes(self, content: bytes, path: str) -> None:
        """Write ``content`` as an artifact.

        Parameters
        ----------
        content : bytes
            The file's content.
        path : str
            The artifact's path.
        """
        self._check_open()
        artifacts.log_bytes(self.store, self.run_id, content, path)

    def note_error(self, error: BaseException | None) -> None:
        """Remember how the code fares, for the case that nobody closes the run.

        Parameters
        ----------
        error : BaseException or None
            What left the code last; None when it went well.
        """
        self.error = error

    def close(
        self,
        error: BaseException | None = None,
        *,
        because: str = "",
        status: RunStatus | None = None,
    ) -> None:
        """End the run with the status its code has earned.

        Parameters
        ----------
        error : BaseException or None, optional
            What left the code; None when it came to its end.
        because : str, default=""
            Where it happened, added to the tag ``nbmlops.ended_because``.
        status : RunStatus, optional
            What the code has earned, where ``error`` alone does not tell.
        """
        if not self._is_open:
            return
        self._is_open = False
        atexit.unregister(self._close_at_exit)
        status = status or status_of(error)
        tags = self._meter.tags()
        if self._digests:
            tags["nbmlops.data_hash"] = set_hash(self._digests)
        if error is not None:
            reason = mask(f"{type(error).__name__}: {error}{because}")
            tags["nbmlops.ended_because"] = reason[:500]
        fluent.deactivate(self.store, self.run_id, status)
        runs.end_run(self.store, self.run_id, status, tags=tags)

    def _close_at_exit(self) -> None:
        if os.getpid() == self._pid:  # a fork's exit is not the run's
            self.close(self.error or uncaught())

    def _check_open(self) -> None:
        if not self._is_open:
            raise UsageError(
                f"Run {self.name!r} has ended.", fix="Open a new one to log to."
            )


def _as_frame(data: Any, name: str) -> pd.DataFrame:  # noqa: ANN401
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    try:
        frame = pd.DataFrame(data)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"Dataset {name!r} is a {type(data).__name__}, not a table.",
            fix="Give a DataFrame, a Series or a two-dimensional array.",
        ) from error
    frame.columns = frame.columns.map(str)
    return frame
