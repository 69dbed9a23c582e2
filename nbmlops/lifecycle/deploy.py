"""From a model version to an endpoint that answers."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import partial

from nbmlops.config import Settings, load_settings
from nbmlops.deployment import EndpointHandle, actions
from nbmlops.deployment.endpoints import get_endpoint, list_endpoints
from nbmlops.entities import Endpoint
from nbmlops.errors import UsageError
from nbmlops.governance.aliases import move
from nbmlops.store import Store, connect
from nbmlops.store.models.own_code import ANY
from nbmlops.store.registry.registered_models import check_names, get_model
from nbmlops.store.registry.versions import resolve_version
from nbmlops.tracking.provenance.replay_notebook import refuse_in_replay


def deploy(
    model: str,
    *,
    name: str | None = None,
    alias: str | None = None,
    port: int | None = None,
    no_auth: bool = False,
    trust: bool = False,
    workers: int | None = None,
    env: bool = False,
    target: str | None = None,
    canary: float | str | None = None,
    rules: Mapping[str, float] | None = None,
    shadow: bool = False,
    store: Store | None = None,
) -> EndpointHandle:
    """Serve a model version, and return when it has answered its own input example.

    Parameters
    ----------
    model : str
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
    workers : int, optional
        Processes that share the port, and the machine's cores; by default what
        ``[tool.nbmlops.serving] workers`` says, which is 1.
    env : bool, default=False
        Whether its workers have the packages that the model was logged with, where
        those differ from the ones here: uv makes an environment, after it was said
        what differs.
    target : {"local", "ray"}, optional
        Where it runs: processes on this machine, or a cluster of Ray that this machine
        is a node of. By default where the endpoint runs already, else here.
    canary : float or str, optional
        The share of requests, between 0 and 1 or as ``10%``, that the version answers;
        the one that is served answers the others. `EndpointHandle.promote` or `abort`
        it.
    rules : mapping of str to float, optional
        What ends a canary by itself when it is exceeded: ``error_share``,
        ``latency_ms_p99`` and ``prediction_shift``, each once it has answered
        ``min_requests``. By default an ``error_share`` of 0.05 over 100.
    shadow : bool, default=False
        Whether the version only gets copies of the requests, which go to the log.
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
        Another model's endpoint has the name, or the port is in use; or somebody else
        has moved the alias, and the endpoint follows it.
    UsageError
        The version cannot be served; it says why.
    DependencyError
        The target is ``ray``, and ``nbmlops[ray]`` is not installed.
    DeployError
        The endpoint did not come up; nothing is left of it.
    """
    refuse_in_replay("deploy")
    store = store or connect()
    version, found_by = resolve_version(store, model)
    check_names(version.model, alias)
    name = name or endpoint_name(version.model)
    trusted = ANY if trust else store.settings.models.trust
    environment = None
    if env:
        from nbmlops.deployment.environment import make_environment

        environment = partial(make_environment, store.settings, announce=_announce)
    if canary is not None or shadow:
        share = None if canary is None else read_share(canary)
        _refuse_options(
            share,
            shadow=shadow,
            alias=alias,
            port=port,
            no_auth=no_auth,
            workers=workers,
            target=target,
        )
        made = (
            actions.begin_shadow(
                store, version, name=name, trust=trusted, environment=environment
            )
            if share is None
            else actions.begin_canary(
                store,
                version,
                name=name,
                share=share,
                rules=rules,
                trust=trusted,
                environment=environment,
            )
        )
        return EndpointHandle(store.settings, made)
    if rules is not None:
        raise UsageError(
            "There is no canary that rules could end.", fix="Give canary=0.1, say."
        )
    named = get_model(store, version.model).aliases.get(alias) if alias else None
    made, is_new = actions.deploy(
        store,
        version,
        name=name,
        alias=alias or found_by,
        port=port,
        no_auth=no_auth,
        trust=trusted,
        workers=workers,
        environment=environment,
        target=target,
        not_followed=None if named == version.version else named,
    )
    if alias is not None:
        move(store, version, alias, expected=named)
    return EndpointHandle(store.settings, made, is_new=is_new)


def _announce(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def endpoint_name(model: str) -> str:
    """Return a registered model's name as a URL takes it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-._")


def _refuse_options(canary: float | None, *, shadow: bool, **others: object) -> None:
    if canary is not None and shadow:
        raise UsageError(
            "A version cannot be canary and shadow at once.", fix="Choose one."
        )
    if given := [name for name, value in others.items() if value]:
        raise UsageError(
            f"{given[0]} is the endpoint's, not its canary's or shadow's.",
            fix=f"Leave out {given[0]}.",
        )


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
    return list_endpoints(_settings(store))


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
    return actions.bring_up(_settings(store))


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
    return EndpointHandle(settings, get_endpoint(settings, name))


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
    actions.undeploy(_settings(store), name)


def read_share(share: float | str) -> float:
    """Return a share from 0 to 1, which may be written as 0.1 or 10%."""
    number, percent, rest = str(share).partition("%")
    try:
        if rest:
            raise ValueError(rest)
        return float(number) / (100 if percent else 1)
    except ValueError as error:
        raise UsageError(
            f"{share!r} is no share.", fix="Write it as 10% or 0.1."
        ) from error


def read_rule(text: str) -> tuple[str, float]:
    """Return a rule that is written as ``NAME=VALUE``."""
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no rule.", fix="Write a name, = and a number."
        ) from error


def _settings(store: Store | None) -> Settings:
    """Return the project's settings, for what works while the store does not."""
    return store.settings if store else load_settings()
