"""YAML in which every value knows its line, and none is guessed to be a date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_DEEPEST = 40
_MOST = 50_000


class _Loader(yaml.SafeLoader):
    """Takes plain words as YAML 1.2 does: ``on`` is a word, and ``1e-3`` a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


def _resolve(kind: str, form: str, first: str) -> None:
    tag = f"tag:yaml.org,2002:{kind}"
    _Loader.add_implicit_resolver(tag, re.compile(f"^(?:{form})$"), list(first))


_resolve("null", "~|null|Null|NULL|", "~nN")
_Loader.yaml_implicit_resolvers[""] = [("tag:yaml.org,2002:null", re.compile("^$"))]
_resolve("bool", "true|True|TRUE|false|False|FALSE", "tTfF")
_resolve("int", "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789")
_resolve(
    "float",
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.inf|\.nan",
    "-+0123456789.",
)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Located:
    """A value of the file and its line."""

    value: Any
    line: int

    def plain(self) -> Any:  # noqa: ANN401 - whatever the file holds
        """Return the value without the lines."""
        match self.value:
            case dict():
                return {name: each.plain() for name, each in self.value.items()}
            case list():
                return [each.plain() for each in self.value]
        return self.value

    def lines(self) -> dict[str, int]:
        """Return the line of each of some texts, or of one."""
        items = self.value if isinstance(self.value, list) else [self]
        return {str(item.value): item.line for item in items}

    def scalars(self) -> Iterator[Located]:
        """Yield the scalars in it."""
        match self.value:
            case dict():
                for each in self.value.values():
                    yield from each.scalars()
            case list():
                for each in self.value:
                    yield from each.scalars()
            case _:
                yield self


def read_located(text: str, problems: list[Problem]) -> Located | None:
    """Return the one document in a text.

    >>> read_located("on: 1e-3", []).plain()
    {'on': 0.001}
    """
    walk = _Walk(problems)
    try:
        node = yaml.compose(text, Loader=_Loader)
        return None if node is None else walk.located(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else 1
        problems.append(
            Problem(line, f"This is not YAML: {' '.join(problem.split())}.")
        )
    except RecursionError:
        problems.append(Problem(walk.line, "This is nested too deep or too long."))
    return None


class _Walk:
    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._n, self.line = 0, 1

    def located(self, node: Any, line: int = 0, depth: int = 0) -> Located:  # noqa: ANN401
        line = line or node.start_mark.line + 1
        self.line = max(self.line, line)  # an alias leads back to an earlier one
        self._n += 1
        if depth > _DEEPEST or self._n > _MOST:
            raise RecursionError
        match node:
            case yaml.MappingNode(value=pairs):
                return Located(self._mapping(pairs, depth), line)
            case yaml.SequenceNode(value=items):
                return Located([self.located(i, 0, depth + 1) for i in items], line)
        return Located(self._scalar(node, line), line)

    def _mapping(self, pairs: list[Any], depth: int) -> dict[str, Located]:
        found: dict[str, Located] = {}
        merged: dict[str, Located] = {}
        for key, value in pairs:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._problems.append(Problem(line, "A key is not a plain word."))
            elif key.value == "<<" and key.style is None:
                merged = self._merged(value, line, depth) | merged
            elif key.value in found:
                first = found[key.value].line
                problem = (
                    f"The key {key.value!r} is there twice, first on line {first}."
                )
                self._problems.append(Problem(line, problem))
            else:
                found[key.value] = self.located(value, line, depth + 1)
        return merged | found

    def _merged(self, node: Any, line: int, depth: int) -> dict[str, Located]:  # noqa: ANN401
        """Return what YAML's ``<<`` adds to a mapping: the first of several wins."""
        value = self.located(node, line, depth + 1).value
        found: dict[str, Located] = {}
        for each in value if isinstance(value, list) else [Located(value, line)]:
            if isinstance(each.value, dict):
                found = each.value | found
            else:
                problem = "`<<` is not a mapping, nor a list of mappings."
                self._problems.append(Problem(line, problem))
        return found

    def _scalar(self, node: Any, line: int) -> object:  # noqa: ANN401
        text = str(node.value)
        match node.tag.rpartition(":")[2]:
            case "null":
                return None
            case "bool" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "int" | "float" as kind:
                try:
                    if kind == "int":
                        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
                    plain = text.lower().replace(".inf", "inf").replace(".nan", "nan")
                    return float(plain)
                except ValueError:  # an explicit tag on what is none, or 5000 digits
                    self._problems.append(Problem(line, f"{text[:40]!r} is no number."))
                    return None
            case "str":
                return text
        self._problems.append(Problem(line, f"The tag {node.tag!r} is not known."))
        return None
