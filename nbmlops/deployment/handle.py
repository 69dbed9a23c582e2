"""An endpoint in a caller's hand."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nbmlops.config import Settings
from nbmlops.deployment import actions, endpoints, records
from nbmlops.deployment.metrics import read_metrics
from nbmlops.entities import Endpoint, EndpointMetrics
from nbmlops.errors import DeployError, NbmlopsError, UsageError
from nbmlops.render.endpoints import endpoints_table
from nbmlops.render.tables import Renderable, Table
from nbmlops.scoring.payload import arrange, parts
from nbmlops.scoring.signature import read_input_spec, read_mlmodel

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import numpy as np

    from nbmlops.deployment.request_log_view import RequestLogView
    from nbmlops.render.contributions import ContributionsView


class EndpointHandle(Renderable):
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
        records.get_record(self._settings, self.name)
        return records.read_token(self._settings, self.name)

    def status(self) -> Endpoint:
        """Return the endpoint with the state it is in just now."""
        self.endpoint = endpoints.get_endpoint(self._settings, self.name)
        return self.endpoint

    def metrics(self) -> EndpointMetrics:
        """Return what its versions have answered, how fast, and how often they failed.

        Returns
        -------
        EndpointMetrics
            The champion first, then the canary and the shadow where there are some.

        Raises
        ------
        NotFoundError
            The endpoint was removed.
        """
        return read_metrics(self._settings, self.name)

    def promote(self) -> Endpoint:
        """Make the canary the champion.

        Returns
        -------
        Endpoint
            As it is now.

        Raises
        ------
        UsageError
            There is no canary.
        """
        self.endpoint = actions.promote(self._settings, self.name)
        return self.endpoint

    def abort(self) -> Endpoint:
        """End the canary; the champion answers all requests.

        Returns
        -------
        Endpoint
            As it is now.

        Raises
        ------
        UsageError
            There is no canary.
        """
        self.endpoint = actions.abort(self._settings, self.name)
        return self.endpoint

    def rollback(self) -> Endpoint:
        """End the canary, or serve the version before; needs no store and no MLflow.

        Returns
        -------
        Endpoint
            As it is now. Its alias is not followed until it moves again.

        Raises
        ------
        UsageError
            There is no version before.
        DeployError
            The version before does not come up; the one that is served stays.
        """
        self.endpoint = actions.roll_back(self._settings, self.name)
        return self.endpoint

    def rotate_token(self) -> str:
        """Have the endpoint ask for another token from now on.

        Returns
        -------
        str
            The new token.

        Raises
        ------
        UsageError
            The endpoint asks for none.
        """
        return actions.rotate_token(self._settings, self.name)

    def log(
        self,
        since: str | datetime | timedelta | None = None,
        until: str | datetime | timedelta | None = None,
    ) -> RequestLogView:
        """Return the requests that the endpoint has answered.

        Parameters
        ----------
        since, until : str, datetime or timedelta, optional
            The time from which on, and before which, requests are shown: a duration
            before now, such as ``"1h"`` or ``"7d"``, or an ISO 8601 time, in UTC unless
            it says otherwise. All by default.

        Returns
        -------
        RequestLogView
            It shows the newest; ``.frame()`` is a DataFrame of all.

        Raises
        ------
        NotFoundError
            The endpoint is gone.
        UsageError
            ``since`` or ``until`` is not a time.
        """
        from nbmlops.deployment.request_log_view import RequestLogView

        records.check_known(self._settings, self.name)
        return RequestLogView(self._settings, self.name, since=since, until=until)

    def explain(self, request_id: str) -> ContributionsView:
        """Return what each column of a request contributed to its answer.

        It is computed now, by the version that answered, in a process of its own; the
        endpoint notices nothing.

        Parameters
        ----------
        request_id : str
            The answer's ``x-request-id``, as it is in the log.

        Returns
        -------
        ContributionsView
            It shows the first row; ``.frame()`` has all, and ``.contributions`` says
            what is explained and how. Base and contributions sum to the output.

        Raises
        ------
        NotFoundError
            The request is not in the log, or the version's files are gone.
        DependencyError
            The model is not linear, and ``nbmlops[explain]`` is not installed.
        UsageError
            The request was refused, or the model cannot be explained.
        DeployError
            The model ended the process that it ran in.
        """
        from nbmlops.deployment.explain.process import explain
        from nbmlops.render.contributions import ContributionsView

        return ContributionsView(explain(self._settings, self.name, request_id))

    def predict(self, rows: object) -> np.ndarray[Any, Any]:
        """Return the endpoint's predictions, one for each row, in order.

        Rows that are more than one request takes are sent in parts.

        Parameters
        ----------
        rows : DataFrame, Series, ndarray, sparse matrix or list
            Rows the model takes. A Series is one row of a table, or a text a row; a
            list holds dicts, texts or lists. NaN and None are gaps.

        Returns
        -------
        ndarray
            Labels or numbers; a gap is None or NaN.

        Raises
        ------
        UsageError
            The rows do not fit the model's signature; the message says where.
        DeployError
            The endpoint is dead, its model failed, or its version was replaced while
            parts were sent.
        """
        return self._ask(rows, {})

    def predict_proba(self, rows: object) -> np.ndarray[Any, Any]:
        """Return the probability of each class, for each row, in order.

        Parameters
        ----------
        rows : DataFrame, Series, ndarray, sparse matrix or list
            Rows the model takes, as for `predict`.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            In [0, 1]; columns are in the order of the model's ``classes_``.

        Raises
        ------
        UsageError
            The model gives no probabilities, or the rows do not fit its signature.
        DeployError
            The endpoint is dead, its model failed, or its version was replaced while
            parts were sent.
        """
        return self._ask(rows, {"output": "probabilities"})

    def _ask(self, rows: object, params: dict[str, object]) -> np.ndarray[Any, Any]:
        import numpy as np

        record = records.get_record(self._settings, self.name)
        mlmodel = read_mlmodel(records.model_folder(self._settings, record))
        arranged = arrange(rows, read_input_spec(mlmodel))
        most = record.max_request_bytes
        predictions: list[Any] = []
        versions: set[str] = set()
        for first, body in parts(arranged, params, most_bytes=most):
            try:
                answer = endpoints.request(self._settings, self.name, body)
            except UsageError as error:
                problem = _moved(error.problem, first)
                if first and problem == error.problem:
                    problem = f"Row {first}: {problem}"
                raise UsageError(problem, fix=error.fix) from error
            predictions += self._read(answer.body)
            versions.add(answer.headers.get("x-model-version", ""))
            if len(versions) > 1:
                now = answer.headers.get("x-model-version")
                raise DeployError(
                    f"Endpoint {self.name!r} moved to {now} "
                    f"after the first {first} rows were answered.",
                    fix="Send the rows again.",
                )
        return np.asarray(predictions)

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
        answer = endpoints.request(self._settings, self.name, payload, content_type)
        return self._read(answer.body)

    def _read(self, body: bytes) -> list[Any]:
        try:
            return list(json.loads(body)["predictions"])
        except (ValueError, KeyError, TypeError) as error:
            raise DeployError(
                f"Endpoint {self.name!r} answered no predictions.", fix="See its log."
            ) from error

    def __repr__(self) -> str:
        served = f"{self.endpoint.model}/{self.endpoint.version}"
        return f"endpoint {self.name} · {served} · {self.endpoint.state} · {self.url}"

    def __str__(self) -> str:
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _repr_pretty_(self, printer: Any, _: bool) -> None:  # noqa: ANN401
        printer.text(str(self))

    def _table(self) -> Table:
        """Return its versions with what they do just now."""
        try:
            endpoint, found = self.status(), {self.name: self.metrics()}
        except NbmlopsError:  # it was removed: as it was last seen
            endpoint, found = self.endpoint, None
        return endpoints_table([endpoint], found)


def _moved(problem: str, first: int) -> str:
    """Return a message about rows of a part as one about rows of the whole."""
    return re.sub(
        r"(^|; |^The request has \d+ faults[^:]*: )Row (\d+)",
        lambda found: f"{found[1]}Row {int(found[2]) + first}",
        problem,
        count=0 if problem.startswith("The request has ") else 1,
    )
