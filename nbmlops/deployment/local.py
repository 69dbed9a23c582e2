"""Local endpoints: deployed, listed, asked, removed."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from nbmlops.config import Settings
from nbmlops.deployment import process, records
from nbmlops.deployment.client import UNANSWERED, Answer, ask
from nbmlops.deployment.launch import launch
from nbmlops.deployment.records import Record
from nbmlops.deployment.state import observe, to_endpoint
from nbmlops.entities import Endpoint, ModelVersion
from nbmlops.errors import ConflictError, DeployError, UsageError
from nbmlops.scoring.example import read_example
from nbmlops.scoring.signature import InputSpec, read_input_spec, read_mlmodel
from nbmlops.store import Store
from nbmlops.store.models.own_code import Trust

_PREDICT_S = 120.0


def deploy(
    store: Store,
    version: ModelVersion,
    *,
    name: str,
    alias: str | None = None,
    port: int | None = None,
    is_open: bool = False,
    trust: Trust = (),
) -> tuple[Endpoint, bool]:
    """Return the endpoint that answers for a model version, started when needed."""
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
            if endpoint.state == "ready" and _is_as_asked(
                before, version, port=port, is_open=is_open, trust=trust
            ):
                return _with_alias(settings, before, alias), False
        records.remove_others(
            settings, name, keep=records.folder_of(settings, name) if before else None
        )
        spec = {
            "name": name,
            "model": version.model,
            "version": version.version,
            "alias": alias,
            "model_id": version.model_id,
            "run_id": version.run_id,
            "is_open": is_open,
            "trust": list(trust),
            "max_request_bytes": settings.max_request_bytes,
        }
        token = records.read_token(settings, name) or secrets.token_urlsafe(32)
        record, folder = launch(
            store, version, spec, port=port, token=None if is_open else token
        )
        if before:
            process.stop(before.pid, before.process_started_at)
        records.remove_others(settings, name, keep=folder)
    return to_endpoint(record, "ready"), True


def _is_as_asked(
    record: Record,
    version: ModelVersion,
    *,
    port: int | None,
    is_open: bool,
    trust: Trust,
) -> bool:
    asked = (version.version, version.model_id, version.run_id, is_open, list(trust))
    is_same = asked == (
        record.version,
        record.model_id,
        record.run_id,
        record.is_open,
        record.trust,
    )
    return is_same and port in (None, record.port)


def _with_alias(settings: Settings, record: Record, alias: str | None) -> Endpoint:
    folder = records.folder_of(settings, record.name)
    if folder is not None and record.alias != alias:
        record = replace(record, alias=alias)
        records.write_spec(folder, record)
    return to_endpoint(record, "ready")


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
            process.stop(record.pid, record.process_started_at)
        records.remove(settings, name)


def read_token(settings: Settings, name: str) -> str | None:
    """Return an endpoint's bearer token."""
    records.get_record(settings, name)
    return records.read_token(settings, name)


def example(settings: Settings, name: str) -> dict[str, Any] | None:
    """Return rows to try an endpoint with."""
    records.get_record(settings, name)
    folder = records.folder_of(settings, name)
    found = read_example(folder / "model") if folder else None
    return found.table() if found else None


def input_spec(settings: Settings, name: str) -> InputSpec:
    """Return what the model of an endpoint takes."""
    records.get_record(settings, name)
    folder = records.folder_of(settings, name)
    if folder is None:
        raise records.not_found(settings, name)
    return read_input_spec(read_mlmodel(folder / "model"))


def max_request_bytes(settings: Settings, name: str) -> int:
    """Return the size of the largest request that an endpoint reads, in bytes."""
    return records.get_record(settings, name).max_request_bytes


def predict(
    settings: Settings,
    name: str,
    payload: bytes,
    content_type: str = "application/json",
) -> bytes:
    """Return an endpoint's raw answer to a request, as `request` does."""
    return request(settings, name, payload, content_type).body


def request(
    settings: Settings,
    name: str,
    payload: bytes,
    content_type: str = "application/json",
) -> Answer:
    """Return an endpoint's answer to a request."""
    record = records.get_record(settings, name)
    try:
        answer = _send(settings, record, payload, content_type)
    except UNANSWERED as error:
        # A new version may have taken over since the record was read.
        again = records.get_record(settings, name)
        if again.pid == record.pid:
            raise _unanswered(settings, record, error) from error
        try:
            answer = _send(settings, again, payload, content_type)
        except UNANSWERED as error_again:
            raise _unanswered(settings, again, error_again) from error_again
    if answer.status == 200:
        return answer
    problem, fix = answer.told()
    if 400 <= answer.status < 500:
        raise UsageError(problem, fix=fix)
    raise DeployError(problem, fix=fix)


def _send(
    settings: Settings, record: Record, payload: bytes, content_type: str
) -> Answer:
    return ask(
        record.port,
        f"/endpoints/{record.name}/invocations",
        token=records.read_token(settings, record.name),
        timeout_s=_PREDICT_S,
        body=payload,
        content_type=content_type,
    )


def _unanswered(settings: Settings, record: Record, error: Exception) -> DeployError:
    endpoint = observe(settings, record)
    return DeployError(
        f"Endpoint {record.name!r} gave no answer ({type(error).__name__}); it is "
        f"{endpoint.state}.",
        fix=endpoint.message or "Send the request again.",
    )
