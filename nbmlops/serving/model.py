"""A model version, loaded and ready to predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbmlops.errors import UsageError
from nbmlops.scoring.answer import write_answer
from nbmlops.scoring.request import read_request, refusal
from nbmlops.scoring.rows import to_rows
from nbmlops.scoring.signature import InputSpec, read_input_spec, read_mlmodel
from nbmlops.store.models.files import load_model
from nbmlops.store.models.own_code import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """What answers requests."""

    name: str
    version: int
    spec: InputSpec
    predict: Callable[[Any], Any]
    predict_proba: Callable[[Any], Any] | None = None
    classes: Sequence[Any] = ()

    def answer(self, body: bytes, content_type: str) -> bytes:
        """Return the answer to one request."""
        table = read_request(body, content_type, kind=self.spec.kind)
        if table.output == "predictions":
            return write_answer(self.predict(to_rows(table, self.spec)))
        if self.predict_proba is None:
            raise refusal(
                f"{self.name}/{self.version} gives no probabilities.",
                fix='Leave out "output": it predicts without.',
            )
        found = self.predict_proba(to_rows(table, self.spec))
        return write_answer(found, classes=self.classes)


def load(folder: Path, *, name: str, version: int, trust: Trust = ()) -> ServedModel:
    """Return the model of a folder, loaded by our own list of trusted types."""
    document = read_mlmodel(folder)
    spec = read_input_spec(document)
    estimator = load_model(folder, trust)
    flavor = (document.get("flavors") or {}).get("python_function") or {}
    method = str(flavor.get("predict_fn") or "predict")
    predict = getattr(estimator, method, None)
    if method.startswith("_") or not callable(predict):
        raise UsageError(
            f"{type(estimator).__name__} has no method {method!r} to predict new rows.",
            fix="Deploy a model that has one.",
        )
    classes = getattr(estimator, "classes_", None)
    has_classes = method == "predict" and getattr(classes, "ndim", 0) == 1
    proba = getattr(estimator, "predict_proba", None) if has_classes else None
    return ServedModel(
        name=name,
        version=version,
        spec=spec,
        predict=predict,
        predict_proba=proba,
        classes=() if classes is None else classes,
    )
