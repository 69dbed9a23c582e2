"""Local endpoints: deployed, listed, asked, removed."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from nbmlops.config import Settings
from nbmlops.deployment import process, records
from nbmlops.deployment.client import UNANSWERED, Response, ask
from nbmlops.deployment.launch import launch
from nbmlops.deployment.records import Record
from nbmlops.entities import Endpoint, EndpointState, ModelVersion
from nbmlops.errors import ConflictError, DeployError, UsageError
from nbmlops.store import Store
from nbmlops.store.models.own_code import Trust

_PREDICT_S = 120.0
_PING_S = 1.0


def deploy(
    store: Store,
    version: ModelVersion,
    *,
    name: str,
    alias: str | None = None,
    port: int | None = None,
    no_auth: bool = False,
    trust: Trust = (),
) -> tuple[Endpoint, bool]:
    """Return the endpoint of a model version, and whether it was started for this."""
    records.check_name(name)
    settings = store.settings
    with records.lock(settings, name):
        before = records.find_record(settings, name)
        endpoint = before and observe(settings, before)
        if before and endpoint and endpoint.state != "dead":
            if before.model != version.model:
                raise ConflictError(
                    f"Endpoint {name!r} serves {before.model}/{before.version}.",
                    fix=f"Choose another with name=, or remove it first: "
                    f"%undeploy {name}.",
                )
            asked = replace(
                before,
                version=version.version,
                model_id=version.model_id,
                run_id=version.run_id,
                port=port or before.port,
                no_auth=no_auth,
                trust=list(trust),
            )
            if endpoint.state == "ready" and asked == before:
                if alias != before.alias:
                    before = replace(before, alias=alias)
                    folder = records.folder_of(settings, name)
                    assert folder is not None  # noqa: S101 - its record was just read
                    records.write_record(folder, before)
                return _to_endpoint(before, "ready"), False
        records.remove_others(
            settings, name, keep=records.folder_of(settings, name) if before else None
        )
        token = records.read_token(settings, name) or secrets.token_urlsafe(32)
        record = launch(
            store,
            version,
            name=name,
            alias=alias,
            port=port,
            token=None if no_auth else token,
            trust=trust,
        )
        if before:
            process.stop(before.process)
        records.remove_others(settings, name, keep=records.folder_of(settings, name))
    return _to_endpoint(record, "ready"), True


def list_endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """Return the project's endpoints, by name, each with the state it is in."""
    found = [records.find_record(settings, n) for n in records.list_names(settings)]
    if not (known := [record for record in found if record]):
        return ()
    with ThreadPoolExecutor(max_workers=min(16, len(known))) as threads:
        return tuple(threads.map(lambda record: observe(settings, record), known))


def get_endpoint(settings: Settings, name: str) -> Endpoint:
    """Return one endpoint, with the state it is in."""
    return observe(settings, records.get_record(settings, name))


def undeploy(settings: Settings, name: str) -> None:
    """Stop an endpoint and remove all that is on disk about it."""
    if records.folder_of(settings, name) is None:
        raise records.not_found(settings, name)
    with records.lock(settings, name):
        record = records.find_record(settings, name)
        if record:
            process.stop(record.process)
        records.remove(settings, name)


def request(
    settings: Settings,
    name: str,
    payload: bytes,
    content_type: str = "application/json",
) -> Response:
    """Return an endpoint's answer to a request."""
    record = records.get_record(settings, name)
    while True:
        try:
            answer = ask(
                record.port,
                f"/endpoints/{name}/invocations",
                token=records.read_token(settings, name),
                timeout_s=_PREDICT_S,
                body=payload,
                content_type=content_type,
            )
        except UNANSWERED as error:
            asked, record = record, records.get_record(settings, name)
            if asked.process == record.process:
                raise _unanswered(settings, record, error) from error
            # A new version has taken over since the record was read.
        else:
            break
    if answer.status == 200:
        return answer
    problem, fix = answer.error()
    if 400 <= answer.status < 500:
        raise UsageError(problem, fix=fix)
    raise DeployError(problem, fix=fix)


def _unanswered(settings: Settings, record: Record, error: Exception) -> DeployError:
    endpoint = observe(settings, record)
    return DeployError(
        f"Endpoint {record.name!r} gave no answer ({type(error).__name__}); it is "
        f"{endpoint.state}.",
        fix=endpoint.message or "Send the request again.",
    )


def observe(settings: Settings, record: Record) -> Endpoint:
    """Return what a record's process says of itself just now."""
    name, target = record.name, f"{record.model}/{record.version}"
    if not process.is_running(record.process):
        folder = records.folder_of(settings, name)
        last = records.last_words(folder) if folder else ""
        return _to_endpoint(
            record,
            "dead",
            f"Its process ended{f': {last}' if last else '.'} "
            f"Start it again: %deploy {target} --name {name}",
        )
    try:
        answer = ask(
            record.port,
            f"/endpoints/{name}/ping",
            token=records.read_token(settings, name),
            timeout_s=_PING_S,
        )
    except UNANSWERED:
        answer = None
    if answer and answer.status == 200:
        served_by = answer.headers.get("x-model-version", "")
        if served_by == quote(target, safe="/ "):
            return _to_endpoint(record, "ready")
        problem = f"{served_by or 'Something else'} answers in place of {target}."
    else:
        problem = "Its process runs and does not answer."
    return _to_endpoint(
        record, "unresponsive", f"{problem} Wait, or remove it: %undeploy {name}"
    )


def _to_endpoint(record: Record, state: EndpointState, message: str = "") -> Endpoint:
    return Endpoint(
        name=record.name,
        model=record.model,
        version=record.version,
        alias=record.alias,
        url=record.url,
        port=record.port,
        pid=record.process.pid,
        state=state,
        started_at=datetime.fromisoformat(record.started_at),
        message=message,
    )
