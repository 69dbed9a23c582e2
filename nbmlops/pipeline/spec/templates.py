"""``${{ steps.train.values.name }}``: what a step takes from those before it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nbmlops.entities import StepReport
from nbmlops.errors import UsageError, did_you_mean

_TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"steps\.([A-Za-z_][\w-]*)\.([a-z_]+)(?:\.(.+))?", re.DOTALL)
NAMED = ("values", "metrics", "params")
"""What a step has by name."""
PLAIN = ("run_id", "model_id")
"""What it has one of."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What one template asks for."""

    text: str
    step: str = ""
    kind: str = ""
    name: str = ""

    def problem(self) -> str | None:
        """Return what is wrong with its form, or None."""
        known = f"{', '.join(NAMED)} or {' or '.join(PLAIN)}"
        if not self.step:
            return (
                f"The template {self.text!r} cannot be read: write "
                "${{ steps.STEP.values.NAME }}."
            )
        if self.kind not in (*NAMED, *PLAIN):
            near = did_you_mean(self.kind, (*NAMED, *PLAIN))
            return f"A step has no {self.kind!r}: it has {known}.{near}"
        if (self.kind in NAMED) != bool(self.name):
            return f"The template {self.text!r} names no one of the {self.kind}."
        return None


def references(text: str) -> Iterator[Reference]:
    """Yield what the templates of a text ask for.

    >>> [r.name for r in references("a ${{ steps.train.values.auc }} b")]
    ['auc']
    """
    for found in _TEMPLATE.finditer(text):
        inside = found[1].strip()
        match = _PATH.fullmatch(inside)
        yield Reference(inside, *(match.groups("") if match else ()))


def has_template(value: object) -> bool:
    """Return whether the beginning of a template is in a text, or in a text of many."""
    match value:
        case str():
            return "${{" in value
        case list() | tuple():
            return any(map(has_template, value))
        case dict():
            return any(map(has_template, value.values()))
    return False


def render(value: object, done: Mapping[str, StepReport]) -> object:
    """Return a param with its templates filled in."""
    match value:
        case str() if "${{" in value:
            if (whole := _TEMPLATE.fullmatch(value.strip())) is not None:
                return look_up(next(references(whole[0])), done)
            return _TEMPLATE.sub(
                lambda found: str(look_up(next(references(found[0])), done)), value
            )
        case list():
            return [render(each, done) for each in value]
        case dict():
            return {name: render(each, done) for name, each in value.items()}
    return value


def look_up(reference: Reference, done: Mapping[str, StepReport]) -> object:
    """Return the value of a template."""
    report = done.get(reference.step)
    if report is None:
        raise UsageError(
            f"No step {reference.step!r} is done, which the template "
            f"{reference.text!r} names.{did_you_mean(reference.step, done)}",
            fix=f"Name one that comes before: {', '.join(done) or 'none does'}.",
        )
    if reference.kind in PLAIN:
        found = getattr(report, reference.kind)
        if found is None:
            raise UsageError(
                f"Step {reference.step!r} has no {reference.kind}.",
                fix="Log a model in its notebook, or take the template out.",
            )
        return found
    named: Mapping[str, object] = getattr(report, reference.kind)
    if reference.name in named:
        return named[reference.name]
    found, *rest = reference.name.split(".")
    inner: object = named.get(found, ...)
    for part in rest:
        inner = inner.get(part, ...) if isinstance(inner, dict) else ...
    if inner is ...:
        near = did_you_mean(reference.name, named)
        raise UsageError(
            f"Step {reference.step!r} has no {reference.kind[:-1]} "
            f"{reference.name!r}.{near}",
            fix=f"It has: {', '.join(map(str, named)) or 'none'}.",
        )
    return inner
