"""MLflow's tracking backend as a background sender needs it: one try, no long wait."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from nbmlops.store.connection import Store

if TYPE_CHECKING:
    from mlflow.store.tracking.abstract_store import AbstractStore

_TIMEOUT_S = 10


def backend(store: Store) -> AbstractStore:
    """Return MLflow's backend for a store.

    Parameters
    ----------
    store : Store
        The project's.

    Returns
    -------
    AbstractStore
        For a tracking server one that sends each request once: MLflow's own repeats a
        request whose answer was lost, and so makes twins of what it creates.
    """
    if store.is_served:
        store.load()
        return _one_try_store(store.uri)
    direct: AbstractStore = store.client._tracking_client.store
    return direct


@lru_cache(maxsize=8)
def _one_try_store(uri: str) -> AbstractStore:
    from mlflow.store.tracking.rest_store import RestStore
    from mlflow.utils import rest_utils
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.proto_json_utils import parse_dict

    class OneTryStore(RestStore):
        def _call_endpoint(
            self,
            api: Any,  # noqa: ANN401 - a protobuf message class
            json_body: str | None = None,
            endpoint: str | None = None,
            retry_timeout_seconds: float | None = None,
            response_proto: Any = None,  # noqa: ANN401
        ) -> Any:  # noqa: ANN401
            known = api in self._V3_APIS
            table = self._V3_METHOD_TO_INFO if known else self._METHOD_TO_INFO
            path, method = table[api]
            path = endpoint or path
            body = json.loads(json_body) if json_body else None
            answer = rest_utils.verify_rest_response(
                rest_utils.http_request(
                    self.get_host_creds(),
                    path,
                    method,
                    max_retries=0,
                    timeout=_TIMEOUT_S,
                    **{"params" if method == "GET" else "json": body},
                ),
                path,
            )
            message = response_proto or api.Response()
            if answer.status_code != 204:
                parse_dict(js_dict=answer.json(), message=message)
            return message

    credentials = partial(get_default_host_creds, uri)
    made: AbstractStore = OneTryStore(credentials)  # type: ignore[no-untyped-call]
    return made
