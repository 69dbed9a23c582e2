"""Model versions: read, found and made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nbmlops.entities import (
    Column,
    ModelVersion,
    Page,
    RegisteredModel,
    Run,
    Signature,
    mode_of,
)
from nbmlops.errors import NotFoundError, StoreError, UsageError, did_you_mean
from nbmlops.store import rest
from nbmlops.store.backend import registry_store
from nbmlops.store.connection import Store, answering
from nbmlops.store.database import connected, has_tables
from nbmlops.store.registry.registered_models import (
    DELETED,
    WORKSPACE,
    check_names,
    create_model,
    get_model,
    registry_of,
)
from nbmlops.store.runs.fields import FILES_DIGEST, to_utc
from nbmlops.store.runs.missing import no_model
from nbmlops.store.runs.queries import find_runs, listed
from nbmlops.store.runs.search_language import quoted

_SIGNATURE = "nbmlops.signature"
MODEL_ID = "nbmlops.model_id"
VERDICT = "nbmlops.verdict"
_RETRIES = 3
_LONGEST_TAG = 100_000
_VERSIONS = (
    "SELECT v.version, v.creation_time, v.run_id, v.source, v.description "
    "FROM model_versions v WHERE v.workspace = :workspace AND v.name = :name "
    "AND v.current_stage != :deleted "
)
_TAGS = (
    "SELECT t.version, t.key, t.value FROM model_version_tags t "
    "WHERE t.workspace = :workspace AND t.name = :name AND t.version IN :versions"
)


def list_versions(
    store: Store, name: str, *, limit: int = 25, page_token: str | None = None
) -> Page[ModelVersion]:
    """Return a page of the versions of a registered model, newest first."""
    model = get_model(store, name)
    registry = registry_of(store)
    if has_tables(registry):
        before = "AND v.version < :before " if page_token else ""
        found = _records(
            registry,
            f"{before}ORDER BY v.version DESC LIMIT :limit",
            name=name,
            before=_number_in(page_token),
            limit=limit + 1,
        )
        token = str(found[limit - 1].version) if len(found) > limit else None
        found = found[:limit]
    else:
        answer = rest.get(
            registry,
            "model-versions/search",
            filter=f"name = {quoted(name)}",
            max_results=limit,
            order_by="version_number DESC",
            page_token=page_token,
        )
        found = [_record(each) for each in answer.get("model_versions", ())]
        token = answer.get("next_page_token") or None
    runs = _runs_of(store, found)
    return Page(
        items=tuple(_to_version(name, each, model.aliases, runs) for each in found),
        next_page_token=token,
    )


def _number_in(page_token: str | None) -> int:
    """Return the version that a page begins below, whatever new ones there are."""
    if page_token and not re.fullmatch("[0-9]{1,10}", page_token):
        raise UsageError(
            f"{page_token[:80]!r} is no page token.",
            fix="Take it from the page before.",
        )
    return int(page_token or 0)


def get_version(store: Store, name: str, version: int) -> ModelVersion:
    """Return one version of a registered model."""
    return _version_of(store, get_model(store, name), version)


def _version_of(store: Store, model: RegisteredModel, version: int) -> ModelVersion:
    name = model.name
    found = _find(store, name, version)
    if found is None:
        raise no_version(model, version)
    return _to_version(name, found, model.aliases, _runs_of(store, [found]))


def no_version(model: RegisteredModel, version: int) -> NotFoundError:
    """Return the error of a version that a registered model does not have."""
    return NotFoundError(
        f"No version {version} of registered model {model.name!r}.",
        fix=f"Versions go up to {model.latest_version or 0}; register one with "
        f"%register {model.name}.",
    )


def read_versions(
    store: Store, model: RegisteredModel, numbers: Iterable[int]
) -> tuple[Mapping[int, ModelVersion], Mapping[str, Run]]:
    """Return some versions by number and their runs by id, without what is gone."""
    registry, asked = registry_of(store), sorted(set(numbers))
    if has_tables(registry):
        condition = "AND v.version IN :numbers"
        found = _records(registry, condition, name=model.name, numbers=asked)
    else:
        found = [r for n in asked if (r := _find(store, model.name, n)) is not None]
    runs = _runs_of(store, found)
    versions = (_to_version(model.name, each, model.aliases, runs) for each in found)
    return {version.version: version for version in versions}, runs


def files_digest(store: Store, version: ModelVersion) -> str | None:
    """Return the hash of a version's files as they were logged, if nbmlops did."""
    found = _find(store, version.model, version.version)
    return found.tags.get(FILES_DIGEST) if found else None


def find_version(store: Store, name: str, version: int) -> ModelVersion | None:
    """Return one version of a registered model, None when it is gone."""
    try:
        return get_version(store, name, version)
    except NotFoundError:
        return None


def _find(store: Store, name: str, version: int) -> _Record | None:
    registry = registry_of(store)
    if has_tables(registry):
        found = _records(
            registry, "AND v.version = :version", name=name, version=version
        )
        return found[0] if found else None
    try:
        answer = rest.get(
            registry, "model-versions/get", name=name, version=str(version)
        )
    except NotFoundError:
        return None
    return _record(answer["model_version"])


def resolve_version(store: Store, target: str) -> tuple[ModelVersion, str | None]:
    """Return the version a user means, and the alias it was meant by."""
    name, at, alias = target.rpartition("@")
    if at:
        model = get_model(store, name)
        if alias not in model.aliases:
            raise NotFoundError(
                f"Registered model {name!r} has no alias {alias!r}."
                + did_you_mean(alias, model.aliases)
                + (f" It has {listed(model.aliases)}." if model.aliases else ""),
                fix=f"Set it with: %register {name} --run latest --alias {alias}.",
            )
        return _version_of(store, model, model.aliases[alias]), alias
    name, slash, number = target.rpartition("/")
    if slash:
        if not number.isdecimal():
            raise UsageError(
                f"{number!r} is not a version number.", fix=f"Write {name}/1, say."
            )
        return get_version(store, name, int(number)), None
    model = get_model(store, target)
    if model.latest_version is None:
        raise NotFoundError(
            f"Registered model {target!r} has no version.",
            fix=f"Register one with: %register {target} --run latest.",
        )
    return _version_of(store, model, model.latest_version), None


def create_version(store: Store, name: str, run: Run) -> ModelVersion:
    """Register the model of a run and return its version."""
    return get_version(store, name, create_version_number(store, name, run)[0])


def create_version_number(store: Store, name: str, run: Run) -> tuple[int, bool]:
    """Register the model of a run; return the version, and whether it is new."""
    check_names(name)
    if run.model_id is None:
        raise no_model(store, run)
    is_new = False
    for is_last in (*[False] * _RETRIES, True):
        try:
            number = _find_version(store, name, run)
            is_new = is_new or number is None
            return number or _create_once(store, name, run), is_new
        except StoreError as error:
            # It may have got through: look again.
            if is_last or not error.is_outage:
                raise
    raise AssertionError  # the last try returned or raised


def _find_version(store: Store, name: str, run: Run) -> int | None:
    """Return the version that a run's model was registered as."""
    with answering(store):
        for version in store.client.search_model_versions(
            f"name = {quoted(name)} AND run_id = {quoted(run.run_id)}"
        ):
            if version.tags.get(MODEL_ID) == run.model_id:
                return int(version.version)
    return None


def _create_once(store: Store, name: str, run: Run) -> int:
    """Register a run's model with one request, and return the version."""
    from mlflow.entities.model_registry import ModelVersionTag

    from nbmlops.store.models.models import signature_at

    with answering(store):
        create_model(store, name)
        model_id = str(run.model_id)
        tags = {MODEL_ID: model_id}
        logged = store.client.get_logged_model(model_id)
        location = logged.artifact_location
        if digest := logged.tags.get(FILES_DIGEST):
            tags[FILES_DIGEST] = digest
        signature = signature_at(store, location)
        text = _write_signature(signature) if signature is not None else ""
        if 0 < len(text) <= _LONGEST_TAG:  # kept here too: listings need no file
            tags[_SIGNATURE] = text
        created = registry_store(store).create_model_version(
            name,
            # A server knows its own models. A database would ask the store that this
            # process happens to have as MLflow's default for one.
            source=f"models:/{model_id}" if store.is_served else location,
            run_id=run.run_id,
            tags=[ModelVersionTag(key, value) for key, value in tags.items()],
            model_id=model_id,
        )
    return int(created.version)


@dataclass(frozen=True, slots=True)
class _Record:
    """A version as the registry has it."""

    version: int
    created_ms: int
    run_id: str | None
    source: str | None
    description: str | None
    tags: Mapping[str, str]

    @property
    def model_id(self) -> str | None:
        logged = re.fullmatch(r"models:/(m-[0-9a-f]+)", self.source or "")
        return self.tags.get(MODEL_ID) or (logged[1] if logged else None)


def _record(item: Mapping[str, Any]) -> _Record:
    return _Record(
        int(item["version"]),
        int(item["creation_timestamp"]),
        item.get("run_id"),
        item.get("source"),
        item.get("description"),
        {tag["key"]: tag.get("value", "") for tag in item.get("tags", ())},
    )


def _records(registry: Store, condition: str, **values: Any) -> list[_Record]:
    given = values | {"workspace": WORKSPACE, "deleted": DELETED}
    with connected(registry) as connection:
        rows = connection.query(_VERSIONS + condition, **given)
        tags: dict[int, dict[str, str]] = {row[0]: {} for row in rows}
        for version, key, value in connection.query(
            _TAGS, workspace=WORKSPACE, name=values["name"], versions=list(tags)
        ):
            tags[version][key] = value
    return [
        _Record(version, created_ms, run_id, source, description, tags[version])
        for version, created_ms, run_id, source, description in rows
    ]


def _runs_of(store: Store, versions: Iterable[_Record]) -> Mapping[str, Run]:
    return find_runs(store, [each.run_id for each in versions if each.run_id])


def _to_version(
    name: str, record: _Record, aliases: Mapping[str, int], runs: Mapping[str, Run]
) -> ModelVersion:
    run = runs.get(record.run_id or "")
    return ModelVersion(
        model=name,
        version=record.version,
        aliases=tuple(sorted(a for a, v in aliases.items() if v == record.version)),
        created_at=to_utc(record.created_ms),
        run_id=record.run_id or None,
        model_id=record.model_id,
        metrics=run.metrics if run else {},
        params=run.params if run else {},
        signature=_read_signature(record.tags.get(_SIGNATURE)),
        source=run.source if run else None,
        description=record.description or "",
        order_note=run.order_note if run else None,
        metric_modes={metric: mode_of(metric) for metric in run.metrics} if run else {},
        user=run.user if run else None,
        datasets=run.datasets if run else (),
        verdict=record.tags.get(VERDICT),
    )


def _write_signature(signature: Signature) -> str:
    def rows(columns: Iterable[Column]) -> list[list[Any]]:
        return [[column.name, column.type, column.is_required] for column in columns]

    return json.dumps([rows(signature.inputs), rows(signature.outputs)])


def _read_signature(text: str | None) -> Signature | None:
    if text is None:
        return None

    def columns(rows: list[list[Any]]) -> tuple[Column, ...]:
        return tuple(Column(name=n, type=t, is_required=r) for n, t, r in rows)

    inputs, outputs = json.loads(text)
    return Signature(inputs=columns(inputs), outputs=columns(outputs))
