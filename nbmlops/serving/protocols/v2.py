"""The Open Inference Protocol V2: routes below ``/v2``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.metadata import version as installed_version
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

import numpy as np

from nbmlops.errors import UsageError
from nbmlops.scoring.request import Output, refusal, shown_name
from nbmlops.scoring.v2 import read_infer
from nbmlops.scoring.v2_answer import model_metadata, write_infer
from nbmlops.serving.http.messages import Request
from nbmlops.serving.model import ServedModel
from nbmlops.serving.protocols._arrays import Arrays
from nbmlops.serving.protocols._protocol import Asked, n_rows_of
from nbmlops.serving.scorer import Job


class Route(NamedTuple):
    """What a path stands for: a document to get, or an infer request to post."""

    document: Callable[[], dict[str, Any]] | None
    has_version: bool = False


class V2:
    """Reads and writes as the protocol says, and describes the model."""

    def __init__(self, model: ServedModel, unseen: Counter[str]) -> None:
        self._model, self._arrays = model, Arrays(model, unseen)
        self._outputs: tuple[Output, ...] = ("predictions",)
        if model.predict_proba is not None:
            self._outputs = ("predictions", "probabilities")
        self.infer_path = f"/v2/models/{quote(model.name, safe='')}/infer"

    def route(self, path: str) -> Route | None:
        """Return what a path stands for, if anything; refuse other models."""
        if path == self.infer_path:
            return Route(None)
        first, *parts = path.removeprefix("/").removesuffix("/").split("/")
        if first != "v2":
            return None
        match list(map(_decoded, parts)):
            case []:
                return Route(_server)
            case ["health", "live" | "ready" as state]:
                return Route(lambda: {state: True})
            case ["models", name, "versions", version, *what]:
                return self._of_model(name, version, what)
            case ["models", name, *what]:
                return self._of_model(name, None, what)
        return None

    def _of_model(
        self, name: str, version: str | None, what: list[str]
    ) -> Route | None:
        model = self._model
        if name != model.name:
            raise _not_found(
                f"This endpoint serves {shown_name(model.name)}, not "
                f"{shown_name(name)}.",
                fix=f"Send it to {self.infer_path}.",
            )
        if version is not None and version != str(model.version):
            raise _not_found(
                f"Version {shown_name(version)} of {shown_name(name)} is not served; "
                f"version {model.version} is.",
                fix="Leave out /versions/N: the version that is served answers.",
            )
        match what:
            case []:
                return Route(self._metadata)
            case ["ready"]:
                return Route(lambda: {"name": name, "ready": True})
            case ["infer"]:
                return Route(None, version is not None)
        return None

    def _metadata(self) -> dict[str, Any]:
        model = self._model
        return model_metadata(
            model.document,
            name=model.name,
            versions=[model.version],
            classes=model.classes if model.predict_proba is not None else (),
        )

    def read(self, request: Request) -> Asked:
        """Return what an infer request asks for."""
        content_type = request.headers.get(b"content-type", b"").decode("latin-1")
        spec = self._model.spec
        found = read_infer(request.body, content_type, spec, outputs=self._outputs)
        request.parsed = perf_counter()
        array = self._arrays.of(found.table)
        rows = found.table if array is None else array
        return Asked(rows, n_rows_of(found.table), found.outputs, found.id)

    def write(self, job: Job, asked: Asked) -> bytes:
        """Return the body of an answer."""
        return write_infer(
            {output: job.results[output] for output in asked.outputs},  # type: ignore[misc]
            model_name=self._model.name,
            model_version=str(self._model.version),
            request_id=asked.id,
            classes=np.asarray(self._model.classes).tolist(),
        )


def _server() -> dict[str, Any]:
    return {
        "name": "nbmlops",
        "version": installed_version("nbmlops"),
        "extensions": [],
    }


def _decoded(part: str) -> str:
    return unquote_to_bytes(part.encode("latin-1")).decode("utf-8", "replace")


def _not_found(problem: str, *, fix: str) -> UsageError:
    return refusal(problem, fix=fix, status=404)
