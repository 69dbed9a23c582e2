"""What a run is given, written to its journal."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path, PurePosixPath
from urllib.parse import quote
from uuid import uuid4

from nbmlops._masking import mask_value
from nbmlops.entities import DatasetVersion, check_key
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store import datasets, embedded
from nbmlops.tracking.journal.clock import RunClock, elapsed_ns
from nbmlops.tracking.journal.reader import JournalReader, RunHeader
from nbmlops.tracking.journal.records import frame
from nbmlops.tracking.journal.writer import Journal
from nbmlops.tracking.run.pruning import PruningReporter
from nbmlops.tracking.run.values import (
    LONGEST_PARAM,
    LONGEST_TAG,
    as_json,
    check_artifact_path,
    shortened,
    to_number,
    to_step,
)


class RunWriter:
    """What an open run is given, in the journal before a call returns.

    Attributes
    ----------
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
    own_code : str
        The notebook's own code that was stored with the last model; empty without any.
    clock : RunClock
        The time, as it counts in this run.
    not_served : str or None
        Why the model that was kept last cannot be deployed, though it had an example.
    """

    def __init__(self, journal: Journal, header: RunHeader) -> None:
        self.key = header.key
        self.name = header.name
        self.experiment = header.experiment
        self.metrics: dict[str, float] = {}
        self.params: dict[str, str] = {}
        self.own_code = ""
        self._journal = journal
        self._tags = dict(header.tags)
        self._names: dict[str, str] = {}
        self._last: dict[str, tuple[int, int, str]] = {}
        self._digests: list[str] = []
        self.not_served: str | None = None
        self._watched = PruningReporter.of(os.environ)
        self.clock = RunClock(header.started_at_ms)
        self._offset_ns = self.clock.offset_ns
        self._is_open = True
        self._trust: tuple[str, ...] = ()

    @property
    def reader(self) -> JournalReader:
        """Its journal on disk."""
        return self._journal.reader

    @property
    def tags(self) -> dict[str, str]:
        """Its tags, as far as they were given here."""
        return dict(self._tags)

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
        now = (elapsed_ns() + self._offset_ns) // 1_000_000  # as its clock says
        records, numbers = [], {}
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
            body = f'["m",{at},{self._names[name]},{text},{step}]'
            records.append(frame(body.encode()))
        if records:
            self._journal.append(b"".join(records))
            self.metrics.update(numbers)
            if self._watched is not None:
                self._watched.note(numbers, step)

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
        texts = {name: mask_value(value, name) for name, value in params.items()}
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
            short = self._fit("tags", name, mask_value(value, name), LONGEST_TAG)
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
        data : DataFrame, Series, ndarray, sparse matrix or list
            The data; it is neither stored nor changed, only named by its digest.
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
            It is no data, or would be used up by reading it, as a generator is.
        """
        self._check_open()
        described, shape = datasets.describe(data, name=name, context=context)
        self._journal.add("data", described)
        self._digests.append(described["digest"])
        return DatasetVersion(
            name=name,
            digest=described["digest"],
            n_rows=shape[0],
            n_columns=shape[1],
        )

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
        UsageError
            No file can have that name.
        StoreError
            No disk has room for the copy.
        """
        self._check_open()
        path = Path(path)
        if not path.exists():
            raise NotFoundError(f"No file {str(path)!r}.", fix="Check the path.")
        check_artifact_path(path.name)

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
        UsageError
            No file can have that name.
        StoreError
            No disk has room for it.
        """
        self._check_open()
        folder, _, name = path.rpartition("/")
        check_artifact_path(name)
        self._keep_file(lambda at: (at / name).write_bytes(content), name, folder)

    def keep_model(
        self,
        model: object,
        example: object,
        *,
        name: str = "model",
        trust: bool = False,
    ) -> str:
        """Write a fitted estimator that is to become the run's model.

        Parameters
        ----------
        model : estimator
            A fitted scikit-learn estimator or pipeline.
        example : DataFrame or ndarray of shape (n_samples, n_features) or None
            Data it was fitted on.
        name : str, default="model"
            Name of the logged model.
        trust : bool, default=False
            Whether it may hold functions and classes of any module, the notebook's own
            included; else of those in ``[tool.nbmlops.models] trust``.

        Returns
        -------
        str
            The key it is kept under.

        Raises
        ------
        UsageError
            The model cannot be stored without pickle; it says which part.
        StoreError
            No disk has room for it.
        """
        from nbmlops.store.models.files import SavedModel, save_model
        from nbmlops.store.models.own_code import ANY

        self._check_open()
        key = uuid4().hex
        trusted = ANY if trust else self._trust
        saved: list[SavedModel] = []
        kept = self._kept(
            lambda at: saved.append(save_model(model, at, example, trust=trusted))
        )
        self.own_code, self.not_served = saved[0].own_code, saved[0].not_served
        self._journal.add("model", str(kept), name, key)
        return key

    def _keep_file(
        self, write: Callable[[Path], object], name: str, folder: str
    ) -> None:
        self._journal.add("file", str(self._kept(write) / name), folder)

    def _kept(self, write: Callable[[Path], object]) -> PurePosixPath:
        try:
            return self._journal.keep(write)
        except OSError as error:
            raise embedded.disk_error(error, self._journal.reader.folder) from error

    def _check_open(self) -> None:
        if not self._is_open:
            raise UsageError(
                f"Run {self.name!r} has ended.", fix="Open a new one to log to."
            )
