"""What a pipeline file says, each value of the form it must have; no file is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from nbmlops.entities import Action, Select, Step, Trigger
from nbmlops.entities.pipeline import RetryKind
from nbmlops.errors import did_you_mean
from nbmlops.pipeline.cron import cron_fault
from nbmlops.pipeline.faults import Fault
from nbmlops.pipeline.located import Located
from nbmlops.pipeline.templates import has_template

_TOP = ("name", "experiment", "params", "steps", "triggers")
_COMMON = ("needs", "cache", "once", "retries", "retry_on", "retry_wait_s", "timeout_s")
_NOTEBOOK = ("notebook", "inputs", "outputs", "params", "grid", "select", "kernel")
_ACTIONS = ("register", "deploy", "check")
_OPTIONS = {
    "register": ("model", "from", "alias"),
    "deploy": ("endpoint", "from", "model", "port"),
}
_LATER = {"canary": "Canaries", "shadow": "Shadows", "target": "Deploy targets"}
_TRIGGERS = {
    "data": ("paths",),
    "drift": ("endpoint", "share"),
    "performance": ("endpoint", "metric", "below", "above"),
    "schedule": ("cron",),
}
_MOST_RUNS = 1000
_NAME = re.compile(r"[A-Za-z_][\w-]{0,99}")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")


@dataclass(slots=True)
class Draft:
    """A pipeline file as far as it could be read.

    Attributes
    ----------
    name, experiment : str or None
        As given.
    params : dict of str to Located
        For all steps.
    steps : dict of str to Step
        Those whose form is right enough to look further.
    params_of, grid_of, paths_of : dict
        Where each param, grid axis and path of a step stands.
    triggers : list of Trigger
        Those that are right.
    """

    name: str | None = None
    experiment: str | None = None
    params: dict[str, Located] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    params_of: dict[str, dict[str, Located]] = field(default_factory=dict)
    grid_of: dict[str, dict[str, Located]] = field(default_factory=dict)
    paths_of: dict[str, dict[str, int]] = field(default_factory=dict)
    lines_of: dict[str, dict[str, int]] = field(default_factory=dict)
    triggers: list[Trigger] = field(default_factory=list)


class Shape:
    """Reads a document into a `Draft`.

    Parameters
    ----------
    faults : list of Fault
        What is wrong is added here.
    """

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults
        self.draft = Draft()

    def fault(self, line: int, problem: str) -> None:
        """Note what is wrong."""
        self._faults.append(Fault(line, problem))

    def read(self, document: Located | None) -> Draft:
        """Return the draft of a whole document."""
        if document is None or not isinstance(document.value, dict):
            kind = "empty" if document is None else _said(document.value)
            self.fault(
                1, f"The file is {kind}, not a mapping of name, steps and so on."
            )
            return self.draft
        top = document.value
        self._known(top, _TOP, "a pipeline")
        draft = self.draft
        draft.name = self._take(top, "name", self._text)
        draft.experiment = self._take(top, "experiment", self._text)
        draft.params = self._take(top, "params", self._named) or {}
        for name, each in draft.params.items():
            if any(has_template(scalar.value) for scalar in each.scalars()):
                self.fault(each.line, f"Param {name!r} has a template; a step can.")
        steps = self._take(top, "steps", self._mapping)
        if "steps" not in top or steps == {}:
            self.fault(document.line, "The file has no steps.")
        for name, each in (steps or {}).items():
            self._step(name, each)
        triggers = self._take(top, "triggers", self._list) or []
        for each in triggers:
            self._trigger(each)
        return draft

    def _step(self, name: str, located: Located) -> None:
        line = located.line
        if not _NAME.fullmatch(name):
            self.fault(
                line,
                f"A step cannot be named {name[:60]!r}: use letters, digits, _ and -.",
            )
        body = self._mapping(located, f"step {name!r}")
        if body is None:
            return
        kinds = [key for key in ("notebook", *_ACTIONS) if key in body]
        if len(kinds) != 1:
            said = f"has {' and '.join(kinds)}: it can have one"
            none = "has no notebook, register or deploy: it needs one"
            self.fault(line, f"Step {name!r} {said if kinds else none}.")
        is_notebook = "notebook" in body or not kinds
        known = (*(_NOTEBOOK if is_notebook else ()), *_COMMON, *_ACTIONS, "notebook")
        self._known(body, known, f"step {name!r}")
        if "check" in body:
            self.fault(
                body["check"].line,
                f"Step {name!r} is a check, which pipelines cannot do yet: put its "
                "assertions into a notebook.",
            )
        params = self._take(body, "params", self._named) or {}
        grid = self._grid(name, self._take(body, "grid", self._named) or {})
        self.draft.params_of[name] = params
        self.draft.grid_of[name] = {axis: body["grid"].value[axis] for axis in grid}
        self.draft.lines_of[name] = {key: each.line for key, each in body.items()}
        inputs = self._paths(name, body, "inputs")
        outputs = self._paths(name, body, "outputs")
        retries = self._take(body, "retries", self._count)
        is_cached = self._take(body, "cache", self._flag)
        is_once = self._take(body, "once", self._flag)
        if is_once and is_cached is False:
            self.fault(
                body["once"].line,
                f"Step {name!r} is to be done once, and its cache is off, by which it "
                "would be known that it was done.",
            )
        wait_s = self._take(body, "retry_wait_s", self._seconds)
        self.draft.steps[name] = Step(
            name=name,
            line=line,
            notebook=self._take(body, "notebook", self._text) if is_notebook else None,
            action=self._action(body, kinds[0]) if not is_notebook and kinds else None,
            needs=self._take(body, "needs", self._texts) or (),
            inputs=inputs,
            outputs=outputs,
            params={key: each.plain() for key, each in params.items()},
            grid=grid,
            select=self._select(name, body, has_grid=bool(grid) or "grid" in body),
            kernel=self._take(body, "kernel", self._text),
            timeout_s=self._take(body, "timeout_s", self._seconds),
            retries=retries or 0,
            retry_on=self._retry_on(body),
            retry_wait_s=1.0 if wait_s is None else wait_s,
            cache=is_cached is not False,
            once=bool(is_once),
        )

    def _grid(
        self, name: str, axes: Mapping[str, Located]
    ) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for axis, each in axes.items():
            values = each.plain()
            if not isinstance(values, list) or not values:
                said = "empty" if values in ([], None) else _said(values)
                self.fault(each.line, f"Grid {axis!r} is {said}, not a list.")
            elif any(has_template(scalar.value) for scalar in each.scalars()):
                self.fault(each.line, f"Grid {axis!r} has a template; params can.")
            elif len({repr(value) for value in values}) < len(values):
                self.fault(each.line, f"Grid {axis!r} has a value twice.")
            else:
                found[axis] = tuple(values)
        n = math.prod(map(len, found.values()))
        if n > _MOST_RUNS:
            line = next(iter(axes.values())).line
            self.fault(line, f"The grid of {name!r} is {n} runs, above {_MOST_RUNS}.")
        return found

    def _select(
        self, name: str, body: Mapping[str, Located], *, has_grid: bool
    ) -> Select | None:
        given = self._take(body, "select", self._mapping)
        if given is None:
            return None
        line = body["select"].line
        self._known(given, ("metric", "mode"), "select")
        metric = self._take(given, "metric", self._text)
        mode = self._take(given, "mode", self._text)
        if "metric" not in given:
            self.fault(line, f"The select of step {name!r} names no metric.")
        if mode not in (None, "max", "min"):
            self.fault(
                given["mode"].line,
                f"The mode is {mode!r}, not max or min."
                f"{did_you_mean(mode, ('max', 'min'))}",
            )
            return None
        if not has_grid:
            self.fault(line, f"Step {name!r} has a select, but no grid to select from.")
        if metric is None:
            return None
        from nbmlops.store.selection import is_lower_better

        default = "min" if is_lower_better(metric) else "max"
        return Select(metric=metric, mode=mode or default)  # type: ignore[arg-type]

    def _action(self, body: Mapping[str, Located], kind: str) -> Action | None:
        if kind not in _OPTIONS:
            return None
        given = self._take(body, kind, self._mapping)
        if given is None:
            return None
        line = body[kind].line
        for key in list(given):
            if kind == "deploy" and key in _LATER:
                self.fault(given[key].line, f"{_LATER[key]} cannot be deployed yet.")
                given = {each: at for each, at in given.items() if each != key}
        self._known(given, _OPTIONS[kind], kind)
        options: dict[str, object] = {}
        for key in _OPTIONS[kind]:
            check = self._port if key == "port" else self._text
            value: object = self._take(given, key, check)
            if value is not None and key != "from":
                options[key] = value
        source = self._take(given, "from", self._text)
        needed = "model" if kind == "register" else "endpoint"
        if needed not in given:
            self.fault(line, f"The {kind} names no {needed}.")
        if kind == "register" and "from" not in given:
            self.fault(line, "The register names no step whose model it takes: `from`.")
        if kind == "deploy" and "from" in given and "model" in given:
            self.fault(line, "The deploy has a model and a step it is from: give one.")
        return Action(kind=kind, source=source, options=options)  # type: ignore[arg-type]

    def _retry_on(self, body: Mapping[str, Located]) -> tuple[RetryKind, ...]:
        known = get_args(RetryKind)
        given = self._take(body, "retry_on", self._texts)
        for each in given or ():
            if each not in known:
                self.fault(
                    body["retry_on"].line,
                    f"No end of a step is called {each!r}: retry_on has "
                    f"{', '.join(known)}.{did_you_mean(each, known)}",
                )
        default: tuple[RetryKind, ...] = ("died", "outage")
        return default if given is None else given

    def _trigger(self, located: Located) -> None:
        given = self._mapping(located, "a trigger")
        if given is None:
            return
        on = self._take(given, "on", self._text)
        if on not in _TRIGGERS:
            said = "no `on`" if on is None else f"on {on!r}"
            near = did_you_mean(on or "", _TRIGGERS)
            self.fault(
                located.line,
                f"The trigger has {said}: it can be {', '.join(_TRIGGERS)}.{near}",
            )
            return
        self._known(given, ("on", *_TRIGGERS[on]), f"a trigger on {on}")
        options: dict[str, object] = {}
        for key in _TRIGGERS[on]:
            check: Callable[[Located, str], Any] = {
                "paths": self._texts,
                "share": self._share,
                "below": self._number,
                "above": self._number,
            }.get(key, self._text)
            if key not in given:
                if key not in ("below", "above"):
                    self.fault(located.line, f"The trigger on {on} has no {key}.")
            elif (value := self._take(given, key, check)) is not None:
                options[key] = value
        if on == "performance" and not {"below", "above"} & set(given):
            self.fault(
                located.line, "The trigger on performance has no below or above."
            )
        if "cron" in options and (problem := cron_fault(str(options["cron"]))):
            self.fault(given["cron"].line, f"Bad cron: {problem}")
        self.draft.triggers.append(Trigger(on=on, options=options))

    def _paths(
        self, name: str, body: Mapping[str, Located], key: str
    ) -> tuple[str, ...]:
        found: tuple[str, ...] = self._take(body, key, self._texts) or ()
        lines = self.draft.paths_of.setdefault(name, {})
        if key in body:
            items = (
                body[key].value if isinstance(body[key].value, list) else [body[key]]
            )
            lines |= {str(item.value): item.line for item in items}
        for path in found:
            if has_template(path):
                self.fault(lines[path], f"{path!r} has a template; params alone can.")
            if found.count(path) > 1:
                self.fault(lines[path], f"{path!r} is twice among the {key}.")
        return tuple(dict.fromkeys(path for path in found if not has_template(path)))

    def _known(
        self, given: Mapping[str, Located], known: Collection[str], what: str
    ) -> None:
        for key, each in given.items():
            if key not in known:
                near = did_you_mean(key, known)
                self.fault(each.line, f"Unknown key {key!r} of {what}.{near}")

    def _take(
        self,
        given: Mapping[str, Located],
        key: str,
        read: Callable[[Located, str], Any],
    ) -> Any:  # noqa: ANN401 - what `read` returns
        return read(given[key], f"`{key}`") if key in given else None

    def _form(self, located: Located, what: str, wanted: str) -> None:
        self.fault(located.line, f"{what} is {_said(located.value)}, not {wanted}.")

    def _mapping(self, located: Located, what: str) -> dict[str, Located] | None:
        if isinstance(located.value, dict):
            return located.value
        self._form(located, what, "a mapping")
        return None

    def _named(self, located: Located, what: str) -> dict[str, Located] | None:
        found = self._mapping(located, what)
        for name, each in (found or {}).items():
            if not _IDENTIFIER.fullmatch(name):
                self.fault(each.line, f"{name[:60]!r} is no name of a parameter.")
        return found and {k: v for k, v in found.items() if _IDENTIFIER.fullmatch(k)}

    def _list(self, located: Located, what: str) -> list[Located] | None:
        if isinstance(located.value, list):
            return located.value
        self._form(located, what, "a list")
        return None

    def _text(self, located: Located, what: str) -> str | None:
        text = located.value
        if isinstance(text, str) and text.strip() and "\0" not in text:
            return text
        self._form(located, what, "a text")
        return None

    def _texts(self, located: Located, what: str) -> tuple[str, ...] | None:
        if isinstance(located.value, str):
            return (located.value,)
        if isinstance(located.value, list) and all(
            isinstance(each.value, str) and each.value.strip() for each in located.value
        ):
            return tuple(each.value for each in located.value)
        self._form(located, what, "a list of texts")
        return None

    def _number(self, located: Located, what: str) -> float | None:
        value = located.value
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
        self._form(located, what, "a number")
        return None

    def _seconds(self, located: Located, what: str) -> float | None:
        value = located.value
        if type(value) in (int, float) and 0 < value < 1e9:
            return float(value)
        self._form(located, what, "seconds above 0")
        return None

    def _share(self, located: Located, what: str) -> float | None:
        value = located.value
        if type(value) in (int, float) and 0 <= value <= 1:
            return float(value)
        self._form(located, what, "a share from 0 to 1")
        return None

    def _count(self, located: Located, what: str) -> int | None:
        if type(located.value) is int and 0 <= located.value <= 100:
            return located.value
        self._form(located, what, "a whole number from 0 to 100")
        return None

    def _port(self, located: Located, what: str) -> int | None:
        if type(located.value) is int and 1 <= located.value <= 65535:
            return located.value
        self._form(located, what, "a port from 1 to 65535")
        return None

    def _flag(self, located: Located, what: str) -> bool | None:
        if isinstance(located.value, bool):
            return located.value
        self._form(located, what, "true or false")
        return None


def _said(value: object) -> str:
    """Return a value in words, short."""
    match value:
        case None:
            return "empty"
        case dict():
            return "a mapping"
        case list():
            return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
