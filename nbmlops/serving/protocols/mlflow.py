"""MLflow's scoring protocol: ``POST /invocations``."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

from nbmlops.scoring.ranges import RangeCheck
from nbmlops.scoring.request import read_request
from nbmlops.serving.fast_reader import FastReader
from nbmlops.serving.http.messages import Request
from nbmlops.serving.model import ServedModel
from nbmlops.serving.protocols._protocol import Asked, n_rows_of
from nbmlops.serving.scorer import Job

_encode = msgspec.json.encode


class Invocations:
    """Reads and writes as MLflow's server does; ``unseen`` counts what is let pass."""

    def __init__(self, model: ServedModel, unseen: Counter[str]) -> None:
        self._model, self._unseen = model, unseen
        self._reader = FastReader(model.spec) if model.takes_arrays else None
        self._ranges = RangeCheck(model.spec) if model.spec.ranges else None

    def read(self, request: Request) -> Asked:
        """Return what a request asks for."""
        content_type = request.headers.get(b"content-type", b"")
        if self._reader is not None and content_type == b"application/json":
            found = self._reader.read(request.body)
            request.parsed = perf_counter()
            if found is not None and self._is_usual(found[0]):
                array, output = found
                if output != "predictions":
                    self._check_output(output)
                return Asked(array, len(array), (output,))
        kind = self._model.spec.kind
        table = read_request(request.body, content_type.decode("latin-1"), kind=kind)
        request.parsed = perf_counter()
        self._check_output(table.output)
        return Asked(table, n_rows_of(table), (table.output,))

    def _is_usual(self, rows: np.ndarray[Any, Any]) -> bool:
        """Return whether rows may be predicted without a closer look."""
        if self._ranges is None:
            return True
        n_outside = self._ranges.count(rows)
        if n_outside and self._model.spec.out_of_range == "warn":
            self._unseen["out_of_range"] += n_outside
            return True
        return not n_outside

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
