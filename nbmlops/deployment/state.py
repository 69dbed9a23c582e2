"""What an endpoint says of itself just now."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from nbmlops.config import Settings
from nbmlops.deployment import process, records
from nbmlops.deployment.client import UNANSWERED, ask
from nbmlops.deployment.records import Record
from nbmlops.entities import Endpoint, EndpointState

_PING_S = 1.0


def observe(settings: Settings, record: Record) -> Endpoint:
    """Return what a record's process says of itself just now."""
    name, target = record.name, f"{record.model}/{record.version}"
    if process.find_process(record.pid, record.process_started_at) is None:
        folder = records.folder_of(settings, name)
        told = records.last_words(folder) if folder else ""
        return to_endpoint(
            record,
            "dead",
            f"Its process ended{f': {told}' if told else '.'} "
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
            return to_endpoint(record, "ready")
        problem = f"{served_by or 'Something else'} answers in place of {target}."
    else:
        problem = "Its process runs and does not answer."
    return to_endpoint(
        record, "unresponsive", f"{problem} Wait, or remove it: %undeploy {name}"
    )


def to_endpoint(record: Record, state: EndpointState, message: str = "") -> Endpoint:
    """Return a record and a state as the noun the doors know."""
    return Endpoint(
        name=record.name,
        model=record.model,
        version=record.version,
        alias=record.alias,
        url=record.url,
        port=record.port,
        pid=record.pid,
        state=state,
        started_at=datetime.fromisoformat(record.started_at),
        message=message,
    )
