"""MLflow's REST API, asked without MLflow, whose import takes seconds."""

from __future__ import annotations

import configparser
import json
import os
import threading
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nbmlops.errors import StoreError
from nbmlops.store import backend
from nbmlops.store.connection import (
    TRANSIENT,
    ApiError,
    Store,
    answering,
    prepare_environment,
    unreachable,
)

if TYPE_CHECKING:
    import requests

_API = "/api/2.0/mlflow/"
_UNUSUAL = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_ENABLE_WORKSPACES",
    "MLFLOW_WORKSPACE",
)
_lock = threading.Lock()


def get(store: Store, path: str, /, **asked: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the answer to a question that takes its values in the address."""
    return _json(store, "GET", path, asked)


def post(store: Store, path: str, /, **asked: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the answer to a question that takes its values in a body."""
    return _json(store, "POST", path, asked)


def pages(store: Store, method: str, path: str, /, **asked: Any) -> Iterator[Any]:
    """Yield the answers to a question, page by page."""
    token = None
    while True:
        answer = _json(store, method, path, {**asked, "page_token": token})
        yield answer
        token = answer.get("next_page_token")
        if not token:
            return


def get_run(store: Store, run_id: str) -> Any:  # noqa: ANN401 - JSON
    """Return a run of whatever experiment."""
    asked = {"run_id": run_id}
    return _json(store, "GET", "runs/get", asked, missing=f"No run {run_id!r}.")["run"]


def read_artifact(store: Store, path: str) -> bytes:
    """Return a file that the server keeps, by its path below the server's artifacts."""
    path = f"/api/2.0/mlflow-artifacts/artifacts/{path}"
    with answering(store):
        return _answer(store, "GET", path, {})


def _json(
    store: Store, method: str, path: str, asked: dict[str, Any], missing: str = ""
) -> Any:  # noqa: ANN401
    given = {name: value for name, value in asked.items() if value is not None}
    with answering(store, missing=missing, fix="List them with %runs." * bool(missing)):
        content = _answer(store, method, _API + path, given)
    try:
        return json.loads(content or b"{}")
    except ValueError as error:
        raise StoreError(
            f"The tracking server {store.host} answers with no JSON.",
            fix="See that MLFLOW_TRACKING_URI is the address of an MLflow server.",
        ) from error


def _answer(store: Store, method: str, path: str, asked: dict[str, Any]) -> bytes:
    ask = _over_http if is_plain(store) else _in_process
    status, content = ask(store, method, path, asked)
    if status == 200:
        return content
    raise ApiError.of(status, content)


def _over_http(
    store: Store, method: str, path: str, asked: dict[str, Any]
) -> tuple[int, bytes]:
    import requests

    prepare_environment()
    names = {"params": asked} if method == "GET" else {"json": asked}
    try:
        answer = _session(os.getpid()).request(
            method,
            store.uri.rstrip("/") + path,
            auth=_credentials(),
            headers=_headers(),
            cert=os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH") or None,
            verify=_verify(),
            timeout=float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]),
            **names,  # type: ignore[arg-type]
        )
    except requests.RequestException as error:
        raise unreachable(store) from error
    return answer.status_code, answer.content


@lru_cache(maxsize=2)
def _session(_: int) -> requests.Session:
    """Return the connections of this process; a forked one must not share them."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        total=int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]),
        backoff_factor=0.5,
        status_forcelist=TRANSIENT,
        allowed_methods=None,  # all that is asked here only reads
        raise_on_status=False,
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _is_true(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true")


def _verify() -> bool | str:
    if _is_true("MLFLOW_TRACKING_INSECURE_TLS"):
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True


def _credentials() -> tuple[str, str] | None:
    """Return name and password as MLflow's client finds them."""
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    file = configparser.ConfigParser()
    file.read(Path("~/.mlflow/credentials").expanduser(), encoding="utf-8")
    kept = file["mlflow"] if file.has_section("mlflow") else {}
    user, password = (os.environ.get(n) or kept.get(n.lower()) for n in names)
    return (user, password) if user and password else None


def _headers() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if token and not _credentials():
        return {"Authorization": f"Bearer {token}"}
    return {}


def is_plain(store: Store) -> bool:
    """Return whether the store is a server that needs no plug-in of MLflow's."""
    return store.is_served and not any(map(os.environ.get, _UNUSUAL)) and not _plugins()


@lru_cache(maxsize=1)
def _plugins() -> bool:
    return bool(entry_points(group="mlflow.request_header_provider"))


def _in_process(
    store: Store, method: str, path: str, asked: dict[str, Any]
) -> tuple[int, bytes]:
    """Have MLflow's server, in this process, answer for a store of another kind."""
    from mlflow.server import app, handlers

    names = {"query_string": urlencode(asked, doseq=True)}
    with _lock:
        handlers._tracking_store = backend.backend(store)  # type: ignore[assignment]
        registry = backend.registry_store(store)
        handlers._model_registry_store = registry  # type: ignore[assignment]
        answer = app.test_client().open(
            path, method=method, **(names if method == "GET" else {"json": asked})
        )
    return answer.status_code, answer.data
