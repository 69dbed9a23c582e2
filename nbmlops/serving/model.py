"""A model version, loaded and ready to predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbmlops.entities import Signature
from nbmlops.errors import UsageError
from nbmlops.serving.answer import write_answer
from nbmlops.serving.frame import to_input
from nbmlops.serving.protocol import read_request
from nbmlops.serving.signature import read_model_file, read_signature
from nbmlops.store.model_files import load_model
from nbmlops.store.own_code import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """What answers requests.

    Attributes
    ----------
    name : str
        Registered model.
    version : int
        Its version.
    signature : Signature
        What it takes and answers.
    is_flat : bool
        Whether it takes an array of one dimension.
    predict : callable
        The estimator's own method.
    """

    name: str
    version: int
    signature: Signature
    is_flat: bool
    predict: Callable[[Any], Any]

    def answer(self, body: bytes, content_type: str) -> bytes:
        """Return the answer to one request.

        Parameters
        ----------
        body : bytes
            The request's body.
        content_type : str
            Its ``content-type`` header.

        Returns
        -------
        bytes
            JSON.

        Raises
        ------
        UsageError
            The request cannot be read or does not fit the signature.
        """
        table = read_request(body, content_type)
        rows = to_input(table, self.signature, is_flat=self.is_flat)
        return write_answer(self.predict(rows))


def load(folder: Path, *, name: str, version: int, trust: Trust = ()) -> ServedModel:
    """Return the model of a folder, loaded by our own list of trusted types.

    Parameters
    ----------
    folder : Path
        The folder that holds ``MLmodel``.
    name : str
        Registered model.
    version : int
        Its version.
    trust : Trust, default=()
        Modules whose code may run, of what the model brings.

    Returns
    -------
    ServedModel
        Ready to answer.

    Raises
    ------
    UsageError
        It has no signature, cannot predict, or is of a kind that is not loaded.
    """
    document = read_model_file(folder)
    signature, is_flat = read_signature(document)
    estimator = load_model(folder, trust)
    flavor = (document.get("flavors") or {}).get("python_function") or {}
    method = str(flavor.get("predict_fn") or "predict")
    predict = getattr(estimator, method, None)
    if method.startswith("_") or not callable(predict):
        raise UsageError(
            f"{type(estimator).__name__} has no method {method!r} to predict new rows.",
            fix="Deploy a model that has one.",
        )
    return ServedModel(
        name=name,
        version=version,
        signature=signature,
        is_flat=is_flat,
        predict=predict,
    )
