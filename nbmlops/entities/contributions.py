"""Why an endpoint answered as it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Explained = Literal["number", "probability", "margin"]
ExplainMethod = Literal["linear", "tree", "exact", "permutation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowContributions:
    """What each column of a row contributed; with ``base`` they sum to ``output``.

    Attributes
    ----------
    row : int
        The row in the request, from 0.
    prediction : Any
        The label or number that was answered; None if probabilities were.
    label : Any
        The class that is explained, which is the predicted one; None for numbers.
    base : float
        What the model gives on average, before anything is known of the row.
    output : float
        What the model gives for the row.
    columns : mapping of str to float
        By how much each column moves the output, in the order of the signature.
    """

    row: int
    prediction: Any
    label: Any
    base: float
    output: float
    columns: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """What the columns of a logged request contributed to its answer.

    Attributes
    ----------
    request_id : str
        The answer's ``x-request-id``.
    model : str
        Registered model.
    version : int
        The version that answered.
    of : {"number", "probability", "margin"}
        What is explained: the predicted number, the probability of the predicted
        class, or its margin, such as log-odds.
    method : {"linear", "tree", "exact", "permutation"}
        All but ``permutation`` are exact Shapley values.
    rows : tuple of RowContributions
        One for each row of the request.
    """

    request_id: str
    model: str
    version: int
    of: Explained
    method: ExplainMethod
    rows: tuple[RowContributions, ...]
