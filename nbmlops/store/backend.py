"""MLflow's backends as a sender needs them: one try, no long wait."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nbmlops.store.connection import Store, probe

if TYPE_CHECKING:
    from mlflow.store.model_registry.abstract_store import (
        AbstractStore as AbstractRegistry,
    )
    from mlflow.store.tracking.abstract_store import AbstractStore
    from mlflow.utils.rest_utils import MlflowHostCreds

_TIMEOUT_S = 10


def backend(store: Store) -> AbstractStore:
    """Return MLflow's tracking backend for a store."""
    if store.is_served:
        store.load()
        from mlflow.store.tracking.rest_store import RestStore

        served: AbstractStore = _one_try(RestStore, store.uri)
        return served
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if store.uri not in SqlAlchemyStore._engine_map:
        probe(store)  # MLflow's own first try lasts for minutes when it fails
    direct: AbstractStore = store.client._tracking_client.store
    return direct


def registry_store(store: Store) -> AbstractRegistry:
    """Return MLflow's registry of models for a store; see `backend`."""
    client = store.client
    if urlsplit(client._registry_uri).scheme in ("http", "https"):
        from mlflow.store.model_registry.rest_store import RestStore

        served: AbstractRegistry = _one_try(RestStore, client._registry_uri)
        return served
    direct: AbstractRegistry = client._get_registry_client().store
    return direct


def _call_once(
    credentials: MlflowHostCreds,
    path: str,
    method: str,
    json_body: str | None,
    message: Any,  # noqa: ANN401 - of a protobuf message class
) -> Any:  # noqa: ANN401
    """Fill a protobuf message with the answer to one request, sent once."""
    from mlflow.utils import rest_utils
    from mlflow.utils.proto_json_utils import parse_dict

    body = json.loads(json_body) if json_body else None
    answer = rest_utils.verify_rest_response(
        rest_utils.http_request(
            credentials,
            path,
            method,
            max_retries=0,
            timeout=_TIMEOUT_S,
            **{"params" if method == "GET" else "json": body},
        ),
        path,
    )
    if answer.status_code != 204:
        parse_dict(js_dict=answer.json(), message=message)
    return message


@lru_cache(maxsize=8)
def _one_try(kind: type[Any], uri: str) -> Any:  # noqa: ANN401 - an instance of it
    """Return a REST backend of MLflow's whose requests are sent once."""
    from mlflow.utils.credentials import get_default_host_creds

    class OneTry(kind):  # type: ignore[misc]
        def _call_endpoint(
            self,
            api: Any,  # noqa: ANN401 - a protobuf message class
            json_body: str | None = None,
            endpoint: str | None = None,
            *_: Any,
            response_proto: Any = None,  # noqa: ANN401
            **__: Any,
        ) -> Any:  # noqa: ANN401
            if hasattr(self, "_get_endpoint_from_method"):  # the registry's
                path, method = self._get_endpoint_from_method(api)
                message = self._get_response_from_method(api)
            else:
                is_third = api in self._V3_APIS
                table = self._V3_METHOD_TO_INFO if is_third else self._METHOD_TO_INFO
                path, method = table[api]
                path, message = endpoint or path, response_proto or api.Response()
            return _call_once(self.get_host_creds(), path, method, json_body, message)

    return OneTry(partial(get_default_host_creds, uri))
