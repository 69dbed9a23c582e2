"""The signature and the example rows of a model, found by serving them once."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from nbmlops._masking import mask
from nbmlops.errors import UsageError
from nbmlops.scoring import signature
from nbmlops.scoring.example import example_files
from nbmlops.scoring.payload import encode, n_rows, payload
from nbmlops.scoring.ranges import find_ranges
from nbmlops.scoring.schema import (
    NotServed,
    as_rows,
    column_type,
    dicts_schema,
    dtype_of,
    frame_schema,
    tensor_schema,
)
from nbmlops.scoring.signature import RowKind

if TYPE_CHECKING:
    import pandas as pd

Rows = Any
"""DataFrame, Series, ndarray, sparse matrix or sequence, one item a sample."""

N_EXAMPLE_ROWS = 5
"""Rows of the training data that are stored with a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRecord:
    """What is stored of a model's rows."""

    fields: Mapping[str, object]
    files: Mapping[str, str]
    not_served: str | None


class _Model:
    """A model; its method is looked up once, which runs code of scikit-learn."""

    def __init__(self, estimator: object) -> None:
        self.name = type(estimator).__name__
        self.feature_names_in_ = getattr(estimator, "feature_names_in_", [])
        self._predict = getattr(estimator, "predict", None)
        self.can_predict = callable(self._predict)

    def predict(self, rows: Rows) -> Any:  # noqa: ANN401
        with same_draws():
            return self._predict(rows)  # type: ignore[misc]

    def predict_example(self, rows: Rows) -> Any:  # noqa: ANN401
        try:
            return self.predict(rows)
        except Exception as error:
            raise UsageError(
                f"The {self.name} cannot predict the example it came with: "
                f"{_message(error)}.",
                fix="Give as the example the rows, and only the columns, it was fitted "
                "on.",
            ) from error

    def takes(self, rows: Rows) -> bool:
        try:
            self.predict(rows)
        except Exception:  # noqa: BLE001 - whatever it raises, it does not take them
            return False
        return True


def record_example(estimator: object, example: Rows) -> ExampleRecord:
    """Return what is stored of rows that a model takes, once it has answered some.

    The first rows go the way of a request: they are written as JSON, read as an
    endpoint reads them, predicted, and the answer is written as JSON.
    """
    with _quiet(estimator):
        return _record(_Model(estimator), example)


def _record(model: _Model, example: Rows) -> ExampleRecord:
    try:
        kind, rows = as_rows(model, example)
        if n_rows(rows) == 0:
            raise UsageError(
                "The example has no rows.", fix="Give the rows the model was fitted on."
            )
        inputs, metadata = _describe(model, kind, rows)
        if ranges := find_ranges(rows):
            metadata = {**metadata, signature.RANGES: ranges}
    except NotServed as reason:
        problem = mask(f"{reason}.")
        return ExampleRecord(
            fields={"metadata": {signature.NOT_SERVED: problem}},
            files={},
            not_served=problem if model.can_predict else None,
        )
    not_served = None
    head = rows[:N_EXAMPLE_ROWS]
    fields: dict[str, Any] = {
        "signature": {"inputs": json.dumps(inputs), "outputs": None, "params": None},
        "metadata": {signature.KIND: kind, **metadata},
    }
    if model.can_predict:
        try:
            outputs = _answer_once(model, fields, head)
        except NotServed as reason:
            not_served = mask(f"{reason}.")
            fields["metadata"][signature.NOT_SERVED] = not_served
            outputs = tensor_schema(model.predict_example(head))
        fields["signature"]["outputs"] = json.dumps(outputs)
    files, fields["saved_input_example_info"] = example_files(kind, head)
    return ExampleRecord(fields=fields, files=files, not_served=not_served)


def _describe(
    model: _Model, kind: RowKind, rows: Rows
) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Return the inputs in MLflow's notation, and what it has no notation for."""
    import pandas as pd

    if kind == "frame":
        schema = frame_schema(rows, takes_gaps=model.takes(_row_of_gaps(rows)))
        return schema, _dtypes(rows.items())
    if kind == "dicts":
        return dicts_schema(rows), {}
    is_flat = rows.ndim == 1
    if kind == "sparse" or not (is_flat or (rows.dtype == object and rows.ndim == 2)):
        return tensor_schema(rows), {}
    columns = [pd.Series(rows)] if is_flat else [pd.Series(part) for part in rows.T]
    types = [column_type(column) for column in columns]
    metadata = _dtypes(enumerate(columns))
    if set(types) == {"string"}:  # of objects, since a Series of texts has those
        gap = columns[0][columns[0].isna()][:1]
        gap = gap if len(gap) else pd.Series([float("nan")], dtype=object)
        if is_flat and not model.takes(gap):
            metadata[signature.REQUIRED] = True
        return tensor_schema(rows.astype(object)), metadata
    if is_flat and columns[0].dtype != object:
        return tensor_schema(rows), metadata
    return [{"type": each, "required": True} for each in types], metadata


def _dtypes(columns: Iterable[tuple[Any, pd.Series[Any]]]) -> dict[str, object]:
    found = {str(name): dtype for name, each in columns if (dtype := dtype_of(each))}
    return {signature.DTYPES: found} if found else {}


def _row_of_gaps(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    numeric = frame.select_dtypes("number").columns
    row = pd.DataFrame(float("nan"), [0], frame.columns, dtype=object)
    return row.astype(dict.fromkeys(numeric, float))


@contextmanager
def _quiet(model: Any) -> Iterator[None]:  # noqa: ANN401
    """Mute a model: the user has not asked for these predictions."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    params = model.get_params() if hasattr(model, "get_params") else {}
    loud = {
        key: value
        for key, value in params.items()
        # A param may be an array or an unfitted forest, which have no truth value.
        if key.rpartition("__")[2] == "verbose"
        and isinstance(value, Real)
        and float(value) > 0
    }
    if loud:
        model.set_params(**dict.fromkeys(loud, 0))
    try:
        # On a busy machine the threads of a boosted model would spend a second
        # waiting for each other over five rows.
        with warnings.catch_warnings(), threadpool_limits(1, user_api="openmp"):
            warnings.simplefilter("ignore")
            yield
    finally:
        if loud:
            model.set_params(**loud)


@contextmanager
def same_draws() -> Iterator[None]:
    """Leave the user's random numbers as they were, whatever a model draws of them."""
    import random

    import numpy as np

    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _message(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _answer_once(
    model: _Model, fields: Mapping[str, Any], head: Rows
) -> list[dict[str, object]]:
    """Return the outputs of a model that has answered some rows as an endpoint does."""
    from nbmlops.scoring.answer import write_answer
    from nbmlops.scoring.request import read_request
    from nbmlops.scoring.rows import to_rows

    try:
        spec = signature.read_input_spec(fields)
        body = encode(payload(head))
        table = read_request(body, "application/json", kind=spec.kind)
        received = to_rows(table, spec)
    except UsageError as error:
        problem = error.problem.rstrip(".")
        raise NotServed(f"The example cannot be sent: {problem}") from error
    is_same = _is_same(head, received)
    direct = predicted = model.predict_example(head)
    changed = "The example cannot be served: sent as JSON it becomes "
    if not is_same:
        try:
            predicted = model.predict(received)
        except Exception as error:
            raise NotServed(
                f"{changed}{_shown(received)}, and the model raises {_message(error)}"
            ) from error
    answer = _answers(write_answer(predicted))
    if len(answer) != n_rows(head):
        raise NotServed(
            f"It predicts {len(answer)} values for {n_rows(head)} rows, not one each"
        )
    if not is_same and not _is_close(answer, _answers(write_answer(direct))):
        raise NotServed(
            f"{changed}{_shown(received)}, which the model predicts otherwise"
        )
    return tensor_schema(predicted)


def _answers(body: bytes) -> list[Any]:
    found = json.loads(body)["predictions"]
    if not isinstance(found, list):
        raise NotServed("It predicts one value for all rows, not one each")
    return found


def _shown(rows: Rows) -> str:
    if hasattr(rows, "dtypes") and hasattr(rows, "columns"):
        kinds = ", ".join(sorted({str(dtype) for dtype in rows.dtypes}))
        return f"a DataFrame of {kinds}"
    kind = "an array" if hasattr(rows, "strides") else f"a {type(rows).__name__}"
    return f"{kind} of {getattr(rows, 'dtype', 'dicts')}"


def _is_same(sent: Rows, received: Rows) -> bool:
    """Return whether rows arrived as they were: then one prediction speaks for both."""
    import numpy as np

    if hasattr(sent, "equals"):
        return bool(sent.reset_index(drop=True).equals(received))
    if isinstance(sent, list):
        return bool(sent == received)
    if (sent.dtype, sent.shape) != (received.dtype, received.shape):
        return False
    if hasattr(sent, "tocsr"):
        return bool((sent != received).nnz == 0)
    return np.array_equal(sent, received, equal_nan=sent.dtype.kind == "f")


def _is_close(one: list[Any], other: list[Any]) -> bool:
    import numpy as np

    try:
        return np.allclose(
            np.asarray(one, float), np.asarray(other, float), rtol=1e-6, equal_nan=True
        )
    except (TypeError, ValueError):
        return one == other
