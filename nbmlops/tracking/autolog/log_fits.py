"""What the fits of a cell leave in its run, and in runs below it."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbmlops._masking import mask_tree
from nbmlops.entities import AUTOLOGGED, KIND, autologged_tag
from nbmlops.errors import UsageError
from nbmlops.scoring.signature import NOT_SERVED
from nbmlops.store.runs.fields import PARENT
from nbmlops.tracking.autolog.fits import Fit
from nbmlops.tracking.autolog.recorder import Recorder
from nbmlops.tracking.run.capture import DataNames, find_example

if TYPE_CHECKING:
    from nbmlops.tracking.run.active import ActiveRun
    from nbmlops.tracking.run.writer import RunWriter

_TABLE = "nbmlops/search.csv"
_PARAMS = "nbmlops/params.json"
_SHARED = ("mlflow.user", "mlflow.source.", "nbmlops.environment_hash")


def log_fits(
    run: ActiveRun,
    recorder: Recorder,
    namespace: Mapping[str, Any],
    data: DataNames,
    *,
    has_models: bool = True,
    trust: bool = False,
) -> list[str]:
    """Give a run what was fitted while it was open."""
    ended = [fit for fit in recorder.fits if fit.status is not None]
    models = [fit for fit in ended if fit.is_model]
    steps = [fit for fit in ended if not fit.is_model] if models else []
    validated = [fit for _, fit in recorder.validations]
    for estimator, validation in recorder.validations:
        for fit in models:
            if fit.is_latest and fit.reference() is estimator:
                fit.scores.extend(validation.scores)
    what = "fits" if models or not validated else "cross-validations"
    models = models or validated or ended
    if not models:
        return []
    notes = []
    given = _params_of_steps(steps)
    if len(models) == 1:
        (fit,) = models
        changed = {*given, *fit.changed, KIND}
        given = {**fit.params, KIND: fit.kind, **given}
        _log_missing(run, given, changed, metrics_of(fit), always=fit.search)
        _log_files(run, [*steps, fit])
        if fit.reason:
            notes.append(f"the fit of {fit.title} failed: {fit.reason[:200]}")
    else:
        _log_missing(run, given, given, [])
        began_ms = 0
        for fit in models:
            # Stores list runs by the millisecond in which they began.
            began_ms = max(began_ms + 1, run.clock.at_ms(fit.began_ns))
            _log_child(
                run, fit, began_ms, namespace, data, has_model=has_models, trust=trust
            )
        notes.append(f"{len(models)} {what}, each a run below this one")
    if recorder.n_more:
        notes.append(f"{recorder.n_more} more fits were not recorded")
    return notes


def _log_child(
    parent: ActiveRun,
    fit: Fit,
    began_ms: int,
    namespace: Mapping[str, Any],
    data: DataNames,
    *,
    has_model: bool,
    trust: bool,
) -> None:
    """Record a fit that has ended as a run below another, sent in the background."""
    from nbmlops.tracking.run.deferred import DeferredRun

    assert fit.status is not None  # noqa: S101
    estimator = fit.estimator
    variables = (
        key
        for key, value in list(namespace.items())
        if value is estimator and not key.startswith("_")
    )
    variable = next(variables, None) if estimator is not None else None
    params = _clean({**fit.params, KIND: fit.kind})
    metrics = metrics_of(fit)
    names = {name for name, _, _ in metrics}
    changed = map(_key, (*fit.changed, KIND))
    summary = autologged_tag(params, changed=changed, named=(), metrics=names)
    tags = {PARENT: parent.run_id, AUTOLOGGED: summary}
    if fit.reason:
        tags["nbmlops.ended_because"] = fit.reason[:500]
    child = DeferredRun(
        parent.store,
        name=f"{variable}: {fit.title}" if variable else fit.title,
        kind="fit",
        experiment=parent.experiment,
        source=parent.tags["mlflow.source.name"],
        params=params,
        tags=tags | {k: v for k, v in parent.tags.items() if k.startswith(_SHARED)},
        started_at_ms=began_ms,
    )
    try:
        _log_metrics(child, metrics)
        _log_files(child, [fit])
        if has_model and estimator is not None:
            model = model_of(estimator)
            example = find_example(namespace, data, model)
            try:
                child.keep_model(model, example, trust=trust)
                if child.not_served:
                    child.log_tags({NOT_SERVED: child.not_served[:500]})
            except UsageError as refusal:
                child.log_tags({"nbmlops.model_refused": str(refusal)[:500]})
    finally:
        ended_ms = began_ms + round(fit.seconds * 1000)
        child.end(fit.status, ended_at_ms=ended_ms)
        child.submit()


def log_model(
    run: ActiveRun,
    estimator: object,
    namespace: Mapping[str, Any],
    data: DataNames,
    *,
    name: str = "the model",
    trust: bool = False,
) -> list[str]:
    """Store a fitted model with its run, and return what is to be said of it."""
    model = model_of(estimator)
    example = find_example(namespace, data, model)
    try:
        run.model_id = run.keep_model(model, example, trust=trust)
    except UsageError as refusal:
        return [f"{name} was not stored: {refusal}"]
    notes = []
    if example is None:
        notes.append(
            f"no data of the form {name} was fitted on is named in the code, "
            "so it has no input example and cannot be deployed"
        )
    elif run.not_served:
        notes.append(f"{name} is stored and cannot be deployed: {run.not_served}")
    if run.own_code:
        notes.append(
            f"{name} holds code of this notebook, stored with it as a module:\n"
            f"{run.own_code}"
        )
    return notes


def model_of(estimator: Any) -> Any:  # noqa: ANN401
    """Return what is to be stored of an estimator: of a search, its best."""
    if hasattr(estimator, "cv_results_"):
        return getattr(estimator, "best_estimator_", estimator)
    return estimator


def metrics_of(fit: Fit) -> list[tuple[str, float, int]]:
    """Return the metrics of a fit: name, value, step."""
    found = [(_key(name), value, 0) for name, value in fit.search.items()]
    steps: dict[str, int] = {}
    for score in fit.scores:
        alike = [other for other in fit.scores if other.metric == score.metric]
        parts = [score.metric]
        if len({other.variant for other in alike}) > 1:
            parts.append(score.variant)
        if len({other.dataset for other in alike}) > 1:
            parts.append(score.dataset)
        name = _key("_".join(filter(None, parts)))
        found.append((name, score.value, steps.get(name, 0)))
        steps[name] = steps.get(name, 0) + 1
    return found


def _log_files(run: RunWriter, fits: Sequence[Fit]) -> None:
    """Log the params of fits, and of the last one its time and table."""
    params = [
        {"estimator": f.title, "changed": sorted(f.changed), "params": f.params}
        for f in fits
    ]
    text = json.dumps(mask_tree(params), indent=1, ensure_ascii=False)
    run.log_bytes(text.encode(), _PARAMS)
    run.log_tags({"nbmlops.cost.fit_s": f"{fits[-1].seconds:.3f}"})
    if fits[-1].table is not None:
        run.log_bytes(fits[-1].table, _TABLE)


def _params_of_steps(steps: Iterable[Fit]) -> dict[str, object]:
    """Return the params that were chosen for what prepared the data."""
    seen: dict[str, int] = {}
    found: dict[str, object] = {}
    for fit in steps:
        seen[fit.title] = n = seen.get(fit.title, 0) + 1
        prefix = fit.title if n == 1 else f"{fit.title} {n}"
        found.update(
            {f"{prefix}.{key}": fit.params[key] for key in sorted(fit.changed)}
        )
    return found


def _log_missing(
    run: ActiveRun,
    params: Mapping[str, object],
    changed: Iterable[str],
    metrics: Sequence[tuple[str, float, int]],
    always: Container[str] = (),
) -> None:
    """Log what the user has not logged, by name or by value, and say which that is."""
    if not params and not metrics:
        return
    recorded = run.recorded()  # what mlflow.log_* was given too
    has_params = {**(recorded.params if recorded else {}), **run.params}
    has_metrics = {**(recorded.metrics if recorded else {}), **run.metrics}
    values = set(has_metrics.values())
    new = {k: v for k, v in _clean(params).items() if k not in has_params}
    run.log_params(**new)
    measured = [
        (name, value, step)
        for name, value, step in metrics
        if name not in has_metrics and (name in always or value not in values)
    ]
    _log_metrics(run, measured)
    summary = autologged_tag(
        new,
        changed=map(_key, changed),
        named=has_params,
        metrics={name for name, _, _ in measured},
    )
    run.log_tags({AUTOLOGGED: summary})


def _log_metrics(run: RunWriter, metrics: Iterable[tuple[str, float, int]]) -> None:
    by_step: dict[int, dict[str, float]] = {}
    for name, value, step in metrics:
        by_step.setdefault(step, {})[name] = value
    for step, values in by_step.items():
        run.log_metrics(values, step=step)


def _clean(params: Mapping[str, object]) -> dict[str, object]:
    return {_key(key): value for key, value in params.items()}


def _key(name: str) -> str:
    """Return a name that MLflow takes: what it refuses is an underscore."""
    plain = re.sub(r"[^\w.\- :]", "_", name)[:250].lstrip(".") or "_"
    return posixpath.normpath(plain)
