"""Endpoints as they are just now: listed, found, asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from urllib.parse import quote

from nbmlops.config import Settings
from nbmlops.deployment import records
from nbmlops.deployment.client import UNANSWERED, Response, ask
from nbmlops.deployment.records import LOCAL, Record
from nbmlops.entities import Endpoint, EndpointState
from nbmlops.errors import DeployError, UsageError

_PREDICT_S = 120.0
_PING_S = 1.0


def list_endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """Return the project's endpoints, by name, each with the state it is in."""
    folder = records.root(settings)
    found = [records.find_record(folder, n) for n in records.list_names(folder)]
    if not (known := [record for record in found if record]):
        return ()
    with ThreadPoolExecutor(max_workers=min(16, len(known))) as threads:
        return tuple(threads.map(lambda record: observe(settings, record), known))


def get_endpoint(settings: Settings, name: str) -> Endpoint:
    """Return one endpoint, with the state it is in."""
    return observe(settings, records.get_record(settings, name))


def request(
    settings: Settings,
    name: str,
    payload: bytes,
    content_type: str = "application/json",
) -> Response:
    """Return an endpoint's answer to a request."""
    for is_last in (False, True):  # a worker may just have been killed, or replaced
        record = records.get_record(settings, name)
        try:
            answer = ask(
                record.port,
                f"/endpoints/{name}/invocations",
                token=records.read_token(settings, name),
                timeout_s=_PREDICT_S,
                body=payload,
                content_type=content_type,
            )
            break
        except UNANSWERED as error:
            if is_last or isinstance(error, TimeoutError):
                raise _unanswered(settings, record, error) from error
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
    """Return what a record's workers say of themselves just now."""
    name, target = record.name, str(record.champion)
    try:
        answer = ask(
            record.port,
            f"/endpoints/{name}/ping",
            token=records.read_token(settings, name) if not record.no_auth else None,
            timeout_s=_PING_S,
        )
    except UNANSWERED:
        answer = None
    if answer and answer.status == 200:
        served_by = answer.headers.get("x-model-version", "")
        if served_by == quote(target, safe="/ "):
            return _to_endpoint(record, "ready", record.message)
        problem = f"{served_by or 'Something else'} answers in place of {target}."
    elif record.target != LOCAL:
        return _to_endpoint(
            record,
            "dead",
            "The cluster does not answer for it. Start it again: nbmlops endpoints up",
        )
    elif any(map(records.is_running, record.processes)):
        problem = "Its process runs and does not answer."
    else:
        last = records.last_words(records.root(settings) / name)
        return _to_endpoint(
            record,
            "dead",
            f"Its process ended{f': {last}' if last else '.'} "
            "Start it again: nbmlops endpoints up",
        )
    return _to_endpoint(
        record, "unresponsive", f"{problem} Wait, or remove it: %undeploy {name}"
    )


def _to_endpoint(record: Record, state: EndpointState, message: str = "") -> Endpoint:
    canary = record.canary
    return Endpoint(
        name=record.name,
        model=record.champion.model,
        version=record.champion.version,
        alias=record.alias,
        url=record.url,
        port=record.port,
        pid=record.processes[0].pid if record.processes else 0,
        state=state,
        started_at=datetime.fromisoformat(record.started_at),
        message=message,
        canary_version=canary.served.version if canary else None,
        canary_share=canary.share if canary else None,
        shadow_version=record.shadow.version if record.shadow else None,
        previous_version=record.previous.version if record.previous else None,
    )
