"""Whether a sweep gives a notebook what the notebook declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nbmlops.errors import NbmlopsError, UsageError
from nbmlops.execution.parameters.annotations import parse, wants_float
from nbmlops.execution.parameters.parameters import (
    Parameter,
    check_parameters,
    secrets_by_name,
)
from nbmlops.pipeline.spec.overrides import optional
from nbmlops.pipeline.spec.templates import has_template

_MAX_PROBLEMS = 20


class Checker:
    """Gathers all that is wrong with a sweep before anything is run."""

    def __init__(self, declared: Mapping[str, Parameter] | None) -> None:
        self.declared = declared
        self.problems: list[str] = []

    def fail(self, problem: str, where: str = "") -> None:
        """Note what is wrong, and where."""
        self.problems.append(f"{where}: {problem}" if where else problem)

    def fit(self, name: str, value: object, where: str = "") -> object:
        """Return a value as the notebook will see it, a secret as its reference.

        A whole number for a float is one, as it is where it was typed.
        """
        if has_template(value):
            self.fail(f"Parameter {name!r} has a template; pipelines can.", where)
            return value
        try:
            fit = secrets_by_name(
                check_parameters(optional(self.declared), {name: value})[name]
            )
        except NbmlopsError as error:
            self.fail(error.problem, where)
            return value
        declared = (self.declared or {}).get(name)
        if type(fit) is int and declared and wants_float(parse(declared.type)):
            return float(fit) if float(fit) == fit else fit
        return fit

    def complete(self, fixed: Iterable[str], swept: Iterable[str], where: str) -> None:
        """Note what is given twice, and what is not given and has no default."""
        fixed, swept = list(fixed), list(swept)
        for name in swept:
            if name in fixed:
                self.fail(f"Parameter {name!r} is fixed, and swept too.", where)
        for name, each in (self.declared or {}).items():
            if not each.default_source and name not in (*fixed, *swept):
                problem = f"Parameter {name!r} has no default and is not given."
                self.fail(problem, where)

    def refuse(self, notebook: str) -> None:
        """Raise what was gathered."""
        problems = list(dict.fromkeys(self.problems))
        if not problems:
            return
        known = ", ".join(map(str, (self.declared or {}).values())) or "none"
        lines = [f"  {problem}" for problem in problems[:_MAX_PROBLEMS]]
        if len(problems) > _MAX_PROBLEMS:
            lines.append(f"  and {len(problems) - _MAX_PROBLEMS} more")
        raise UsageError(
            "\n".join([f"The sweep of {notebook} cannot be run:", *lines]),
            fix=f"The notebook's parameters are: {known}. Nothing was run.",
        )
