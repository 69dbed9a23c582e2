"""What a pipeline file says, each value of the form it must have; no file is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from nbmlops.entities import Action, Select, Step, Trigger, mode_of, unknown_mode
from nbmlops.entities.pipeline import RetryKind
from nbmlops.errors import did_you_mean
from nbmlops.pipeline.spec.cron import cron_problem
from nbmlops.pipeline.spec.problems import Problem
from nbmlops.pipeline.spec.templates import has_template
from nbmlops.pipeline.spec.value_readers import ValueReader, describe
from nbmlops.pipeline.spec.yaml_lines import Located

_TOP = ("name", "experiment", "params", "steps", "triggers")
_COMMON = ("needs", "cache", "once", "retries", "retry_on", "retry_wait_s", "timeout_s")
_NOTEBOOK = (
    "notebook",
    "inputs",
    "outputs",
    "params",
    "grid",
    "select",
    "kernel",
    "cell_timeout_s",
)
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


@dataclass(slots=True)
class Draft:
    """A pipeline file as far as it could be read."""

    name: str | None = None
    experiment: str | None = None
    params: dict[str, Located] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    params_of: dict[str, dict[str, Located]] = field(default_factory=dict)
    grid_of: dict[str, dict[str, Located]] = field(default_factory=dict)
    paths_of: dict[str, dict[str, int]] = field(default_factory=dict)
    lines_of: dict[str, dict[str, int]] = field(default_factory=dict)
    triggers: list[Trigger] = field(default_factory=list)
    watched: dict[str, int] = field(default_factory=dict)


class Parser:
    """Reads a document into a `Draft`."""

    def __init__(self, problems: list[Problem]) -> None:
        self._read = ValueReader(problems)
        self._fail, self._get = self._read.fail, self._read.get
        self.draft = Draft()

    def read(self, document: Located | None) -> Draft:
        """Return the draft of a whole document."""
        if document is None or not isinstance(document.value, dict):
            kind = "empty" if document is None else describe(document.value)
            self._fail(
                1, f"The file is {kind}, not a mapping of name, steps and so on."
            )
            return self.draft
        top = document.value
        self._read.check_keys(top, _TOP, "a pipeline")
        draft = self.draft
        draft.name = self._get(top, "name", self._read.run_name)
        draft.experiment = self._get(top, "experiment", self._read.run_name)
        draft.params = self._get(top, "params", self._read.parameters) or {}
        for name, each in draft.params.items():
            if has_template(each.plain()):
                self._fail(each.line, f"Param {name!r} has a template; a step can.")
        steps = self._get(top, "steps", self._read.mapping)
        if "steps" not in top or steps == {}:
            self._fail(document.line, "The file has no steps.")
        for name, each in (steps or {}).items():
            self._step(name, each)
        triggers = self._get(top, "triggers", self._read.list) or []
        for each in triggers:
            self._trigger(each)
        return draft

    def _step(self, name: str, located: Located) -> None:
        line = located.line
        if not _NAME.fullmatch(name):
            self._fail(
                line,
                f"A step cannot be named {name[:60]!r}: begin with a letter or "
                "_, and go on with letters, digits, _ and -; 100 at most.",
            )
        body = self._read.mapping(located, f"step {name!r}")
        if body is None:
            return
        kinds = [key for key in ("notebook", *_ACTIONS) if key in body]
        if len(kinds) != 1:
            what = "has no notebook, register or deploy: it needs one"
            if kinds:
                what = f"has {' and '.join(kinds)}: it can have one"
            self._fail(line, f"Step {name!r} {what}.")
        is_notebook = "notebook" in body or not kinds
        known = (*(_NOTEBOOK if is_notebook else ()), *_COMMON, *_ACTIONS, "notebook")
        self._read.check_keys(body, known, f"step {name!r}")
        if "check" in body:
            self._fail(
                body["check"].line,
                f"Step {name!r} is a check, which pipelines cannot do yet: put its "
                "assertions into a notebook.",
            )
        params = self._get(body, "params", self._read.parameters) or {}
        grid = self._grid(name, self._get(body, "grid", self._read.parameters) or {})
        self.draft.params_of[name] = params
        self.draft.grid_of[name] = {axis: body["grid"].value[axis] for axis in grid}
        self.draft.lines_of[name] = {key: each.line for key, each in body.items()}
        inputs = self._paths(name, body, "inputs")
        outputs = self._paths(name, body, "outputs")
        retries = self._get(body, "retries", self._read.count)
        is_cached = self._get(body, "cache", self._read.flag)
        is_once = self._get(body, "once", self._read.flag)
        if is_once and is_cached is False:
            self._fail(
                body["once"].line,
                f"Step {name!r} is to be done once, and its cache is off, by which it "
                "would be known that it was done.",
            )
        wait_s = self._get(body, "retry_wait_s", self._read.seconds)
        self.draft.steps[name] = Step(
            name=name,
            line=line,
            notebook=self._get(body, "notebook", self._read.text)
            if is_notebook
            else None,
            action=self._action(body, kinds[0]) if not is_notebook and kinds else None,
            needs=self._get(body, "needs", self._read.texts) or (),
            inputs=inputs,
            outputs=outputs,
            params={key: each.plain() for key, each in params.items()},
            grid=grid,
            select=self._select(name, body, has_grid=bool(grid) or "grid" in body),
            kernel=self._get(body, "kernel", self._read.text),
            timeout_s=self._get(body, "timeout_s", self._read.seconds),
            cell_timeout_s=self._get(body, "cell_timeout_s", self._read.seconds),
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
                shown = "empty" if values in ([], None) else describe(values)
                self._fail(each.line, f"Grid {axis!r} is {shown}, not a list.")
            elif has_template(each.plain()):
                self._fail(each.line, f"Grid {axis!r} has a template; params can.")
            elif len({repr(value) for value in values}) < len(values):
                self._fail(each.line, f"Grid {axis!r} has a value twice.")
            else:
                found[axis] = tuple(values)
        n = math.prod(map(len, found.values()))
        if n > _MOST_RUNS:
            line = next(iter(axes.values())).line
            self._fail(line, f"The grid of {name!r} is {n} runs, above {_MOST_RUNS}.")
        return found

    def _select(
        self, name: str, body: Mapping[str, Located], *, has_grid: bool
    ) -> Select | None:
        given = self._get(body, "select", self._read.mapping)
        if given is None:
            return None
        line = body["select"].line
        self._read.check_keys(given, ("metric", "mode"), "select")
        metric = self._get(given, "metric", self._read.text)
        mode = self._get(given, "mode", self._read.text)
        if "metric" not in given:
            self._fail(line, f"The select of step {name!r} names no metric.")
        if mode not in (None, "max", "min"):
            self._fail(
                given["mode"].line,
                f"The mode is {mode!r}, not max or min."
                f"{did_you_mean(mode, ('max', 'min'))}",
            )
            return None
        if not has_grid:
            self._fail(line, f"Step {name!r} has a select, but no grid to select from.")
        if metric is None:
            return None
        mode = mode or mode_of(metric)
        if mode is None:
            error = unknown_mode(metric, small="mode: min", large="mode: max")
            self._fail(given["metric"].line, str(error))
            return None
        return Select(metric=metric, mode=mode)

    def _action(self, body: Mapping[str, Located], kind: str) -> Action | None:
        if kind not in _OPTIONS:
            return None
        given = self._get(body, kind, self._read.mapping)
        if given is None:
            return None
        line = body[kind].line
        for key in list(given):
            if kind == "deploy" and key in _LATER:
                self._fail(given[key].line, f"{_LATER[key]} cannot be deployed yet.")
                given = {each: at for each, at in given.items() if each != key}
        self._read.check_keys(given, _OPTIONS[kind], kind)
        options: dict[str, object] = {}
        for key in _OPTIONS[kind]:
            check = self._read.port if key == "port" else self._read.text
            value: object = self._get(given, key, check)
            if value is not None and key != "from":
                options[key] = value
        source = self._get(given, "from", self._read.text)
        needed = "model" if kind == "register" else "endpoint"
        if needed not in given:
            self._fail(line, f"The {kind} names no {needed}.")
        if kind == "register" and "from" not in given:
            self._fail(line, "The register names no step whose model it takes: `from`.")
        if kind == "deploy" and "from" in given and "model" in given:
            self._fail(line, "The deploy has a model and a step it is from: give one.")
        return Action(kind=kind, source=source, options=options)  # type: ignore[arg-type]

    def _retry_on(self, body: Mapping[str, Located]) -> tuple[RetryKind, ...]:
        known = get_args(RetryKind)
        given = self._get(body, "retry_on", self._read.texts)
        for each in given or ():
            if each not in known:
                self._fail(
                    body["retry_on"].line,
                    f"No end of a step is called {each!r}: retry_on has "
                    f"{', '.join(known)}.{did_you_mean(each, known)}",
                )
        default: tuple[RetryKind, ...] = ("died", "outage")
        return default if given is None else given

    def _trigger(self, located: Located) -> None:
        given = self._read.mapping(located, "a trigger")
        if given is None:
            return
        on = self._get(given, "on", self._read.text)
        if on not in _TRIGGERS:
            what = "no `on`" if on is None else f"on {on!r}"
            near = did_you_mean(on or "", _TRIGGERS)
            self._fail(
                located.line,
                f"The trigger has {what}: it can be {', '.join(_TRIGGERS)}.{near}",
            )
            return
        self._read.check_keys(given, ("on", *_TRIGGERS[on]), f"a trigger on {on}")
        options: dict[str, object] = {}
        for key in _TRIGGERS[on]:
            check: Callable[[Located, str], Any] = {
                "paths": self._read.texts,
                "share": self._read.share,
                "below": self._read.number,
                "above": self._read.number,
            }.get(key, self._read.text)
            if key not in given:
                if key not in ("below", "above"):
                    self._fail(located.line, f"The trigger on {on} has no {key}.")
            elif (value := self._get(given, key, check)) is not None:
                options[key] = value
        if "paths" in options:
            self.draft.watched |= _lines(given["paths"])
        if on == "performance" and not {"below", "above"} & set(given):
            self._fail(
                located.line, "The trigger on performance has no below or above."
            )
        if "cron" in options and (problem := cron_problem(str(options["cron"]))):
            self._fail(given["cron"].line, f"Bad cron: {problem}")
        self.draft.triggers.append(Trigger(on=on, options=options))

    def _paths(
        self, name: str, body: Mapping[str, Located], key: str
    ) -> tuple[str, ...]:
        found: tuple[str, ...] = self._get(body, key, self._read.texts) or ()
        lines = self.draft.paths_of.setdefault(name, {})
        if key in body:
            lines |= _lines(body[key])
        for path in found:
            if has_template(path):
                self._fail(lines[path], f"{path!r} has a template; params alone can.")
            if found.count(path) > 1:
                self._fail(lines[path], f"{path!r} is twice among the {key}.")
        return tuple(dict.fromkeys(path for path in found if not has_template(path)))


def _lines(located: Located) -> dict[str, int]:
    """Return the line of each of some texts."""
    items = located.value if isinstance(located.value, list) else [located]
    return {str(item.value): item.line for item in items}
