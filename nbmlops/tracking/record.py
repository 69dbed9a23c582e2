"""A run while it is open: what it is given, and how it ends."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from nbmlops._hashing import set_hash
from nbmlops._masking import mask, recorded
from nbmlops.entities import DatasetVersion, Run, RunStatus, check_key
from nbmlops.errors import NotFoundError, StoreError, UsageError
from nbmlops.store import Store, datasets, embedded, fluent
from nbmlops.store.connection import answering
from nbmlops.store.search import get_run
from nbmlops.tracking.attempts import Facts
from nbmlops.tracking.cost import Meter
from nbmlops.tracking.curves import Curves
from nbmlops.tracking.ending import status_of, uncaught
from nbmlops.tracking.journal import Journal, Opening
from nbmlops.tracking.sender import Kept, sender
from nbmlops.tracking.values import (
    LONGEST_PARAM,
    LONGEST_TAG,
    as_frame,
    as_json,
    shortened,
    to_number,
    to_step,
)

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun


class OpenRun:
    """A run that is being recorded.

    Attributes
    ----------
    store : Store
        Where it is recorded.
    key : str
        ``k`` and 31 hexadecimal digits that name the run from its first moment; its
        tag ``nbmlops.key``.
    name : str
        The run's name.
    experiment : str
        Its experiment.
    metrics : dict of str to float
        The last value of each metric logged through this object.
    params : dict of str to str
        The params logged through this object.
    model_id : str or None
        The last model logged to it.
    error : BaseException or None
        What left its code last, as far as it is known.
    kept : Kept or None
        Why the store does not have all of it, as of the last wait for the store.
    curves : Curves
        The course of each metric, for display; fed by the sender, so a little behind.
    meter : Meter
        What the run takes.
    changes : tuple of str or None
        What changed since the attempt before; None for a first one.
    """

    def __init__(self, store: Store, journal: Journal, opening: Opening) -> None:
        self.store = store
        self.key = opening.key
        self.name = opening.name
        self.experiment = opening.experiment
        self.metrics: dict[str, float] = {}
        self.params: dict[str, str] = {}
        self.model_id: str | None = None
        self.error: BaseException | None = None
        self.kept: Kept | None = None
        self.changes: tuple[str, ...] | None = None
        self._journal = journal
        self._tags = dict(opening.tags)
        self._names: dict[str, str] = {}
        self._last: dict[str, tuple[int, int, str]] = {}
        self._digests: list[str] = []
        self._is_open = True
        self._pid = os.getpid()
        self.curves = Curves()
        self.meter = Meter(store.settings.cost)
        store.load()
        self._stack = fluent.stack(store)
        self._shipment = sender().ship(store, journal, self._when_made)
        self._shipment.delivery.on_metrics = self.curves.add_points
        atexit.register(self._close_at_exit)

    def __repr__(self) -> str:
        return f"<run {self.name!r} {self.run_id}>"

    @property
    def run_id(self) -> str:
        """MLflow's run id; while the store has not answered yet, the run's key."""
        made = self._shipment.run
        return self.key if made is None else str(made.info.run_id)

    @property
    def attempt(self) -> int | None:
        """Which attempt it is, from 1; None while the store has not answered."""
        return self._shipment.delivery.attempt

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of what the store has not, a line each."""
        refused = [f"the store refuses {each}" for each in self._shipment.refused]
        return (*([str(self.kept)] if self.kept else []), *refused)

    def begin(self) -> None:
        """Have the run made in the store.

        Raises
        ------
        UsageError
            The store refuses it.
        StoreError
            The store refuses this user.
        """
        try:
            self.kept = sender().wait_for_run(self._shipment)
        except BaseException:
            self._is_open = False
            atexit.unregister(self._close_at_exit)
            self._journal.spool.remove()
            raise

    def _when_made(self, made: MlflowRun) -> None:
        if self._is_open:
            fluent.activate(self._stack, made)

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
        if not self._is_open:
            self._check_open()
        if type(step) is not int or not -(2**63) <= step < 2**63:
            step = to_step(step)
        now = time.time_ns() // 1_000_000
        lines, numbers = [], {}
        for name, value in metrics.items():
            if name not in self._names:
                check_key(name)
                self._names[name] = json.dumps(name)
            if type(value) is not float:
                value = to_number(name, value)
            text = repr(value) if isfinite(value) else as_json(value)
            last = self._last.get(name)
            at = now
            # MLflow drops a second point of the same time, step and value.
            if last is not None and last[0] >= now and last[1:] == (step, text):
                at = last[0] + 1
            self._last[name] = (at, step, text)
            numbers[name] = value
            lines.append(f'["m",{at},{self._names[name]},{text},{step}]\n')
        if lines:
            self._journal.append("".join(lines).encode())
            self.metrics.update(numbers)

    def log_params(self, /, **params: object) -> None:
        """Add params to the run; a param keeps its first value.

        Parameters
        ----------
        **params : object
            Values by param name, kept as their ``str``. One that MLflow would cut is
            kept whole as an artifact below ``nbmlops/params``.

        Raises
        ------
        UsageError
            A param has another value already, or the run is closed.
        """
        self._check_open()
        texts = {name: recorded(value, name) for name, value in params.items()}
        for name, text in texts.items():
            check_key(name)
            if self.params.get(name, text) != text:
                raise UsageError(
                    f"Param {name!r} is {self.params[name][:80]!r} already and keeps "
                    f"its first value; {text[:80]!r} came later.",
                    fix="Log it under another name, or as a metric with a step.",
                )
        for name, text in texts.items():
            if name not in self.params:
                short = self._fit("params", name, text, LONGEST_PARAM)
                self._journal.add("p", name, short)
                self.params[name] = text

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run.

        Parameters
        ----------
        tags : Mapping of str to str
            Values by tag name, replacing those of the same name.

        Raises
        ------
        UsageError
            A name is refused, or the run is closed.
        """
        self._check_open()
        for name in tags:
            check_key(name)
        for name, value in tags.items():
            short = self._fit("tags", name, recorded(value, name), LONGEST_TAG)
            self._journal.add("t", name, short)
            self._tags[name] = short

    def _fit(self, kind: str, name: str, text: str, longest: int) -> str:
        """Return the text, or its short form when the whole becomes an artifact."""
        whole = f"nbmlops/{kind}/{quote(name, safe=' ')}.txt"
        short = shortened(text, longest, whole)
        if short is None:
            return text
        self.log_bytes(text.encode("utf-8", "surrogatepass"), whole)
        return short

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
        frame = as_frame(data, name)
        described = datasets.describe(frame, name=name, context=context)
        self._journal.add("data", described)
        self._digests.append(described["digest"])
        return DatasetVersion(
            name=name,
            digest=described["digest"],
            n_rows=frame.shape[0],
            n_columns=frame.shape[1],
        )

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
            MLflow's model id; while the store does not answer, the key the model is
            kept under.

        Raises
        ------
        UsageError
            The model cannot be stored without pickle; it says which part.
        StoreError
            No disk has room for it.
        """
        from nbmlops.store.model_files import save_model

        self._check_open()
        with answering(self.store):
            kept = self._journal.keep(lambda at: save_model(model, at, example))
        key = uuid4().hex
        self._journal.add("model", str(kept), name, key)
        self.flush()
        self.model_id = self._shipment.delivery.models.get(key, key)
        return self.model_id

    def log_artifact(self, path: str | Path, folder: str = "") -> None:
        """Copy a file or folder into the run's artifacts.

        Parameters
        ----------
        path : str or Path
            A file, or a folder with all below it; its content now is what counts.
        folder : str, default=""
            Where in the artifacts it goes.

        Raises
        ------
        NotFoundError
            There is no such file.
        StoreError
            No disk has room for the copy.
        """
        self._check_open()
        path = Path(path)
        if not path.exists():
            raise NotFoundError(f"No file {str(path)!r}.", fix="Check the path.")

        def copy(at: Path) -> None:
            if path.is_dir():
                shutil.copytree(path, at / path.name)
            else:
                shutil.copyfile(path, at / path.name)

        self._keep_file(copy, path.name, folder)

    def log_bytes(self, content: bytes, path: str) -> None:
        """Write ``content`` as an artifact.

        Parameters
        ----------
        content : bytes
            The file's content.
        path : str
            The artifact's path.

        Raises
        ------
        StoreError
            No disk has room for it.
        """
        self._check_open()
        folder, _, name = path.rpartition("/")
        self._keep_file(lambda at: (at / name).write_bytes(content), name, folder)

    def _keep_file(
        self, write: Callable[[Path], object], name: str, folder: str
    ) -> None:
        try:
            kept = self._journal.keep(write)
        except OSError as error:
            raise embedded.disk_error(error, self._journal.spool.folder) from error
        self._journal.add("file", str(kept / name), folder)

    def flush(self) -> Kept | None:
        """Wait until the store has all that was logged so far.

        Returns
        -------
        Kept or None
            Why it has not, when it fails or keeps silent; what was logged is kept.
        """
        self.kept = sender().flush(self._shipment)
        return self.kept

    def recorded(self) -> Run | None:
        """Return the run as the store has it, with what others gave it.

        Returns
        -------
        Run or None
            None while the store does not answer.
        """
        if self.flush() is not None:
            return None
        try:
            return get_run(self.store, self.run_id)
        except StoreError:
            return None

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
        ended_at_ms: int | None = None,
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
        ended_at_ms : int, optional
            When the code ended, if that is over, in milliseconds since 1970; what this
            process takes is then no cost of the run.
        """
        if not self._is_open:
            return
        atexit.unregister(self._close_at_exit)
        status = status or status_of(error)
        taken = self.meter.tags()
        tags = taken if ended_at_ms is None else {}
        if self._digests:
            tags["nbmlops.data_hash"] = set_hash(self._digests)
        if error is not None:
            reason = f"{type(error).__name__}: {error}{because}"
            tags["nbmlops.ended_because"] = mask(reason)[:500]
        self.log_tags(tags)
        self.log_tags(self._compared())
        self._is_open = False
        self._journal.add("end", status, ended_at_ms or now_ms())
        try:
            fluent.deactivate(self.store, self.run_id, status)
        finally:
            self.flush()

    def _compared(self) -> dict[str, str]:
        """Return a tag of what changed since the attempt before, where there is one."""
        before = self._shipment.delivery.attempt_before
        if before is None:
            return {}
        facts = Facts.from_tags(self._tags, self.params)
        self.changes = facts.changes_since(before)
        return {"nbmlops.changed": ", ".join(self.changes) or "nothing"}

    def _close_at_exit(self) -> None:
        if os.getpid() == self._pid:  # a fork's exit is not the run's
            self.close(self.error or uncaught())

    def _check_open(self) -> None:
        if not self._is_open:
            raise UsageError(
                f"Run {self.name!r} has ended.", fix="Open a new one to log to."
            )


def now_ms() -> int:
    """Return the time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
