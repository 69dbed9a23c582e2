"""A request's bytes to the table they carry."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nbmlops.errors import UsageError, did_you_mean
from nbmlops.scoring.signature import RowKind

Output = Literal["predictions", "probabilities"]

_LAYOUTS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_EXAMPLE = 'Send {"dataframe_split": {"columns": [...], "data": [[...], ...]}}.'
_PARAMS = 'Leave out \'params\', or send {"output": "probabilities"}.'
_OUTPUTS = ("predictions", "probabilities")
SPARSE_PARTS = ("data", "indices", "indptr", "shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a request asks to predict, before any value is looked at."""

    names: tuple[str, ...] | None
    columns: tuple[Sequence[Any], ...]
    is_text: bool = False
    records: tuple[Mapping[str, Any], ...] | None = None
    sparse: Mapping[str, Any] | None = None
    output: Output = "predictions"


def refusal(problem: str, *, fix: str, status: int = 400) -> UsageError:
    """Return the error that answers a request with ``status``."""
    error = UsageError(problem, fix=fix)
    error.status = status
    return error


def read_request(body: bytes, content_type: str, *, kind: RowKind = "frame") -> Table:
    """Return the table a request carries.

    >>> read_request(b'{"instances": [{"a": 1}]}', "application/json").columns
    ([1],)
    """
    mime_type, text = read_text(body, content_type, ("application/json", "text/csv"))
    table = _read_csv(text) if mime_type == "text/csv" else _read_json(text, kind)
    if not (table.sparse or table.records or (table.columns and table.columns[0])):
        raise refusal("The request has no rows.", fix="Send at least one row.")
    return table


def read_text(body: bytes, content_type: str, served: Sequence[str]) -> tuple[str, str]:
    """Return the type of a body, without its charset, and its text."""
    mime_type, *options = [part.strip() for part in content_type.lower().split(";")]
    charset = dict(option.partition("=")[::2] for option in options)
    if mime_type not in served or set(charset) - {"charset"}:
        raise refusal(
            f"Content type {content_type[:80]!r} is not served.",
            fix=f"Send {' or '.join(served)}.",
            status=415,
        )
    if charset.get("charset", "utf-8").strip('"') not in ("utf-8", "utf8"):
        raise refusal(
            f"Charset {charset['charset'][:40]!r} is not served.",
            fix="Send UTF-8.",
            status=415,
        )
    try:
        return mime_type, body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refusal(
            f"The body is not UTF-8: byte {error.start} is wrong.", fix="Send UTF-8."
        ) from error


def _read_csv(text: str) -> Table:
    try:
        header, *rows = csv.reader(io.StringIO(text), strict=True)
    except ValueError as error:
        raise refusal("The CSV is empty.", fix="Send a header and rows.") from error
    except csv.Error as error:
        raise refusal(
            f"The body is not CSV: {error}.", fix="Correct the CSV."
        ) from error
    if "" in header:
        raise refusal(
            f"Column {header.index('') + 1} of the CSV has no name.",
            fix="Write it without the index: `frame.to_csv(index=False)`.",
        )
    # A blank line is a row of one empty value, or nothing at all.
    rows = [row or [""] for row in rows if row or len(header) == 1]
    return _table(header, rows, is_text=True)


def read_object(text: str, *, fix: str) -> dict[str, Any]:
    """Return the object that a JSON holds."""
    try:
        document = json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        raise refusal(
            f"The body is not JSON: {error.msg} at line {error.lineno} column "
            f"{error.colno}.",
            fix=fix,
        ) from error
    except RecursionError as error:
        raise refusal("The JSON is nested too deep.", fix=fix) from error
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise refusal("The JSON holds a number of too many digits.", fix=fix) from error
    if not isinstance(document, dict):
        raise refusal("The JSON is not an object.", fix=fix)
    return document


def _read_json(text: str, kind: RowKind) -> Table:
    document = read_object(text, fix=_EXAMPLE)
    params = document.pop("params", None)
    fix = f"Send exactly one of {', '.join(_LAYOUTS)}."
    refuse_unknown(document, _LAYOUTS, fix=fix)
    if len(document) != 1:
        raise refusal(
            f"The JSON has {len(document)} of the fields that hold rows.", fix=fix
        )
    ((layout, content),) = document.items()
    if (
        kind == "sparse"
        and isinstance(content, dict)
        and set(content) == set(SPARSE_PARTS)
    ):
        table = Table(names=None, columns=(), sparse=content)
    else:
        table = _read_layout(layout, content, kind)
    return replace(table, output=_read_output(params))


def _read_output(params: object) -> Output:
    if params is None:
        return "predictions"
    if not isinstance(params, dict):
        raise refusal("'params' is not an object.", fix=_PARAMS)
    refuse_unknown(params, ("output",), noun="param", fix=_PARAMS)
    output = params.get("output", "predictions")
    if output not in _OUTPUTS:
        raise refusal(
            f"The param 'output' is {shown_value(output)}."
            + did_you_mean(shown_value(output), _OUTPUTS),
            fix=_PARAMS,
        )
    return output  # type: ignore[no-any-return]


def _read_layout(layout: str, content: object, kind: RowKind) -> Table:
    if layout == "dataframe_split":
        return _read_split(content)
    if isinstance(content, dict) and layout != "dataframe_records":
        return _read_columns(layout, content)
    if not isinstance(content, list):
        raise refusal(f"'{layout}' is not a list of rows.", fix=_EXAMPLE)
    first = content[0] if content else None
    if isinstance(first, dict) or (content and layout == "dataframe_records"):
        return _read_records(layout, content, kind)
    return _table(None, content if isinstance(first, list) else [[v] for v in content])


def _read_split(content: object) -> Table:
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise refusal("'dataframe_split' has no list 'data'.", fix=_EXAMPLE)
    known = ("columns", "data", "index")
    refuse_unknown(content, known, where=" in 'dataframe_split'", fix=_EXAMPLE)
    names = content.get("columns")
    if names is not None and not (
        isinstance(names, list) and all(type(name) in (str, int) for name in names)
    ):
        raise refusal("'columns' is not a list of names.", fix=_EXAMPLE)
    return _table(names, content["data"])


def _read_records(layout: str, records: list[Any], kind: RowKind) -> Table:
    names: dict[str, None] = {}
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise refusal(
                f"Row {row} of '{layout}' is not an object.",
                fix='Send rows such as {"column": value}.',
            )
        names.update(dict.fromkeys(record))
    if kind == "dicts":
        return Table(names=tuple(names), columns=(), records=tuple(records))
    columns = tuple([record.get(name) for record in records] for name in names)
    return Table(names=tuple(names), columns=columns)


def _read_columns(layout: str, content: Mapping[str, Any]) -> Table:
    if not any(isinstance(values, list) for values in content.values()):
        return Table(names=tuple(content), columns=tuple([v] for v in content.values()))
    lengths = {k: len(v) if isinstance(v, list) else -1 for k, v in content.items()}
    longest = max(lengths.values())
    for name, length in lengths.items():
        if length != longest:
            raise refusal(
                f"Column {shown_name(name)} of '{layout}' has "
                + (f"{length} values" if length >= 0 else "no list of values")
                + f", another {longest}.",
                fix="Send as many values for each column.",
            )
    return Table(names=tuple(content), columns=tuple(content.values()))


def _table(
    names: Sequence[object] | None, rows: list[Any], *, is_text: bool = False
) -> Table:
    width = len(names) if names is not None else len(rows[0]) if rows else 0
    for row, values in enumerate(rows):
        if not isinstance(values, list) or len(values) != width:
            found = f"{len(values)} values" if isinstance(values, list) else "no list"
            raise refusal(
                f"Row {row} is {found}, where {width} are expected.",
                fix="Send a value, or null, for each column in each row.",
            )
    return Table(
        names=None if names is None else tuple(str(name) for name in names),
        columns=tuple(zip(*rows, strict=True)),
        is_text=is_text,
    )


def refuse_unknown(
    keys: Iterable[str],
    known: Sequence[str],
    *,
    noun: str = "field",
    where: str = "",
    fix: str,
) -> None:
    """Refuse a key that is not known, with the nearest that is."""
    for key in keys:
        if key not in known:
            hint = did_you_mean(key[:60], known)
            raise refusal(f"Unknown {noun} {shown_name(key)}{where}.{hint}", fix=fix)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise refusal(
            f"{shown_name(twin)} is twice in one JSON object.", fix="Send it once."
        )
    return found


def shown_name(name: str) -> str:
    """Return a name as a message quotes it."""
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def shown_value(value: object) -> str:
    """Return a value as a message quotes it."""
    try:
        shown = repr(value)
    except RecursionError:
        return "a value nested too deep"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
