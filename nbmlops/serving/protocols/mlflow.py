"""MLflow's scoring protocol: ``POST /invocations``."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

from nbmlops.scoring.request import read_request
from nbmlops.serving.http.messages import Request
from nbmlops.serving.model import ServedModel
from nbmlops.serving.protocols._arrays import Arrays
from nbmlops.serving.protocols._protocol import Asked, n_rows_of
from nbmlops.serving.scorer import Job

_encode = msgspec.json.encode


class Invocations:
    """Reads and writes as MLflow's server does; ``unseen`` counts what is let pass."""

    def __init__(self, model: ServedModel, unseen: Counter[str]) -> None:
        self._model, self._arrays = model, Arrays(model, unseen)

    def read(self, request: Request) -> Asked:
        """Return what a request asks for."""
        content_type = request.headers.get(b"content-type", b"")
        if content_type == b"application/json":
            found = self._arrays.read(request.body)
            request.parsed = perf_counter()
            if found is not None:
                array, output = found
                if output != "predictions":
                    self._check_output(output)
                return Asked(array, len(array), (output,))
        kind = self._model.spec.kind
        table = read_request(request.body, content_type.decode("latin-1"), kind=kind)
        request.parsed = perf_counter()
        self._check_output(table.output)
        return Asked(table, n_rows_of(table), (table.output,))

    def _check_output(self, output: str) -> None:
        if output not in ("predictions", "probabilities"):
            read_request(
                _encode({"inputs": [0], "params": {"output": output}}),
                "application/json",
            )
        self._model.function(output)

    def write(self, job: Job, asked: Asked) -> bytes:
        """Return the body of an answer."""
        (output,) = asked.outputs
        document: dict[str, Any] = {"predictions": job.results[output]}
        if output == "probabilities":
            document["classes"] = np.asarray(self._model.classes).tolist()
        return _encode(document)
