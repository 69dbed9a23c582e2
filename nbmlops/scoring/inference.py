"""The signature and the example rows of a model, found by serving them once."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from nbmlops._masking import mask, mask_tree
from nbmlops.errors import UsageError
from nbmlops.scoring import signature
from nbmlops.scoring.payload import document, encode, payload
from nbmlops.scoring.schema import (
    NotServed,
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

EXAMPLE = "input_example.json"
SERVING_EXAMPLE = "serving_input_example.json"

_MOST_DENSE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRecord:
    """What is stored of a model's rows."""

    fields: Mapping[str, object]
    files: Mapping[str, str]
    not_served: str | None


def record_example(model: object, example: Rows) -> ExampleRecord:
    """Return what is stored of rows that a model takes, once it has answered some.

    The first rows go the way of a request: they are written as JSON, read as an
    endpoint reads them, predicted, and the answer is written as JSON.
    """
    with _calm(model):
        return _record(model, example)


@dataclass(frozen=True, slots=True)
class _Model:
    """A model; its method is looked up once, which runs code of scikit-learn."""

    name: str
    predict: Any
    feature_names_in_: list[str]


def _record(estimator: object, example: Rows) -> ExampleRecord:
    model = _Model(
        type(estimator).__name__,
        getattr(estimator, "predict", None),
        list(getattr(estimator, "feature_names_in_", [])),
    )
    can_predict = callable(model.predict)
    try:
        kind, rows = as_rows(model, example)
        if _n_rows(rows) == 0:
            raise UsageError(
                "The example has no rows.", fix="Give the rows the model was fitted on."
            )
        inputs, metadata = _describe(model, kind, rows)
    except NotServed as reason:
        words = mask(f"{reason}.")
        return ExampleRecord(
            fields={"metadata": {signature.NOT_SERVED: words}},
            files={},
            not_served=words if can_predict else None,
        )
    problem = None
    head = rows[:N_EXAMPLE_ROWS]
    fields: dict[str, Any] = {
        "signature": {"inputs": json.dumps(inputs), "outputs": None, "params": None},
        "metadata": {signature.KIND: kind, **metadata},
    }
    if can_predict:
        try:
            outputs = _answer_once(model, fields, head)
        except NotServed as reason:
            problem = mask(f"{reason}.")
            fields["metadata"][signature.NOT_SERVED] = problem
            outputs = tensor_schema(_predict(model, head))
        fields["signature"]["outputs"] = json.dumps(outputs)
    files, fields["saved_input_example_info"] = _example_files(kind, head)
    return ExampleRecord(fields=fields, files=files, not_served=problem)


def as_rows(model: object, data: Rows) -> tuple[RowKind, Rows]:
    """Return what rows are to the model, and the rows as it takes them."""
    import numpy as np
    import pandas as pd

    if isinstance(data, Iterator):
        raise UsageError(
            f"The example is a {type(data).__name__}: reading it would use it up.",
            fix="Give a list: list(rows).",
        )
    names = list(getattr(model, "feature_names_in_", []))
    if isinstance(data, pd.DataFrame):
        columns = list(data.columns)
        if columns and all(isinstance(name, str) for name in columns):
            data = data[names] if names and set(names) <= set(columns) else data
            if twins := data.columns[data.columns.duplicated()].tolist():
                raise NotServed(f"The example has two columns {twins[0]!r}")
            return "frame", data
        data = data.to_numpy()
    if hasattr(data, "tocsr"):
        return "sparse", data.tocsr()
    is_series = isinstance(data, pd.Series)
    if not isinstance(data, np.ndarray | pd.Series | list | tuple | range):
        if not hasattr(data, "__array__"):
            raise NotServed(f"Rows in a {type(data).__name__} cannot be sent")
        data = np.asarray(data)
    if getattr(data, "ndim", 1) == 1:
        is_objects = getattr(getattr(data, "dtype", None), "kind", "O") == "O"
        items = list(data) if is_objects else data
        if len(data) and all(isinstance(item, Mapping) for item in items):
            return "dicts", list(items)
        if not is_series and isinstance(data, list | tuple | range):
            data = _as_array(data)
    if is_series:
        return "series", data.reset_index(drop=True)
    rows: Any = data
    if rows.ndim == 1:
        return "vector", rows
    if names and rows.shape[1:] == (len(names),):
        return "frame", pd.DataFrame(rows, columns=names)
    return "array", rows


def _as_array(rows: Sequence[Any]) -> Any:  # noqa: ANN401
    """Return an array of a sequence; one of objects where numpy would make all text."""
    import numpy as np

    try:
        found = np.asarray(rows)
        if found.dtype.kind in "SU":
            found = np.asarray(rows, dtype=object)
    except ValueError:  # items of different lengths
        found = np.empty(len(rows), dtype=object)
        found[:] = rows
    return found


def _describe(
    model: object, kind: RowKind, rows: Rows
) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Return the inputs in MLflow's notation, and what it has no notation for."""
    import pandas as pd

    match kind:
        case "frame":
            columns = frame_schema(rows, takes_gaps=_takes_gaps(model, rows))
            dtypes = {
                str(name): dtype
                for i, name in enumerate(rows.columns)
                if (dtype := dtype_of(rows.iloc[:, i]))
            }
            return columns, {signature.DTYPES: dtypes} if dtypes else {}
        case "dicts":
            return dicts_schema(rows), {}
        case "series" | "vector":
            column = pd.Series(rows)
            found = column_type(column)
            required = found == "string" and not _takes_gap(model, column)
            schema: list[dict[str, object]] = [{"type": found, "required": True}]
            if found == "string":  # of objects, since a Series of texts has those
                schema = tensor_schema(column.to_numpy(object))
            elif column.dtype != object:
                schema = tensor_schema(rows)
            metadata: dict[str, object] = {signature.REQUIRED: True} if required else {}
            if dtype := dtype_of(column):
                metadata[signature.DTYPES] = {"0": dtype}
            return schema, metadata
        case "sparse":
            return tensor_schema(rows), {}
    if rows.dtype != object or rows.ndim != 2:
        return tensor_schema(rows), {}
    parts = [pd.Series(rows[:, i]) for i in range(rows.shape[1])]
    types = [column_type(part) for part in parts]
    dtypes = {
        str(i): dtype for i, part in enumerate(parts) if (dtype := dtype_of(part))
    }
    metadata = {signature.DTYPES: dtypes} if dtypes else {}
    if set(types) == {"string"}:
        return tensor_schema(rows), metadata
    return [{"type": each, "required": True} for each in types], metadata


@contextmanager
def _calm(model: Any) -> Iterator[None]:  # noqa: ANN401
    """Keep a model from telling of predictions that the user has not asked for."""
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


def _predict(model: Any, rows: Rows) -> Any:  # noqa: ANN401
    try:
        with same_draws():
            return model.predict(rows)
    except Exception as error:
        raise UsageError(
            f"The {model.name} cannot predict the example it came with: "
            f"{_words(error)}.",
            fix="Give as the example the rows, and only the columns, it was fitted on.",
        ) from error


def _words(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _answer_once(
    model: Any,  # noqa: ANN401
    fields: Mapping[str, Any],
    head: Rows,
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
    direct = _predict(model, head)
    predicted = direct
    if not is_same:
        try:
            with same_draws():
                predicted = model.predict(received)
        except Exception as error:
            raise NotServed(
                "The example cannot be served: sent as JSON it becomes "
                f"{_shown(received)}, and the model raises {_words(error)}"
            ) from error
    answer = _answers(write_answer(predicted))
    if len(answer) != _n_rows(head):
        raise NotServed(
            f"It predicts {len(answer)} values for {_n_rows(head)} rows, not one each"
        )
    if not is_same and not _is_close(answer, _answers(write_answer(direct))):
        raise NotServed(
            "The example cannot be served: sent as JSON it becomes "
            f"{_shown(received)}, which the model predicts otherwise"
        )
    return tensor_schema(predicted)


def _answers(body: bytes) -> list[Any]:
    found = json.loads(body)["predictions"]
    if not isinstance(found, list):
        raise NotServed("It predicts one value for all rows, not one each")
    return found


def _n_rows(rows: Rows) -> int:
    return int(rows.shape[0]) if hasattr(rows, "shape") else len(rows)


def _shown(rows: Rows) -> str:
    if hasattr(rows, "dtypes") and hasattr(rows, "columns"):
        kinds = ", ".join(sorted({str(dtype) for dtype in rows.dtypes}))
        return f"a DataFrame of {kinds}"
    kind = "an array" if hasattr(rows, "strides") else f"a {type(rows).__name__}"
    return f"{kind} of {getattr(rows, 'dtype', 'dicts')}"


def _is_same(sent: Rows, received: Rows) -> bool:
    """Return whether rows arrived as they were: then one prediction speaks for both."""
    import numpy as np
    import pandas as pd

    if isinstance(sent, pd.DataFrame):
        return bool(sent.reset_index(drop=True).equals(received))
    if isinstance(sent, pd.Series):
        return bool(sent.equals(received))
    if isinstance(sent, np.ndarray):
        return sent.dtype == received.dtype and np.array_equal(
            sent, received, equal_nan=sent.dtype.kind == "f"
        )
    if hasattr(sent, "tocsr"):
        is_alike = (sent.dtype, sent.shape) == (received.dtype, received.shape)
        return bool(is_alike and (sent != received).nnz == 0)
    return bool(sent == received)


def _is_close(one: list[Any], other: list[Any]) -> bool:
    import numpy as np

    try:
        pair = (np.asarray(one, dtype=float), np.asarray(other, dtype=float))
    except (TypeError, ValueError):
        return one == other
    return bool(np.allclose(*pair, rtol=1e-6, equal_nan=True))


def _takes_gaps(model: object, frame: pd.DataFrame) -> bool:
    """Return whether the model predicts a row in which every value is missing."""
    import pandas as pd

    numeric = set(frame.select_dtypes("number").columns)
    kinds = {name: float if name in numeric else object for name in frame.columns}
    row = pd.DataFrame({name: [float("nan")] for name in frame.columns}).astype(kinds)
    return _predicts(model, row)


def _takes_gap(model: object, column: pd.Series[Any]) -> bool:
    import pandas as pd

    gaps = column[column.isna()]
    row = gaps[:1] if len(gaps) else pd.Series([float("nan")], dtype=object)
    return _predicts(model, row)


def _predicts(model: Any, rows: Rows) -> bool:  # noqa: ANN401
    if model.predict is None:
        return False
    try:
        with same_draws():
            model.predict(rows)
    except Exception:  # noqa: BLE001 - whatever it raises, it does not take them
        return False
    return True


def _example_files(
    kind: RowKind, head: Rows
) -> tuple[dict[str, str], dict[str, object]]:
    """Return the example as MLflow keeps it: files, and what is said of them."""
    rows = mask_tree(document(head))
    info: dict[str, object] = {"artifact_path": EXAMPLE}
    request: Any = {"inputs": rows}
    match kind:
        case "frame":
            info |= {"type": "dataframe", "pandas_orient": "split"}
            request = {"dataframe_split": rows}
        case "dicts":
            info["type"] = "json_object"
        case "sparse":
            info["type"] = "sparse_matrix_csr"
            is_small = head.shape[0] * head.shape[1] <= _MOST_DENSE
            request = {"inputs": document(head.toarray())} if is_small else None
        case _:
            info["type"] = "ndarray"
    files = {EXAMPLE: _strict(rows)}
    if request is not None:
        files[SERVING_EXAMPLE] = _strict(request)
        info["serving_input_path"] = SERVING_EXAMPLE
    return files, info


def _strict(value: Any) -> str:  # noqa: ANN401
    """Return strict JSON; what is not finite is null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        plain = json.loads(json.dumps(value), parse_constant=lambda _: None)
        return json.dumps(plain)
