"""What a pipeline file says, each value of the form it must have; no file is read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from nbmlops.entities import Action, Select, Step, Trigger, mode_of, unknown_mode
from nbmlops.errors import did_you_mean
from nbmlops.pipeline.spec.draft import SpecDraft
from nbmlops.pipeline.spec.templates import has_template
from nbmlops.pipeline.spec.value_readers import ValueReader, describe
from nbmlops.pipeline.spec.yaml_lines import Located

_TOP = ("name", "experiment", "params", "steps", "triggers")
_COMMON = {
    "needs": "texts",
    "cache": "flag",
    "once": "flag",
    "retries": "count",
    "retry_wait_s": "seconds",
    "timeout_s": "seconds",
    "retry_on": "retry_kinds",
}
_NOTEBOOK = {"kernel": "text", "cell_timeout_s": "seconds"}
_NOTEBOOK_KEYS = ("inputs", "outputs", "params", "grid", "select", *_NOTEBOOK)
_ACTIONS = ("register", "deploy", "check")
_OPTIONS = {
    "register": ("model", "from", "alias"),
    "deploy": ("endpoint", "from", "model", "port"),
}
_LATER = {"canary": "Canaries", "shadow": "Shadows", "target": "Deploy targets"}
_TRIGGERS = {
    "data": {"paths": "texts"},
    "drift": {"endpoint": "text", "share": "share"},
    "performance": {
        "endpoint": "text",
        "metric": "text",
        "below": "number",
        "above": "number",
    },
    "schedule": {"cron": "cron"},
}
_MOST_RUNS = 1000
_NAME = re.compile(r"[A-Za-z_][\w-]{0,99}")


class Parser:
    """Reads a document into a `SpecDraft`."""

    def __init__(self, draft: SpecDraft) -> None:
        self.draft, self._fail = draft, draft.fail
        self._reader = ValueReader(draft.fail)
        self._get = self._reader.get

    def read(self, document: Located | None) -> None:
        """Read a whole document."""
        draft = self.draft
        if document is None or not isinstance(document.value, dict):
            kind = "empty" if document is None else describe(document.value)
            self._fail(
                1, f"The file is {kind}, not a mapping of name, steps and so on."
            )
            return
        top = document.value
        self._reader.check_keys(top, _TOP, "a pipeline")
        draft.name = self._get(top, "name", "run_name")
        draft.experiment = self._get(top, "experiment", "run_name")
        draft.params = self._get(top, "params", "parameters") or {}
        for name, each in draft.params.items():
            if has_template(each.plain()):
                self._fail(each.line, f"Param {name!r} has a template; a step can.")
        steps = self._get(top, "steps", "mapping")
        if "steps" not in top or steps == {}:
            self._fail(document.line, "The file has no steps.")
        for name, each in (steps or {}).items():
            self._step(name, each)
        for each in self._get(top, "triggers", "list") or []:
            self._trigger(each)

    def _step(self, name: str, located: Located) -> None:
        line = located.line
        if not _NAME.fullmatch(name):
            self._fail(
                line,
                f"A step cannot be named {name[:60]!r}: begin with a letter or "
                "_, and go on with letters, digits, _ and -; 100 at most.",
            )
        body = self._reader.mapping(located, f"step {name!r}")
        if body is None:
            return
        kinds = [key for key in ("notebook", *_ACTIONS) if key in body]
        if len(kinds) != 1:
            what = "has no notebook, register or deploy: it needs one"
            if kinds:
                what = f"has {' and '.join(kinds)}: it can have one"
            self._fail(line, f"Step {name!r} {what}.")
        is_notebook = "notebook" in body or not kinds
        known = ("notebook", *_ACTIONS, *_COMMON)
        if is_notebook:
            known += _NOTEBOOK_KEYS
        self._reader.check_keys(body, known, f"step {name!r}")
        if "check" in body:
            self._fail(
                body["check"].line,
                f"Step {name!r} is a check, which pipelines cannot do yet: put its "
                "assertions into a notebook.",
            )
        if is_notebook:
            found = self._notebook(name, body)
        else:
            found = {"action": self._action(body, kinds[0])}
        for key, form in _COMMON.items():
            if (value := self._get(body, key, form)) is not None:
                found[key] = value
        if found.get("once") and found.get("cache") is False:
            self._fail(
                body["once"].line,
                f"Step {name!r} is to be done once, and its cache is off, by which it "
                "would be known that it was done.",
            )
        self.draft.bodies[name] = body
        self.draft.steps[name] = Step(name=name, line=line, **found)

    def _notebook(self, name: str, body: Mapping[str, Located]) -> dict[str, Any]:
        """Return what only a step with a notebook has."""
        params = self._get(body, "params", "parameters") or {}
        grid = self._grid(name, self._get(body, "grid", "parameters") or {})
        return {
            "notebook": self._get(body, "notebook", "text"),
            "inputs": self._paths(body, "inputs"),
            "outputs": self._paths(body, "outputs"),
            "params": {key: each.plain() for key, each in params.items()},
            "grid": grid,
            "select": self._select(name, body),
            **{key: self._get(body, key, form) for key, form in _NOTEBOOK.items()},
        }

    def _grid(
        self, name: str, axes: Mapping[str, Located]
    ) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for axis, each in axes.items():
            values = each.plain()
            if not isinstance(values, list) or not values:
                shown = "empty" if values in ([], None) else describe(values)
                self._fail(each.line, f"Grid {axis!r} is {shown}, not a list.")
            elif has_template(values):
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

    def _select(self, name: str, body: Mapping[str, Located]) -> Select | None:
        given = self._get(body, "select", "mapping")
        if given is None:
            return None
        line = body["select"].line
        self._reader.check_keys(given, ("metric", "mode"), "select")
        metric = self._get(given, "metric", "text")
        mode = self._get(given, "mode", "text")
        if "metric" not in given:
            self._fail(line, f"The select of step {name!r} names no metric.")
        if mode not in (None, "max", "min"):
            near = did_you_mean(mode, ("max", "min"))
            self._fail(
                given["mode"].line, f"The mode is {mode!r}, not max or min.{near}"
            )
            return None
        if "grid" not in body:
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
        given = self._get(body, kind, "mapping")
        if given is None:
            return None
        line = body[kind].line
        if kind == "deploy":
            for key in _LATER.keys() & given.keys():
                self._fail(given[key].line, f"{_LATER[key]} cannot be deployed yet.")
            given = {key: each for key, each in given.items() if key not in _LATER}
        self._reader.check_keys(given, _OPTIONS[kind], kind)
        options = {
            key: value
            for key in _OPTIONS[kind]
            if (value := self._get(given, key, "port" if key == "port" else "text"))
            is not None
        }
        source = options.pop("from", None)
        needed = "model" if kind == "register" else "endpoint"
        if needed not in given:
            self._fail(line, f"The {kind} names no {needed}.")
        if kind == "register" and "from" not in given:
            self._fail(line, "The register names no step whose model it takes: `from`.")
        if kind == "deploy" and "from" in given and "model" in given:
            self._fail(line, "The deploy has a model and a step it is from: give one.")
        return Action(kind=kind, source=source, options=options)  # type: ignore[arg-type]

    def _trigger(self, located: Located) -> None:
        given = self._reader.mapping(located, "a trigger")
        if given is None:
            return
        on = self._get(given, "on", "text")
        if on not in _TRIGGERS:
            what = "no `on`" if on is None else f"on {on!r}"
            near = did_you_mean(on or "", _TRIGGERS)
            self._fail(
                located.line,
                f"The trigger has {what}: it can be {', '.join(_TRIGGERS)}.{near}",
            )
            return
        forms = _TRIGGERS[on]
        self._reader.check_keys(given, ("on", *forms), f"a trigger on {on}")
        options = {}
        for key, form in forms.items():
            if (value := self._get(given, key, form)) is not None:
                options[key] = value
            elif key not in given and key not in ("below", "above"):
                self._fail(located.line, f"The trigger on {on} has no {key}.")
        if "paths" in options:
            self.draft.watched |= given["paths"].lines()
        if on == "performance" and not {"below", "above"} & set(given):
            self._fail(
                located.line, "The trigger on performance has no below or above."
            )
        self.draft.triggers.append(Trigger(on=on, options=options))

    def _paths(self, body: Mapping[str, Located], key: str) -> tuple[str, ...]:
        found: tuple[str, ...] = self._get(body, key, "texts") or ()
        lines = body[key].lines() if found else {}
        for path in found:
            if has_template(path):
                self._fail(lines[path], f"{path!r} has a template; params alone can.")
            if found.count(path) > 1:
                self._fail(lines[path], f"{path!r} is twice among the {key}.")
        return tuple(dict.fromkeys(path for path in found if not has_template(path)))
