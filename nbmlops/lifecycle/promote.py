"""Aliases moved on purpose: to a version, and back."""

from __future__ import annotations

from nbmlops.deployment import records
from nbmlops.entities import ModelVersion
from nbmlops.errors import ConflictError, NotFoundError, UsageError
from nbmlops.governance import aliases
from nbmlops.governance.alias_history import earlier_versions
from nbmlops.governance.audit_log import AuditLog, change
from nbmlops.store import Store, connect
from nbmlops.store.connection import answering
from nbmlops.store.registry.registered_models import check_names, get_model
from nbmlops.store.registry.versions import find_version, get_version
from nbmlops.tracking.provenance.replay_notebook import refuse_in_replay

CHAMPION = "champion"


def promote(
    model: str,
    version: int,
    to: str = CHAMPION,
    *,
    expected: int | None = None,
    reason: str = "",
    store: Store | None = None,
) -> ModelVersion:
    """Move an alias to a version, unless somebody else has just moved it.

    Parameters
    ----------
    model : str
        Name of the registered model.
    version : int
        The version that the alias is to name.
    to : str, default="champion"
        The alias; it is made when missing.
    expected : int, optional
        The version that the alias names now, 0 for none: if it names another one, it
        stays there. By default what it names when this is called.
    reason : str, default=""
        Why; it goes into the audit log, 1000 characters at most.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    ModelVersion
        The version, with the alias.

    Raises
    ------
    ConflictError
        The alias has moved; it says where to, by whom and when.
    NotFoundError
        No such model or version.
    UsageError
        The alias is refused.
    """
    refuse_in_replay("promote")
    check_names(model, to)
    store = store or connect()
    seen = get_model(store, model).aliases.get(to) if expected is None else expected
    found = get_version(store, model, _number(version))
    return aliases.move(store, found, to, expected=seen or None, why=reason)


def rollback(
    model: str,
    alias: str = CHAMPION,
    *,
    reason: str = "",
    store: Store | None = None,
) -> ModelVersion:
    """Move an alias back to the version that it named before.

    Call it again to go back by one more. Versions that are deleted are passed over.

    Parameters
    ----------
    model : str
        Name of the registered model.
    alias : str, default="champion"
        The alias.
    reason : str, default=""
        Why; it goes into the audit log, 1000 characters at most.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    ModelVersion
        The version that the alias names now.

    Raises
    ------
    ConflictError
        The alias has just moved; it says where to, by whom and when.
    NotFoundError
        No such model, or no version is known that the alias named before.
    """
    refuse_in_replay("roll back")
    check_names(model, alias)
    store = store or connect()
    known = get_model(store, model).aliases
    aliases.notice(store, model, known)
    seen = known.get(alias)
    events = AuditLog(store.settings).read(model)
    earlier = (
        find_version(store, model, number)
        for number in earlier_versions(events, alias)
        if number != seen
    )
    target = next(filter(None, earlier), None)
    if target is None:
        raise NotFoundError(
            f"No version is known that {alias} of {model!r} named before.",
            fix=f"Choose one: %promote {model} VERSION.",
        )
    return aliases.move(
        store, target, alias, expected=seen, why=reason, what="rolled back"
    )


def delete_version(
    model: str, version: int, *, reason: str = "", store: Store | None = None
) -> None:
    """Delete a version that nothing uses.

    Parameters
    ----------
    model : str
        Name of the registered model.
    version : int
        The version.
    reason : str, default=""
        Why; it goes into the audit log, 1000 characters at most.
    store : Store, optional
        The project's store by default.

    Raises
    ------
    ConflictError
        An alias names it or an endpoint serves it; it says which.
    NotFoundError
        No such model or version.
    """
    refuse_in_replay("delete versions")
    store = store or connect()
    log = AuditLog(store.settings)
    with log.locked():
        found = get_version(store, model, _number(version))
        if found.aliases:
            named = " and ".join(found.aliases)
            raise ConflictError(
                f"Version {version} of {model!r} is its {named}.",
                fix="Move the alias to another version first, with %promote.",
            )
        for name, role in _endpoints_with(store, found):
            raise ConflictError(
                f"Endpoint {name!r} serves version {version} of {model!r}{role}.",
                fix=f"Deploy another version, or remove it: %undeploy {name}.",
            )
        with answering(store):
            store.client.delete_model_version(model, str(version))
        log.append(change("version deleted", model, version=version, why=reason))


def _endpoints_with(store: Store, version: ModelVersion) -> list[tuple[str, str]]:
    """Return the endpoints that serve a version, each with the role it has there.

    The version that an endpoint would go back to is its own copy.
    """
    folder = records.root(store.settings)
    found = []
    for name in records.list_names(folder):
        if record := records.find_record(folder, name):
            canary = record.canary and record.canary.served
            roles = (
                (record.champion, ""),
                (canary, " as its canary"),
                (record.shadow, " as its shadow"),
            )
            found += [
                (name, role)
                for served, role in roles
                if served
                and (served.model, served.version) == (version.model, version.version)
            ]
    return found


def _number(version: object) -> int:
    if type(version) is not int:
        raise UsageError(
            f"{str(version)[:80]!r} is no version number.",
            fix="Give a whole number, such as 3.",
        )
    return version
