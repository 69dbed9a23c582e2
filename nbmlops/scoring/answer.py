"""Predictions as the JSON that MLflow's server answers."""

from __future__ import annotations

import base64

import numpy as np
import pandas as pd

from nbmlops.scoring.payload import strict_json


def write_answer(predictions: object, *, classes: object = None) -> bytes:
    """Return predictions as MLflow's server answers them.

    >>> write_answer(np.array([1.5, np.nan]))
    b'{"predictions": [1.5, null]}'
    """
    if isinstance(predictions, pd.Series):
        predictions = predictions.to_frame()
    if isinstance(predictions, pd.DataFrame):
        predictions = predictions.to_dict(orient="records")
    elif hasattr(predictions, "toarray"):
        predictions = predictions.toarray()
    answer = {"predictions": predictions}
    if classes is not None:
        answer["classes"] = classes
    return strict_json(answer, default=plain).encode()


def plain(value: object) -> object:
    """Return what JSON can say of a prediction."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.ndarray):
        return list(value) if value.dtype.kind in "mM" else value.tolist()
    if isinstance(value, np.generic):
        return str(value) if value.dtype.kind == "m" else value.item()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is pd.NA or value is pd.NaT:
        return None
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat else str(value)
