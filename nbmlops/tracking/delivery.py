"""From a journal into the store: in order, and doing it twice does it once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.errors import NotFoundError, StoreError, UsageError
from nbmlops.store import Store, datasets, listing, runs
from nbmlops.store.backend import backend
from nbmlops.store.connection import answering
from nbmlops.store.reading import ATTEMPT, ATTEMPT_OF
from nbmlops.tracking._part import Part
from nbmlops.tracking.attempts import Facts
from nbmlops.tracking.batches import Entry, batches_of
from nbmlops.tracking.spool import Spool, State, is_final
from nbmlops.tracking.uploads import Uploads

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

_BATCH_BYTES = 400_000


class Delivery:
    """Sends the journal of one run.

    Parameters
    ----------
    store : Store
        Where to.
    spool : Spool
        The run's journal.
    memory : dict of str to Part, optional
        Parts that no disk took.
    when_made : callable, optional
        Told of the run once the store has it.

    Attributes
    ----------
    run : mlflow.entities.Run or None
        The run, when this object made or found it.
    uploads : Uploads
        Its files and models.
    is_ended : bool
        Whether all was delivered, the run's end included.
    attempt : int or None
        Which attempt the run is, when this object made it.
    attempt_before : Facts or None
        What the attempt before depended on, when there was one.
    expected_s : float or None
        Seconds that the attempt before took, when it came to its end.
    n_sent : int
        Entries sent so far.
    on_metrics : callable or None
        Given each batch of metrics the first time it is read.
    """

    def __init__(
        self,
        store: Store,
        spool: Spool,
        *,
        memory: dict[str, Part] | None = None,
        when_made: Callable[[MlflowRun], None] | None = None,
    ) -> None:
        self._store = store
        self._spool = spool
        self._memory = {} if memory is None else memory
        self._opening = spool.opening()
        self._shown: tuple[str, int] = ("", 0)
        self._when_made = when_made
        self.run: MlflowRun | None = None
        self.attempt: int | None = None
        self.attempt_before: Facts | None = None
        self.expected_s: float | None = None
        self.uploads = Uploads(store, spool)
        self.is_ended = False
        self.n_sent = 0
        self.on_metrics: Callable[[Sequence[runs.Point]], None] | None = None

    def advance(self) -> bool:
        """Send what is there.

        Returns
        -------
        bool
            Whether this sender held the journal: when not, another is sending it.

        Raises
        ------
        StoreError
            The store did not answer; what it has is remembered.
        UsageError
            The store refuses to make the run.
        NotFoundError
            The run was deleted.
        """
        with self._spool.locked() as is_mine:
            if is_mine:
                self.send()
            else:
                self.is_ended = not self._spool.exists()  # all sent by another
            return is_mine or self.is_ended

    def send(self) -> None:
        """Send what is there; the caller holds the journal's lock."""
        state = self._spool.state()
        if state.run_id is None:
            state = self._open(state)
        self._send_parts(state)
        self.uploads.send_owed(str(state.run_id))
        if state.is_ended:
            if state.tries > 1:
                self._drop_twins(state)
            self._spool.remove()
            self.is_ended = True

    def _open(self, state: State) -> State:
        opening = self._opening
        experiment_id = runs.experiment_id(self._store, opening.experiment)
        experiment = runs.by_id(experiment_id)
        found: Sequence[MlflowRun] = ()
        if state.tries:  # an earlier creation may have got through
            found = runs.find_by_key(self._store, opening.key, experiment=experiment)
        if found:
            self.run = found[0]
        else:
            tags = opening.tags | self._number_attempt(experiment_id) | self._parent()
            state.tries += 1
            self._spool.set_state(state)
            self.run = runs.make_run(
                self._store,
                name=opening.name,
                experiment=experiment,
                tags={**tags, runs.KEY: opening.key},
                started_at_ms=opening.started_at_ms,
            )
        state.run_id = str(self.run.info.run_id)
        self._spool.set_state(state)
        self.uploads.location = self.run.info.artifact_uri
        if self._when_made is not None:
            self._when_made(self.run)
        return state

    def _parent(self) -> dict[str, str]:
        """Return a tag of the parent's id, where only its key was known."""
        key = self._opening.tags.get(runs.PARENT, "")
        if not re.fullmatch(runs.KEY_FORM, key):
            return {}
        is_to_come = (self._spool.folder.parent / key).exists()
        found = runs.find_by_key(self._store, key, experiment=self._opening.experiment)
        if not found and is_to_come:  # made first, this run would stand above nothing
            raise StoreError(
                f"The run above {self._opening.name!r} is not in the store yet.",
                fix="Run: nbmlops sync",
            )
        return {runs.PARENT: str(found[0].info.run_id)} if found else {}

    def _number_attempt(self, experiment_id: str) -> dict[str, str]:
        group = self._opening.tags[ATTEMPT_OF]
        newest = listing.newest_attempt(self._store, group, experiment_id=experiment_id)
        self.attempt = 1
        if newest is not None:
            self.attempt += int(newest.tags[ATTEMPT])
            self.attempt_before = Facts.from_tags(newest.tags, newest.params)
            took_s = newest.tags.get("nbmlops.cost.wall_s")
            if took_s and "nbmlops.ended_because" not in newest.tags:
                self.expected_s = float(took_s)
        return {ATTEMPT: str(self.attempt)}

    def _drop_twins(self, state: State) -> None:
        opening = self._opening
        for twin in runs.find_by_key(
            self._store, opening.key, experiment=opening.experiment
        ):
            if twin.info.run_id != state.run_id:
                runs.delete_run(self._store, twin.info.run_id)

    def _send_parts(self, state: State) -> None:
        paths = self._spool.part_paths()
        names = sorted([*(path.name for path in paths), *self._memory])
        by_name = {path.name: path for path in paths}
        for position, name in enumerate(names):
            if name in self._memory:
                self._send_part(name, self._memory[name], state)
            else:
                with closing(Part.read(by_name[name])) as part:
                    self._send_part(name, part, state)
                later = [Path(each) for each in names[position + 1 :]]
                if is_final(by_name[name], later):
                    by_name[name].unlink()

    def _send_part(self, name: str, part: Part, state: State) -> None:
        while text := part.unsent(_BATCH_BYTES):
            lines = text.split(b"\n")[:-1]
            entries = json.loads(b"[" + b",".join(lines) + b"]")
            sent = part.sent
            if (name, sent) > self._shown:
                self._shown = (name, sent)
                if self.on_metrics is not None:
                    self.on_metrics([_point(e) for e in entries if e[0] == "m"])
            is_sent, first = bytearray(len(entries)), 0
            for batch in batches_of(entries):
                self._send(state, [entries[position] for position in batch])
                for position in batch:
                    is_sent[position] = True
                while first < len(entries) and is_sent[first]:
                    sent += len(lines[first]) + 1
                    first += 1
                part.mark(sent)
                self.n_sent += len(batch)

    def _send(self, state: State, batch: list[Entry]) -> None:
        run_id = str(state.run_id)
        kind, *content = batch[0]
        match kind:
            case "m" | "p" | "t":
                self._send_values(run_id, batch)
                steps = [e[4] for e in batch if e[0] == "m"]
                if steps:
                    known = state.last_step
                    state.last_step = max(steps if known is None else [*steps, known])
                    self._spool.set_state(state)
            case "file" | "model":
                self.uploads.send(run_id, batch[0])
            case "data":
                datasets.send_dataset(self._store, run_id, content[0])
            case "end":
                status, ended_at_ms = content
                runs.end_run(self._store, run_id, status, ended_at_ms=ended_at_ms)
                state.is_ended = True
                self._spool.set_state(state)

    def _send_values(self, run_id: str, batch: list[Entry]) -> None:
        try:
            runs.send(
                self._store,
                run_id,
                metrics=[_point(e) for e in batch if e[0] == "m"],
                params=[(e[1], e[2]) for e in batch if e[0] == "p"],
                tags=[(e[1], e[2]) for e in batch if e[0] == "t"],
            )
        except UsageError as refusal:
            if len(batch) == 1:
                self.uploads.refuse(batch[0], refusal)
                return
            self._check_there(run_id)
            half = len(batch) // 2
            self._send_values(run_id, batch[:half])
            self._send_values(run_id, batch[half:])

    def _check_there(self, run_id: str) -> None:
        with answering(self._store, missing=f"No run {run_id!r}."):
            info = backend(self._store).get_run(run_id).info
        if info.lifecycle_stage == "deleted":
            raise NotFoundError(
                f"Run {run_id} was deleted while values for it were on their way.",
                fix="Restore it with `mlflow runs restore`, then run: nbmlops sync",
            )


def _point(entry: Entry) -> runs.Point:
    _, at_ms, name, value, step = entry
    return name, float(value), at_ms, step
