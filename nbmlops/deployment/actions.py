"""What is done to endpoints: deploy, canary, shadow, promote, roll back, remove."""

from __future__ import annotations

import math
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

from nbmlops.config import Settings
from nbmlops.deployment import control, files, records
from nbmlops.deployment.endpoints import get_endpoint, list_endpoints, observe
from nbmlops.deployment.records import LOCAL, Canary, Record, Served
from nbmlops.entities import AuditAction, Endpoint, ModelVersion
from nbmlops.errors import (
    ConflictError,
    DependencyError,
    NbmlopsError,
    UsageError,
    did_you_mean,
)
from nbmlops.governance.aliases import move
from nbmlops.governance.audit_log import AuditLog, change
from nbmlops.store import Store, connect
from nbmlops.store.models.own_code import Trust
from nbmlops.store.registry.versions import get_version

RULES = {"error_share": 0.05, "min_requests": 100}
"""What a canary is held to where nothing else is said."""
KNOWN_RULES = {"error_share", "latency_ms_p99", "prediction_shift", "min_requests"}
TARGETS = tuple(control.MODULES)
MakeEnvironment = Callable[[Path], str]
"""Returns the Python that has the packages of the model in a folder."""


def deploy(
    store: Store,
    version: ModelVersion,
    *,
    name: str,
    alias: str | None = None,
    port: int | None = None,
    no_auth: bool = False,
    trust: Trust = (),
    workers: int | None = None,
    environment: MakeEnvironment | None = None,
    target: str | None = None,
    not_followed: int | None = None,
) -> tuple[Endpoint, bool]:
    """Return the endpoint of a model version, and whether it was started for this.

    ``not_followed`` is the version that the alias still names.
    """
    records.check_name(name)
    settings = store.settings
    if workers is not None:
        if workers < 1:
            raise UsageError(
                f"An endpoint cannot have {workers} workers.", fix="Give 1 or more."
            )
        serving = replace(settings.serving, workers=workers)
        settings = replace(settings, serving=serving)
    with records.lock(settings, name):
        before = _before(settings, name, version)
        target = target or (before.target if before else LOCAL)
        _check_target(before, target, environment)
        wanted = Record(
            name=name,
            champion=replace(
                Served.of(version, tuple(trust)), has_env=environment is not None
            ),
            alias=alias,
            port=port or (before.port if before else 0),
            no_auth=no_auth,
            max_request_bytes=settings.max_request_bytes,
            serving=settings.serving,
            started_at=before.started_at if before else "",
            target=target,
            previous=before.previous if before else None,
            canary=before.canary if before else None,
            shadow=before.shadow if before else None,
            processes=before.processes if before else (),
            not_followed=not_followed,
        )
        is_same = before and wanted == replace(
            before, alias=alias, message="", not_followed=not_followed
        )
        if before and is_same and observe(settings, before).state == "ready":
            if alias != before.alias:
                follow(settings, name, alias)
            return get_endpoint(settings, name), False
        _bring_up(store, version, wanted, environment)
    _record(settings, "deployed", wanted, before)
    return get_endpoint(settings, name), True


def _record(
    settings: Settings, what: AuditAction, now: Record, before: Record | None
) -> None:
    """Write which version an endpoint serves to the audit log."""
    version = now.champion.version
    made = change(
        what,
        now.champion.model,
        version=version,
        endpoint=now.name,
        before=before.champion.version if before else None,
        after=None if what == "undeployed" else version,
    )
    AuditLog(settings).record(made)


def _check_target(
    before: Record | None, target: str, environment: MakeEnvironment | None
) -> None:
    """Refuse a target that is none, or that the endpoint cannot go to."""
    if target not in TARGETS:
        raise UsageError(
            f"There is no target {target!r}.{did_you_mean(target, TARGETS)}",
            fix=f"Choose one of: {', '.join(TARGETS)}.",
        )
    if before and before.target != target:
        raise ConflictError(
            f"Endpoint {before.name!r} runs on {before.target}.",
            fix=f"Remove it first: %undeploy {before.name}.",
        )
    if target != LOCAL:
        if find_spec("ray") is None:
            raise DependencyError(
                "The target 'ray' needs Ray, which is not installed.",
                fix='Install it: pip install "nbmlops[ray]".',
            )
        if environment is not None:
            raise UsageError(
                "A cluster's nodes have one environment for all models.",
                fix="Leave out env=, or serve it on this machine.",
            )


def _variables() -> dict[str, str]:
    """Return what a supervisor needs to reach store and cluster as this process."""
    of_store = {k: v for k, v in os.environ.items() if k.startswith("MLFLOW_")}
    return {"RAY_ADDRESS": os.environ.get("RAY_ADDRESS", ""), **of_store}


def begin_canary(
    store: Store,
    version: ModelVersion,
    *,
    name: str,
    share: float,
    rules: Mapping[str, float] | None = None,
    trust: Trust = (),
    environment: MakeEnvironment | None = None,
) -> Endpoint:
    """Have a version answer a share of an endpoint's requests, until a rule breaks."""
    if not 0 < share < 1:
        raise UsageError(
            f"A canary cannot have {share:g} of the requests.",
            fix="Give a share between 0 and 1, such as 0.1 or 10%.",
        )
    settings = store.settings
    if rules is None:
        running = records.get_record(settings, name).canary
        is_same = running and running.served.version == version.version
        rules = running.rules if running and is_same else RULES
    if unknown := set(rules) - KNOWN_RULES:
        name_of = sorted(unknown)[0]
        raise UsageError(
            f"Unknown rule {name_of!r}.{did_you_mean(name_of, KNOWN_RULES)}",
            fix=f"Use some of: {', '.join(sorted(KNOWN_RULES))}.",
        )
    for rule, value in rules.items():
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise UsageError(
                f"Rule {rule!r} is {str(value)[:80]!r}.",
                fix="Give a number from 0.",
            )
    with records.lock(settings, name):
        served = _fetch_other(store, version, name, trust, environment)
        canary = Canary(served=served, share=share, rules=dict(rules))
        timeout_s = settings.deploy_timeout_s
        document = asdict(canary)
        _ask(settings, name, type="canary", canary=document, timeout_s=timeout_s)
    return get_endpoint(settings, name)


def begin_shadow(
    store: Store,
    version: ModelVersion,
    *,
    name: str,
    trust: Trust = (),
    environment: MakeEnvironment | None = None,
) -> Endpoint:
    """Have a version get a copy of each request of an endpoint."""
    settings = store.settings
    with records.lock(settings, name):
        served = asdict(_fetch_other(store, version, name, trust, environment))
        timeout_s = settings.deploy_timeout_s
        _ask(settings, name, type="shadow", served=served, timeout_s=timeout_s)
    return get_endpoint(settings, name)


def _fetch_other(
    store: Store,
    version: ModelVersion,
    name: str,
    trust: Trust,
    environment: MakeEnvironment | None,
) -> Served:
    """Copy the files of a canary or a shadow."""
    record = records.get_record(store.settings, name)
    if record.champion.model != version.model:
        raise ConflictError(
            f"Endpoint {name!r} serves {record.champion}.",
            fix=f"Give a version of {record.champion.model}.",
        )
    if record.champion.version == version.version:
        raise ConflictError(
            f"{record.champion} is what {name!r} serves.", fix="Give another version."
        )
    return _fetched(store, version, Served.of(version, tuple(trust)), name, environment)


def promote(settings: Settings, name: str) -> Endpoint:
    """Make an endpoint's canary its champion."""
    before = records.get_record(settings, name)
    _ask(settings, name, type="promote", timeout_s=settings.deploy_timeout_s)
    record = records.get_record(settings, name)
    _record(settings, "deployed", record, before)
    if record.alias is not None:
        try:
            store, served = connect(settings), record.champion
            version = get_version(store, served.model, served.version)
            named = before.not_followed or before.champion.version
            move(store, version, record.alias, expected=named)
        except NbmlopsError as error:
            problem = f"alias {record.alias} was not moved: {error.problem}"
            note(settings, name, problem)
    return get_endpoint(settings, name)


def abort(settings: Settings, name: str) -> Endpoint:
    """End an endpoint's canary."""
    records.get_record(settings, name)
    _ask(settings, name, type="abort")
    return get_endpoint(settings, name)


def end_shadow(settings: Settings, name: str) -> Endpoint:
    """Send no more copies to an endpoint's shadow."""
    records.get_record(settings, name)
    _ask(settings, name, type="shadow", served=None)
    return get_endpoint(settings, name)


def _before(settings: Settings, name: str, version: ModelVersion) -> Record | None:
    """Return the record of the endpoint that a version is to take over."""
    folder = records.root(settings)
    before = records.find_record(folder, name)
    if before is None:  # what a killed deployer left, at most
        shutil.rmtree(folder / name, ignore_errors=True)
    elif before.champion.model != version.model:
        if observe(settings, before).state != "dead":
            raise ConflictError(
                f"Endpoint {name!r} serves {before.champion}.",
                fix=f"Choose another with name=, or remove it first: %undeploy {name}.",
            )
        _ask(settings, name, type="undeploy")
        return None
    return before


def _fetched(
    store: Store,
    version: ModelVersion,
    served: Served,
    name: str,
    environment: MakeEnvironment | None,
) -> Served:
    """Copy the files of a version, and make its environment where one is wanted."""
    folder = records.root(store.settings) / name
    digest = files.fetch(store, version, folder)
    python = ""
    if environment is not None:
        python = environment(folder / "versions" / str(version.version) / "model")
    has_env = environment is not None
    return replace(served, digest=digest, python=python, has_env=has_env)


def _bring_up(
    store: Store,
    version: ModelVersion,
    wanted: Record,
    environment: MakeEnvironment | None,
) -> None:
    settings, name = store.settings, wanted.name
    folder = records.root(settings)
    try:
        champion = _fetched(store, version, wanted.champion, name, environment)
        wanted = replace(wanted, champion=champion)
        if not wanted.no_auth and records.read_token(settings, name) is None:
            records.write_token(folder / name, secrets.token_urlsafe(32))
        timeout_s = settings.deploy_timeout_s
        _ask(
            settings,
            name,
            target=wanted.target,
            type="deploy",
            record=asdict(wanted),
            timeout_s=timeout_s,
            environ={**_variables(), "MLFLOW_TRACKING_URI": store.uri},
        )
    except BaseException:
        if records.find_record(folder, name) is None:
            shutil.rmtree(folder / name, ignore_errors=True)
        raise


def _ask(
    settings: Settings, name: str, *, target: str | None = None, **document: object
) -> None:
    """Have the supervisor of an endpoint do something; raise its error."""
    folder = records.make_root(settings)
    if target is None:
        record = records.find_record(folder, name)
        target = record.target if record else LOCAL
    control.request(folder, {"name": name, **document}, target=target)


def roll_back(settings: Settings, name: str) -> Endpoint:
    """Serve the version before, without a look at the store."""
    before = records.get_record(settings, name)
    _ask(settings, name, type="rollback", timeout_s=settings.deploy_timeout_s)
    _record(settings, "rolled back", records.get_record(settings, name), before)
    return get_endpoint(settings, name)


def follow(settings: Settings, name: str, alias: str | None) -> None:
    """Have an endpoint follow an alias, which names the version that is served."""
    _ask(settings, name, type="alias", alias=alias)


def note(settings: Settings, name: str, message: str) -> None:
    """Have an endpoint say what became of it last."""
    _ask(settings, name, type="note", message=message)


def rotate_token(settings: Settings, name: str) -> str:
    """Have an endpoint ask for a new token, and return it."""
    if records.get_record(settings, name).no_auth:
        raise UsageError(
            f"Endpoint {name!r} asks for no token.",
            fix="Deploy it again, with a token.",
        )
    _ask(settings, name, type="token")
    token = records.read_token(settings, name)
    assert token is not None  # noqa: S101 - it was just written
    return token


def undeploy(settings: Settings, name: str) -> None:
    """Stop an endpoint and remove all that is on disk about it."""
    records.check_known(settings, name)
    with records.lock(settings, name):
        before = records.find_record(records.root(settings), name)
        _ask(settings, name, type="undeploy")
    if before:
        _record(settings, "undeployed", before, before)


def bring_up(settings: Settings) -> tuple[Endpoint, ...]:
    """Start what is to be served and is not, after a reboot, say."""
    folder = records.root(settings)
    found = [records.find_record(folder, name) for name in records.list_names(folder)]
    for target in sorted({record.target for record in found if record}):
        control.request(folder, {"type": "up"}, target=target)
    return list_endpoints(settings)
