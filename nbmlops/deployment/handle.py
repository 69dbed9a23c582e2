"""An endpoint in a caller's hand."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from nbmlops.config import Settings
from nbmlops.deployment import local
from nbmlops.entities import Endpoint
from nbmlops.errors import DeployError, UsageError
from nbmlops.render import Shown

if TYPE_CHECKING:
    import numpy as np


class EndpointHandle(Shown):
    """An endpoint to be asked; what ``nm.deploy`` and ``nm.endpoint`` return.

    Parameters
    ----------
    settings : Settings
        The project's.
    endpoint : Endpoint
        The endpoint, as it was when the handle was made.
    is_new : bool, default=False
        Whether its process was started for this handle.

    Attributes
    ----------
    endpoint : Endpoint
        The endpoint, as it was last seen.
    is_new : bool
        Whether its process was started for this handle.
    """

    def __init__(
        self, settings: Settings, endpoint: Endpoint, *, is_new: bool = False
    ) -> None:
        self._settings = settings
        self.endpoint = endpoint
        self.is_new = is_new

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.endpoint.name

    @property
    def url(self) -> str:
        """Base URL; ``/invocations`` is below it."""
        return self.endpoint.url

    @property
    def version(self) -> int:
        """The version of the registered model that it serves."""
        return self.endpoint.version

    @property
    def token(self) -> str | None:
        """The bearer token; None when it asks for none."""
        return local.read_token(self._settings, self.name)

    def status(self) -> Endpoint:
        """Return the endpoint with the state it is in just now."""
        self.endpoint = local.get_endpoint(self._settings, self.name)
        return self.endpoint

    def predict(self, frame: object) -> np.ndarray[Any, Any]:
        """Return the endpoint's predictions, one for each row, in order.

        Parameters
        ----------
        frame : DataFrame, Series, ndarray or list of dict
            Rows the model takes; a Series is one row. NaN and None are gaps.

        Returns
        -------
        ndarray
            Labels or numbers; a gap is None or NaN.

        Raises
        ------
        UsageError
            The rows do not fit the model's signature; the message says where.
        DeployError
            The endpoint is dead or its model failed.
        """
        import numpy as np

        body = json.dumps(_layout(frame), default=_plain).encode()
        return np.asarray(self.send(body))

    def send(self, payload: bytes, content_type: str = "application/json") -> list[Any]:
        """Return the endpoint's predictions for a request as it goes over HTTP.

        Parameters
        ----------
        payload : bytes
            A request in MLflow's scoring protocol.
        content_type : str, default="application/json"
            ``application/json`` or ``text/csv``.

        Returns
        -------
        list
            One prediction a row.

        Raises
        ------
        UsageError
            The endpoint refuses the request; the message is its own.
        DeployError
            The endpoint is dead or its model failed.
        """
        answer = local.predict(self._settings, self.name, payload, content_type)
        try:
            return list(json.loads(answer)["predictions"])
        except (ValueError, KeyError, TypeError) as error:
            raise DeployError(
                f"Endpoint {self.name!r} answered no predictions.", fix="See its log."
            ) from error

    def __repr__(self) -> str:
        served = f"{self.endpoint.model}/{self.endpoint.version}"
        return f"endpoint {self.name} · {served} · {self.endpoint.state} · {self.url}"


def _layout(frame: Any) -> dict[str, object]:  # noqa: ANN401
    import pandas as pd

    if isinstance(frame, pd.Series):
        frame = frame.to_frame().T
    if isinstance(frame, pd.DataFrame):
        rows = frame.astype(object).to_numpy().tolist()
        columns = [str(name) for name in frame.columns]
        return {"dataframe_split": {"columns": columns, "data": _without_gaps(rows)}}
    if hasattr(frame, "tolist") and getattr(frame, "ndim", 0) in (1, 2):
        return {"inputs": _without_gaps(frame.tolist())}
    if isinstance(frame, list) and all(isinstance(row, dict) for row in frame):
        return {
            "dataframe_records": [
                dict(zip(row, _without_gaps(list(row.values())), strict=True))
                for row in frame
            ]
        }
    raise UsageError(
        f"An endpoint cannot be sent a {type(frame).__name__}.",
        fix="Send a DataFrame, a Series, an array, or a list of dicts.",
    )


def _without_gaps(values: list[Any]) -> list[Any]:
    return [
        _without_gaps(value) if isinstance(value, list) else _gap_or(value)
        for value in values
    ]


def _gap_or(value: Any) -> Any:  # noqa: ANN401
    import pandas as pd

    is_gap = value is pd.NA or value is pd.NaT
    return None if is_gap or (isinstance(value, float) and math.isnan(value)) else value


def _plain(value: Any) -> object:  # noqa: ANN401
    for method in ("isoformat", "tolist"):
        if hasattr(value, method):
            return getattr(value, method)()
    return str(value)
