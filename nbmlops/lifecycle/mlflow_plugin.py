"""Endpoints as deployments of MLflow: ``mlflow deployments create -t nbmlops``.

MLflow loads this module by its entry point, and looks in it for one client class,
``run_local`` and ``target_help``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflow.deployments import PredictionsResponse
from mlflow.deployments.base import BaseDeploymentClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)

from nbmlops.config import load_settings
from nbmlops.deployment import EndpointHandle, records
from nbmlops.entities import Endpoint
from nbmlops.errors import (
    ConflictError,
    NbmlopsError,
    NotFoundError,
    UsageError,
    did_you_mean,
    in_words,
)
from nbmlops.lifecycle import deploy
from nbmlops.scoring.signature import read_mlmodel

_CODES = (
    (NotFoundError, RESOURCE_DOES_NOT_EXIST),
    (ConflictError, RESOURCE_ALREADY_EXISTS),
    (UsageError, INVALID_PARAMETER_VALUE),
    (NbmlopsError, INTERNAL_ERROR),
)
_MODEL_URI = re.compile(
    r"models:/+(?P<name>[^/@]+)(?:/(?P<which>[^/@]+)|@(?P<alias>.+))"
)
_URI_FIX = (
    "Give models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME/latest; register "
    "other models first: nbmlops register NAME --run RUN"
)
_YES_OR_NO = {"true": True, "1": True, "yes": True} | dict.fromkeys(
    ("false", "0", "no"), False
)
_SHOWN = (
    *("name", "model", "version", "alias", "url", "state", "message"),
    *("canary_version", "canary_share"),
)
_REQUEST = ("dataframe_split", "dataframe_records", "instances", "inputs")
_HELP = """\
Serves versions of registered models, as `nbmlops deploy` does.

Target URI: nbmlops. The endpoints are those of the project of the working folder.
Model URI: models:/NAME/VERSION, models:/NAME@ALIAS or models:/NAME/latest.
Config, each as -C NAME=VALUE:

  port     a TCP port on the loopback interface; a free one by default
  no_auth  true: answer without a token
  trust    true: run the code that the model brings
  alias    an alias that moves to the version once it answers
  target   local or ray: where it runs
  canary   with update: the share of requests that the version answers, 10% or 0.1

A deployment's token is in .nbmlops/endpoints/NAME/token.
"""


def target_help() -> str:
    """Return what ``mlflow deployments help -t nbmlops`` prints."""
    return _HELP


def run_local(
    name: str,
    model_uri: str,
    flavor: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Deploy, which is on this machine anyway."""
    NbmlopsDeploymentClient("nbmlops").create_deployment(
        name, model_uri, flavor, config
    )


class NbmlopsDeploymentClient(BaseDeploymentClient):
    """The endpoints of the project as deployments."""

    def __init__(self, target_uri: str) -> None:
        self.target_uri = target_uri
        if target_uri.rstrip(":/") != "nbmlops":
            raise MlflowException.invalid_parameter_value(
                f"Unknown target {target_uri!r}.\nUse nbmlops: its endpoints are those "
                "of the project of the working folder."
            )

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Serve a model version under a name that no endpoint has."""
        with _errors_of_mlflow():
            _refuse(flavor, endpoint)
            options = _read_config(config)
            if "canary" in options:
                raise UsageError(
                    "A canary answers beside a version that is served.",
                    fix="Create the deployment without it, and update it with one.",
                )
            target = _read_model_uri(model_uri)
            if records.find_record(records.root(load_settings()), name) is not None:
                raise ConflictError(
                    f"There is a deployment {name!r}.", fix="Update it, or delete it."
                )
            return _described(deploy.deploy(target, name=name, **options).endpoint)

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Have another version take over or be the canary, or change the config."""
        with _errors_of_mlflow():
            _refuse(flavor, endpoint)
            options = _read_config(config)
            before = deploy.endpoint(name).endpoint
            if model_uri is not None:
                target = _read_model_uri(model_uri)
            elif "canary" in options:
                raise UsageError(
                    "A canary needs a version.", fix="Give the model URI of it."
                )
            elif before.alias is not None:
                target = f"{before.model}@{before.alias}"
            else:
                target = f"{before.model}/{before.version}"
            if "canary" not in options and "no_auth" not in options:
                record = records.get_record(load_settings(), name)
                options["no_auth"] = record.no_auth
            return _described(deploy.deploy(target, name=name, **options).endpoint)

    def delete_deployment(
        self,
        name: str,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> None:
        """Stop an endpoint and remove it; safe to call again."""
        with _errors_of_mlflow():
            _refuse(None, endpoint)
            _read_config(config)
            if records.find_record(records.root(load_settings()), name) is not None:
                deploy.undeploy(name)

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Return the endpoints of the project."""
        with _errors_of_mlflow():
            _refuse(None, endpoint)
            return [_described(each) for each in deploy.endpoints()]

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """Return one endpoint, with the state it is in."""
        with _errors_of_mlflow():
            _refuse(None, endpoint)
            return _described(deploy.endpoint(name).endpoint)

    def predict(
        self,
        deployment_name: str | None = None,
        inputs: Any = None,  # noqa: ANN401 - rows, or a request as a dict
        endpoint: str | None = None,
    ) -> PredictionsResponse:
        """Return the predictions for rows, or for a request of MLflow's protocol."""
        with _errors_of_mlflow():
            _refuse(None, endpoint)
            if deployment_name is None:
                raise UsageError("No deployment is named.", fix="Give its name.")
            predictions = _predict(deploy.endpoint(deployment_name), inputs)
            return PredictionsResponse({"predictions": predictions})


def _predict(handle: EndpointHandle, inputs: Any) -> list[Any]:  # noqa: ANN401
    if isinstance(inputs, dict) and not set(inputs).isdisjoint(_REQUEST):
        return handle.send(json.dumps(inputs).encode())
    if isinstance(inputs, dict):  # columns
        return handle.send(json.dumps({"inputs": inputs}).encode())
    predictions: list[Any] = handle.predict(inputs).tolist()
    return predictions


def _described(endpoint: Endpoint) -> dict[str, Any]:
    found = {name: getattr(endpoint, name) for name in _SHOWN}
    return {"flavor": _flavor_of(endpoint.name)} | {
        name: value for name, value in found.items() if value not in (None, "")
    }


def _flavor_of(name: str) -> str:
    settings = load_settings()
    folder = records.model_folder(settings, records.get_record(settings, name))
    flavors = read_mlmodel(folder).get("flavors") or {}
    own = [each for each in flavors if each != "python_function"]
    return str(own[0]) if own else "python_function"


def _read_model_uri(uri: str) -> str:
    """Return what a model URI means, in the words of `nbmlops.lifecycle.deploy`."""
    found = _MODEL_URI.fullmatch(uri)
    if found is None:
        raise UsageError(f"{uri!r} is no version of a registered model.", fix=_URI_FIX)
    if found["alias"]:
        return f"{found['name']}@{found['alias']}"
    if found["which"].lower() == "latest":
        return found["name"]
    if not found["which"].isdecimal():
        raise UsageError(f"{uri!r} names no version.", fix=_URI_FIX)
    return f"{found['name']}/{found['which']}"


def _read_config(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return config as options; on the command line all of it is text."""
    options: dict[str, Any] = {}
    for name, value in (config or {}).items():
        if name not in _READERS:
            raise UsageError(
                f"Unknown config {name!r}.{did_you_mean(name, _READERS)}",
                fix=f"Use some of: {', '.join(_READERS)}.",
            )
        options[name] = _READERS[name](name, str(value))
    return options


def _read_port(_: str, value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise UsageError(f"{value!r} is no port.", fix="Give a number.") from error


def _read_flag(name: str, value: str) -> bool:
    try:
        return _YES_OR_NO[value.lower()]
    except KeyError as error:
        raise UsageError(
            f"{name} is {value!r}.", fix="Give it as true or false."
        ) from error


def _read_text(_: str, value: str) -> str:
    return value


_READERS: dict[str, Callable[[str, str], Any]] = {
    "port": _read_port,
    "no_auth": _read_flag,
    "trust": _read_flag,
    "alias": _read_text,
    "canary": _read_text,
    "target": _read_text,
}


def _refuse(flavor: str | None, endpoint: str | None) -> None:
    if flavor is not None:
        raise UsageError("The flavor is the model's own.", fix="Leave out the flavor.")
    if endpoint is not None:
        raise UsageError(
            "A deployment is an endpoint here: there is none to put it under.",
            fix="Leave out the endpoint.",
        )


@contextmanager
def _errors_of_mlflow() -> Iterator[None]:
    """Raise our errors as MLflow's, in their two lines."""
    try:
        yield
    except NbmlopsError as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        message = f"{error.problem}\n{in_words(error.fix)}"
        raise MlflowException(message, code) from error
