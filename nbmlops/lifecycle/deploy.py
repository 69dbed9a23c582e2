"""From a model version to an endpoint that answers."""

from __future__ import annotations

import re

from nbmlops.config import Settings, load_settings
from nbmlops.deployment import EndpointHandle, local
from nbmlops.entities import Endpoint
from nbmlops.store import Store, connect
from nbmlops.store.models.own_code import ANY
from nbmlops.store.registry.registered_models import check_names
from nbmlops.store.registry.versions import move_alias, resolve_version
from nbmlops.tracking.provenance.replay_notebook import refuse_in_replay


def deploy(
    target: str,
    *,
    name: str | None = None,
    alias: str | None = None,
    port: int | None = None,
    no_auth: bool = False,
    trust: bool = False,
    store: Store | None = None,
) -> EndpointHandle:
    """Serve a model version, and return when it has answered its own input example.

    Parameters
    ----------
    target : str
        ``MODEL@ALIAS``, ``MODEL/VERSION``, or ``MODEL`` for its newest version.
    name : str, optional
        The endpoint's name; by default the registered model's, with ``-`` for what
        has no place in a URL.
    alias : str, optional
        Such as ``champion``; it moves to the version when the endpoint has answered.
    port : int, optional
        TCP port on the loopback interface, 1 to 65535; a free one by default.
    no_auth : bool, default=False
        Whether the endpoint answers without a bearer token.
    trust : bool, default=False
        Whether the endpoint runs whatever code the model brings; else that of the
        modules in ``[tool.nbmlops.models] trust``.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    EndpointHandle
        With ``url``, ``token`` and ``predict``.

    Raises
    ------
    NotFoundError
        No such model, version or alias.
    ConflictError
        Another model's endpoint has the name, or the port is in use.
    UsageError
        The version cannot be served; it says why.
    DeployError
        The endpoint did not come up; nothing is left of it.
    """
    refuse_in_replay("deploy")
    store = store or connect()
    version, found_by = resolve_version(store, target)
    check_names(version.model, alias)
    made, is_new = local.deploy(
        store,
        version,
        name=name or re.sub(r"[^A-Za-z0-9._-]+", "-", version.model).strip("-._"),
        alias=alias or found_by,
        port=port,
        no_auth=no_auth,
        trust=ANY if trust else store.settings.models.trust,
    )
    if alias is not None:
        move_alias(store, version, alias)
    return EndpointHandle(store.settings, made, is_new=is_new)


def endpoints(*, store: Store | None = None) -> tuple[Endpoint, ...]:
    """Return the endpoints of the project, dead ones included.

    Parameters
    ----------
    store : Store, optional
        The project's store by default.

    Returns
    -------
    tuple of Endpoint
        By name.
    """
    return local.list_endpoints(_settings(store))


def endpoints_up(*, store: Store | None = None) -> tuple[Endpoint, ...]:
    """Start the endpoints that are to be served and are not, after a reboot, say.

    Parameters
    ----------
    store : Store, optional
        The project's store by default.

    Returns
    -------
    tuple of Endpoint
        All of the project, by name.
    """
    return local.bring_up(_settings(store))


def endpoint(name: str, *, store: Store | None = None) -> EndpointHandle:
    """Return one endpoint.

    Parameters
    ----------
    name : str
        The endpoint's name.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    EndpointHandle
        With ``url``, ``token``, ``status()`` and ``predict``.

    Raises
    ------
    NotFoundError
        There is none of that name.
    """
    settings = _settings(store)
    return EndpointHandle(settings, local.get_endpoint(settings, name))


def undeploy(name: str, *, store: Store | None = None) -> None:
    """Stop an endpoint; its process, port and files are gone when this returns.

    Parameters
    ----------
    name : str
        The endpoint's name.
    store : Store, optional
        The project's store by default.

    Raises
    ------
    NotFoundError
        There is none of that name.
    """
    refuse_in_replay("undeploy")
    local.undeploy(_settings(store), name)


def _settings(store: Store | None) -> Settings:
    """Return the project's settings, for what works while the store does not."""
    return store.settings if store else load_settings()
