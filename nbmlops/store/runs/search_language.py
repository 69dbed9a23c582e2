"""MLflow's search language, turned into SQL over MLflow's tables.

What is written as usual is read here. Anything else is left to MLflow's own parser,
which is slow to import and says what is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from nbmlops.errors import UsageError
from nbmlops.store.runs.fields import LARGEST

_NUMBER = r"^-?[0-9]{1,18}(\.[0-9]{0,18})?([eE][-+]?[0-9]{1,2})?$"
_KINDS = {
    "metric": ("metric", "metrics"),
    "parameter": ("parameter", "parameters", "param", "params"),
    "tag": ("tag", "tags"),
    "attribute": ("", "attribute", "attributes", "attr", "run"),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}
_TABLES = {"metric": "latest_metrics", "parameter": "params", "tag": "tags"}
_NUMERIC = ("start_time", "end_time")
_ATTRIBUTES = ("run_id", "run_name", "status", "user_id", "artifact_uri", *_NUMERIC)
_EQUAL, _LESS = ("=", "!="), ("<", "<=", ">", ">=")
_LIKE, _IN, _NULL = ("LIKE", "ILIKE"), ("IN", "NOT IN"), ("IS NULL", "IS NOT NULL")
_KEY = r"(?:(?P<kind>[a-z]+)\.)?(?P<key>[\w.]+|`[^`]+`|\"[^\"]+\")"
_TEXT = r"'[^']*'|\"[^\"]*\""
_CONDITION = re.compile(
    rf"""\s*{_KEY}\s*(?:
    (?P<null>\bIS\s+(?:NOT\s+)?NULL\b)
    |(?P<comparator>!=|>=|<=|=|>|<|\bI?LIKE\b|\b(?:NOT\s+)?IN\b)\s*
     (?P<value>{_TEXT}|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?|\((?:\s*(?:{_TEXT})\s*,?)+\))
    )\s*(?:\bAND\b(?=\s*\S)|$)""",
    re.VERBOSE | re.IGNORECASE,
)
_ORDER = re.compile(rf"\s*{_KEY}(?:\s+(?P<way>ASC|DESC))?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a filter."""

    kind: str
    key: str
    comparator: str
    value: Any


@dataclass(slots=True)
class Selection:
    """The parts of a SELECT over runs, named ``r``, and the values it takes."""

    joins: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def statement(self, columns: str) -> str:
        """Return the SELECT."""
        parts = ["SELECT", columns, "FROM runs r", *self.joins]
        parts += ["WHERE", " AND ".join(self.conditions or ["1 = 1"])]
        if self.order:
            parts += ["ORDER BY", ", ".join(self.order)]
        return " ".join(parts)

    def name(self, value: object) -> str:
        """Return how a statement names a value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"


def parse_filter(text: str) -> list[Condition]:
    """Return the comparisons of a filter, all of which must hold."""
    found, position = [], 0
    while text[position:].strip():
        match = _CONDITION.match(text, position)
        condition = _condition(match) if match else None
        if match is None or condition is None:
            return _parsed_by_mlflow(text)
        found.append(condition)
        position = match.end()
    return found


def parse_order(clause: str) -> tuple[str, str, bool]:
    """Return kind and key of an order, and whether the smallest is first."""
    match = _ORDER.fullmatch(clause)
    kind = _KIND_OF.get(match["kind"] or "") if match else None
    if match is None or kind is None or not _is_key(kind, key := _bare(match["key"])):
        from mlflow.utils.search_utils import SearchUtils

        kind, key, is_ascending = SearchUtils.parse_order_by_for_search_runs(clause)
        return str(kind), str(SearchUtils.translate_key_alias(key)), bool(is_ascending)
    return kind, key, (match["way"] or "ASC").upper() == "ASC"


def add_filter(selection: Selection, text: str) -> None:
    """Let a selection find only the runs that a filter finds."""
    selection.conditions += [_sql(selection, each) for each in parse_filter(text)]


def add_order(selection: Selection, clause: str | None, *, regexp: str) -> None:
    """Order a selection by a clause, then the newest run first.

    Numbers are ordered as numbers also when they are params. Texts come after them,
    infinities, NaN and what is missing last.
    """
    if clause is not None:
        kind, key, is_ascending = parse_order(clause)
        way = "ASC" if is_ascending else "DESC"
        if kind == "attribute":
            column = {"run_id": "run_uuid", "run_name": "name"}.get(key, key)
            values = [f"r.{column}"]
            last = f"CASE WHEN r.{column} IS NULL THEN 1 ELSE 0 END"
        else:
            selection.joins.append(
                f"LEFT JOIN {_TABLES[kind]} o "
                f"ON o.run_uuid = r.run_uuid AND o.key = {selection.name(key)}"
            )
            values = ["o.value"]
            if kind == "metric":
                last = (
                    "CASE WHEN o.value IS NULL THEN 3 WHEN o.is_nan THEN 2 "
                    f"WHEN abs(o.value) >= {selection.name(LARGEST)} THEN 1 ELSE 0 END"
                )
            else:
                is_number = f"o.value {regexp} {selection.name(_NUMBER)}"
                number = f"CASE WHEN {is_number} THEN CAST(o.value AS FLOAT) END"
                values = [number, "o.value"]
                last = (
                    f"CASE WHEN o.value IS NULL THEN 2 WHEN {is_number} THEN 0 "
                    "ELSE 1 END"
                )
        selection.order += [last, *(f"{value} {way}" for value in values)]
    selection.order += ["r.start_time DESC", "r.run_uuid"]


def _bare(text: str) -> str:
    return text[1:-1] if text[0] in "'\"`" else text


def _is_key(kind: str, key: str) -> bool:
    return kind != "attribute" or key in _ATTRIBUTES


def _condition(match: re.Match[str]) -> Condition | None:
    """Return a comparison that MLflow takes too; None for another."""
    kind, key = _KIND_OF.get(match["kind"] or ""), _bare(match["key"])
    if kind is None or not _is_key(kind, key):
        return None
    comparator = " ".join((match["null"] or match["comparator"]).upper().split())
    written = match["value"] or ""
    is_text, is_list = written[:1] in ("'", '"'), written[:1] == "("
    if kind == "metric" or (kind == "attribute" and key in _NUMERIC):
        if is_text or is_list or comparator not in (*_EQUAL, *_LESS):
            return None
        is_whole = kind == "attribute" and written.lstrip("-").isdecimal()
        return Condition(
            kind, key, comparator, int(written) if is_whole else float(written)
        )
    if kind != "attribute" and comparator in _NULL:
        return Condition(kind, key, comparator, None)
    if is_text and comparator in (*_EQUAL, *_LIKE):
        return Condition(kind, key, comparator, _bare(written))
    if is_list and key == "run_id" and kind == "attribute" and comparator in _IN:
        items = [_bare(item) for item in re.findall(_TEXT, written)]
        return Condition(kind, key, comparator, items)
    return None


def _parsed_by_mlflow(text: str) -> list[Condition]:
    from mlflow.utils.search_utils import SearchUtils

    found = []
    for each in SearchUtils.parse_search_filter(text):
        kind, comparator = each["type"], each["comparator"].upper()
        key, value = SearchUtils.translate_key_alias(each["key"]), each["value"]
        # Each refuses a comparator that its kind does not take.
        SearchUtils.is_string_attribute(kind, key, comparator)
        SearchUtils.is_numeric_attribute(kind, key, comparator)
        SearchUtils.is_param(kind, comparator)
        SearchUtils.is_tag(kind, comparator)
        SearchUtils.is_dataset(kind, comparator)
        if SearchUtils.is_metric(kind, comparator):
            value = float(value)
        if isinstance(value, tuple | set):
            value = list(value)
        found.append(Condition(kind, key, comparator, value))
    return found


def _sql(selection: Selection, given: Condition) -> str:
    if given.kind == "dataset":
        return _dataset_sql(selection, given)
    if given.kind == "attribute" and given.key != "run_name":
        column = "run_uuid" if given.key == "run_id" else given.key
        return _comparison(selection, f"r.{column}", given)
    # The column of the name is empty for runs of MLflow 1.
    is_name = given.kind == "attribute"
    table = "tags" if is_name else _TABLES[given.kind]
    key = selection.name("mlflow.runName" if is_name else given.key)
    found = f"SELECT v.run_uuid FROM {table} v WHERE v.key = {key}"  # noqa: S608
    if given.comparator in _NULL:
        is_in = "NOT IN" if given.comparator == "IS NULL" else "IN"
        return f"r.run_uuid {is_in} ({found})"
    holds = _comparison(selection, "v.value", given)
    if given.kind == "metric":  # NaN is kept as 0, and differs from everything
        is_unequal = given.comparator == "!="
        holds = f"({holds} OR v.is_nan)" if is_unequal else f"{holds} AND NOT v.is_nan"
    return f"r.run_uuid IN ({found} AND {holds})"


def _dataset_sql(selection: Selection, given: Condition) -> str:
    column = "t.value" if given.key == "context" else f"d.{given.key}"
    return (
        "r.run_uuid IN (SELECT i.destination_id FROM inputs i "  # noqa: S608
        "JOIN datasets d ON d.dataset_uuid = i.source_id "
        "LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid "
        "AND t.name = 'mlflow.data.context' "
        f"WHERE {_comparison(selection, column, given)})"
    )


def _comparison(selection: Selection, column: str, given: Condition) -> str:
    value = selection.name(given.value)
    if given.comparator == "ILIKE":
        return f"lower({column}) LIKE lower({value})"
    return f"{column} {given.comparator} {value}"


def quoted(text: str) -> str:
    """Return ``text`` as a literal of MLflow's search language."""
    for mark in "'\"":
        if mark not in text:
            return f"{mark}{text}{mark}"
    raise UsageError(
        f"{text!r} holds both kinds of quotes, which MLflow cannot search for.",
        fix="Rename it without one of them.",
    )


def backticked(name: str) -> str:
    """Return a metric name as MLflow's search language takes it."""
    if "`" in name:
        raise UsageError(f"No metric can be named {name!r}.", fix="Leave out the `.")
    return f"`{name}`"
