"""The ranges and choices that a search draws from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nbmlops.errors import DependencyError
from nbmlops.execution.parameters.annotations import parse, wants_float
from nbmlops.pipeline.sweeps.checking import Checker

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_PLAIN = (bool, int, float, str, type(None))
_FORMS = '(low, high), (low, high, "log"), (low, high, step), or a list of choices'


def need_optuna() -> Any:  # noqa: ANN401 - the module
    """Return Optuna."""
    try:
        import optuna
    except ImportError as error:
        raise DependencyError(
            "A search needs Optuna, which is not installed.",
            fix="Install it with: pip install 'nbmlops[sweep]'",
        ) from error
    return optuna


@dataclass(frozen=True, slots=True)
class Space:
    """What a search draws from."""

    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    choices: dict[str, dict[str, object]] = field(default_factory=dict)

    def decode(self, drawn: Mapping[str, Any]) -> dict[str, object]:
        """Return what a notebook is given for what Optuna has drawn."""
        return {
            name: self.choices[name][value] if name in self.choices else value
            for name, value in drawn.items()
        }

    def described(self) -> dict[str, str]:
        """Return each range and list of choices in words."""
        return {name: _described(each) for name, each in self.distributions.items()}


def _described(each: Any) -> str:  # noqa: ANN401 - of three kinds
    if hasattr(each, "choices"):
        return ", ".join(map(str, each.choices))
    is_plain = each.step in (None, 1)
    how = "log" if each.log else "" if is_plain else str(each.step)
    return f"{each.low}..{each.high}{f':{how}' if how else ''}"


def read_space(
    given: Mapping[str, object], fixed: Iterable[str], checker: Checker
) -> Space:
    """Return a search space."""
    need_optuna()
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    space = Space()
    if not given:
        checker.fail("The space names no parameter.")
    checker.complete(fixed, given, "")
    for name, each in given.items():
        match each:
            case CategoricalDistribution():
                _choose(space, name, each.choices, checker)
            case FloatDistribution() | IntDistribution():
                _ends(name, each.low, each.high, checker)
                space.distributions[name] = each
            case BaseDistribution():
                checker.fail(f"Space {name!r} is a {type(each).__name__}.")
            case list() if each:
                _choose(space, name, each, checker)
            case (int() | float(), int() | float(), *rest) if len(rest) < 2:
                found = _range(name, each, checker)
                if found is not None:
                    space.distributions[name] = found
            case _:
                problem = f"Space {name!r} is {each!r:.60}, not {_FORMS}."
                checker.fail(problem)
    return space


def _choose(
    space: Space, name: str, choices: Iterable[object], checker: Checker
) -> None:
    from optuna.distributions import CategoricalDistribution

    values = [checker.fit(name, value) for value in choices]
    for n, value in enumerate(values):
        if value in values[:n]:  # as Optuna compares them: True is 1
            checker.fail(f"Space {name!r} has {value!r:.60} twice.")
            return
    if not all(type(value) in _PLAIN for value in values):
        space.choices[name] = {json.dumps(value): value for value in values}
        values = list(space.choices[name])
    space.distributions[name] = CategoricalDistribution(values)  # type: ignore[arg-type]


def _ends(name: str, low: object, high: object, checker: Checker) -> bool:
    n_before = len(checker.problems)
    checker.fit(name, low)
    checker.fit(name, high)
    return len(checker.problems) == n_before


def _range(name: str, each: Any, checker: Checker) -> BaseDistribution | None:  # noqa: ANN401
    """Return a range of whole numbers or of floats; None when it is none."""
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, *rest = each
    how = rest[0] if rest else None
    is_step = type(how) in (int, float)
    if bool in map(type, each) or not (how is None or how == "log" or is_step):
        checker.fail(f"Space {name!r} is {each!r:.60}, not {_FORMS}.")
        return None
    if not _ends(name, low, high, checker):
        return None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        checker.fail(f"Space {name!r} goes from {low!r} to {high!r}.")
        return None
    declared = (checker.declared or {}).get(name)
    whole = all(type(end) is int for end in (low, high)) and type(how) is not float
    is_float = declared is not None and wants_float(parse(declared.type))
    step = how if is_step else None
    try:
        if whole and not is_float:
            return IntDistribution(low, high, log=how == "log", step=step or 1)
        checker.fit(name, float(low))
        return FloatDistribution(low, high, log=how == "log", step=step)
    except ValueError as error:
        checker.fail(f"Space {name!r}: {' '.join(str(error).split())}")
        return None
