"""A run, run again in a clean kernel, and compared with what it was."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Literal

from nbmlops.entities import Compared, Replay, Run, Verdict, to_json
from nbmlops.errors import UsageError
from nbmlops.execution.environments import make_environment
from nbmlops.lifecycle.replay.rerun import Rerun, rerun
from nbmlops.lifecycle.replay.spec import ENVIRONMENT, ReplaySpec, read_replay_spec
from nbmlops.store import Store, artifacts, connect, datasets
from nbmlops.store.models.digest import model_digest
from nbmlops.store.runs import runs
from nbmlops.store.runs.resolve import resolve_run
from nbmlops.tracking.sync.sender import flush_pending

_ORDER: tuple[Verdict, ...] = ("different", "within tolerance", "equal")


def replay(
    run: str | Run = "latest",
    *,
    in_env: bool = False,
    tolerance: float = 0.0,
    timeout_s: float | None = None,
    experiment: str | None = None,
    store: Store | None = None,
) -> Replay:
    """Run a run again in a clean kernel, and compare the two.

    The cells that made the run are executed in the order in which they ran, on the
    files that they read then. The replay is recorded as a run of the kind ``replay`` in
    the experiment of the same name with `` replays`` behind it, and links to the
    original by the tag ``nbmlops.replay_of``. The verdict is its tag
    ``nbmlops.replay.verdict`` and, whole, its artifact ``nbmlops/replay.json``.

    Parameters
    ----------
    run : str or Run, default="latest"
        A run id, 6 or more of its first characters, ``latest``, ``best:METRIC`` or
        ``best:METRIC:min|max``.
    in_env : bool, default=False
        Whether to make a virtual environment of the run's own packages for it.
    tolerance : float, default=0.0
        How far apart metrics may be, as a share of the larger one and as such; at
        least 0.
    timeout_s : float, optional
        Seconds the cells may take, above 0; no limit by default.
    experiment : str, optional
        Where ``latest`` and ``best:`` look; by default the one this process tracked
        into last, else the one set with ``mlflow.set_experiment``, else the project's.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    Replay
        The verdict, and all that was compared.

    Raises
    ------
    NotFoundError
        No run fits, or it kept no cells.
    UsageError
        The tolerance is below 0, the run is still open, or its folder is gone.
    DependencyError
        The run's environment cannot be made.
    StoreError
        The store could not be written.
    """
    if not tolerance >= 0:
        raise UsageError(
            f"The tolerance is {tolerance}.", fix="Give 0 or more, such as 1e-9."
        )
    flush_pending()
    store = store or connect()
    if isinstance(run, str):
        run = resolve_run(store, run, experiment=experiment)
    spec = read_replay_spec(store, run)
    environment = None
    if in_env:
        environment = make_environment(
            store.settings.home, spec.pins, python=spec.python
        )
    done = rerun(
        store,
        spec,
        name=f"replay of {run.name}",
        tags={"nbmlops.kind": "replay", "nbmlops.replay_of": run.run_id},
        environment=environment,
        timeout_s=timeout_s,
    )
    compared = sorted(
        (each for pair in done.pairs for each in _compare(store, *pair, tolerance)),
        key=lambda each: _ORDER.index(each.verdict),
    )
    result = Replay(
        original_run_id=run.run_id,
        run_id=done.run_id,
        verdict=min((c.verdict for c in compared), key=_ORDER.index, default=_ORDER[0]),
        compared=tuple(compared),
        notes=(*done.notes, *_notes(store, spec, done, in_env=in_env)),
    )
    document = json.dumps(to_json(result), indent=2).encode()
    artifacts.log_bytes(store, done.run_id, document, "nbmlops/replay.json")
    verdict = {"nbmlops.replay.verdict": result.verdict}
    runs.log_values(store, done.run_id, tags=verdict)
    seen = {"nbmlops.replayed": f"{result.verdict} ({done.run_id})"}
    runs.log_values(store, run.run_id, tags=seen)
    return result


def _compare(
    store: Store, original: Run, again: Run | None, tolerance: float
) -> Iterator[Compared]:
    if again is None:
        yield _row("status", original.name, original.status, None)
        return
    yield _row("status", original.name, original.status, again.status)
    for name in sorted({*original.metrics, *again.metrics}):
        before, after = original.metrics.get(name), again.metrics.get(name)
        verdict = verdict_on(before, after, tolerance)
        yield _row("metric", name, before, after, verdict)
    before_data = _datasets(store, original)
    after_data = _datasets(store, again)
    for name in sorted({*before_data, *after_data}):
        yield _row("dataset", name, before_data.get(name), after_data.get(name))
    if original.model_id or again.model_id:
        one, two = (
            model_digest(store, each) if each else "none"
            for each in (original.model_id, again.model_id)
        )
        if one is not None and two is not None:
            yield _row("model", original.name, one, two)


def verdict_on(before: float | None, after: float | None, tolerance: float) -> Verdict:
    """Return how two values of a metric compare.

    >>> verdict_on(0.5, 0.5, 0), verdict_on(0.5, 0.51, 0.1), verdict_on(0.5, None, 1)
    ('equal', 'within tolerance', 'different')
    """
    if before is None or after is None:
        return "different"
    if before == after or (math.isnan(before) and math.isnan(after)):
        return "equal"
    is_near = math.isclose(before, after, rel_tol=min(tolerance, 1), abs_tol=tolerance)
    return "within tolerance" if tolerance and is_near else "different"


def _row(
    what: Literal["metric", "dataset", "model", "status"],
    name: str,
    before: str | float | None,
    after: str | float | None,
    verdict: Verdict | None = None,
) -> Compared:
    return Compared(
        what=what,
        name=name,
        original=before,
        replayed=after,
        verdict=verdict or ("equal" if before == after else "different"),
    )


def _datasets(store: Store, run: Run) -> dict[str, str]:
    found: dict[str, str] = {}
    for data in datasets.list_datasets(store, run.run_id):
        found[data.name] = " ".join(filter(None, [found.get(data.name), data.digest]))
    return found


def _notes(
    store: Store, spec: ReplaySpec, done: Rerun, *, in_env: bool
) -> Iterator[str]:
    if spec.run.status == "RUNNING":
        yield "the run is still open: it may go on to change"
    if any(run.model_id for run, _ in done.pairs) and not any(
        again and again.model_id and model_digest(store, again.model_id)
        for _, again in done.pairs
    ):
        yield "the model is of a format that cannot be compared"
    endings = [
        cell["metadata"].get("nbmlops", {}).get("ending", "")
        for cell in spec.document["cells"]
    ]
    if "interrupted" in endings:
        yield "a cell was interrupted then; the replay ran it to its end"
    wanted = set(spec.pins)
    for _, again in done.pairs[:1]:
        if again is None:
            return
        content = artifacts.read_file(store, again.run_id, ENVIRONMENT)
        other = wanted ^ set(content.decode().split())
        if other:
            few = ", ".join(sorted(other)[:6]) + (", ..." if len(other) > 6 else "")
            where = "the environment that was made" if in_env else "this environment"
            yield f"{where} differs from the run's: {few}"
