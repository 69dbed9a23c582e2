"""What of a run's params and metrics its user named, and what recorded itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

AUTOLOGGED = "nbmlops.autologged"
"""Tag of a run with params and metrics that autolog recorded: their names, as JSON."""

KIND = "estimator"
"""Param that autolog records for the class of the estimator."""

_OF_OLDER_VERSIONS = ("nbmlops.cost.fit_s", "estimator_class")  # the latter is MLflow's


@dataclass(frozen=True, slots=True, kw_only=True)
class Autologged:
    """The params and metrics of a run that autolog recorded."""

    changed: Mapping[str, str] = field(default_factory=dict)
    default: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    @classmethod
    def of(cls, params: Mapping[str, str], tags: Mapping[str, str]) -> Autologged:
        """Read the tags of a run with these params."""
        text = tags.get(AUTOLOGGED)
        if text is None:
            is_old = any(name in tags for name in _OF_OLDER_VERSIONS)
            return cls(unknown=tuple(params)) if is_old else NOTHING
        try:
            found = json.loads(text)
            changed, metrics = dict(found["changed"]), tuple(found["metrics"])
            names, prefixes = set(found["default"]), tuple(found["prefixes"])
        except (ValueError, KeyError, TypeError):  # not written by us, or cut
            return cls(unknown=tuple(params))
        return cls(
            changed={name: changed[name] for name in params if name in changed},
            default=tuple(
                name
                for name in params
                if name not in changed
                and (name in names or (prefixes and name.startswith(prefixes)))
            ),
            metrics=metrics,
        )

    def shown(self, params: Mapping[str, str]) -> dict[str, str]:
        """Return params worth showing: the user's first, then what was changed."""
        quiet = {*self.changed, *self.default}
        named = {name: text for name, text in params.items() if name not in quiet}
        return named | {
            short: params[name]
            for name, short in self.changed.items()
            if name in params
        }


NOTHING = Autologged()


def autologged_tag(
    params: Iterable[str],
    *,
    changed: Iterable[str],
    named: Iterable[str],
    metrics: Iterable[str],
) -> str:
    """Return the tag of a run."""
    params, named = set(params), tuple(named)
    changed = params.intersection(changed)
    default, short = params - changed, short_names(params.union(named))
    prefixes = {f"{name.partition('__')[0]}__" for name in default if "__" in name}
    prefixes = {each for each in prefixes if not any(n.startswith(each) for n in named)}
    return json.dumps({
        "changed": {name: short[name] for name in sorted(changed)},
        "default": sorted(n for n in default if not n.startswith(tuple(prefixes))),
        "prefixes": sorted(prefixes),
        "metrics": sorted(metrics),
    })  # fmt: skip


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each name the shortest end of it that no other name ends with.

    >>> short_names(["encoder__drop", "a__n", "b__n", "C"])
    {'encoder__drop': 'drop', 'a__n': 'a.n', 'b__n': 'b.n', 'C': 'C'}
    """
    parts = {name: name.split("__") for name in names}
    ends = Counter(
        tuple(each[start:]) for each in parts.values() for start in range(len(each))
    )
    return {
        name: next(
            (
                ".".join(each[start:])
                for start in range(len(each) - 1, -1, -1)
                if ends[tuple(each[start:])] == 1
            ),
            name,
        )
        for name, each in parts.items()
    }


def full_names(params: Mapping[str, str], name: str) -> list[str]:
    """Return the param of this name, or else those that end with this short name."""
    if name in params:
        return [name]
    end = short_end(name)
    return [key for key in params if key.endswith(end)]


def short_end(name: str) -> str:
    """Return what a param of this short name ends with."""
    return f"__{name.replace('.', '__')}"


def param_of(params: Mapping[str, str], name: str) -> str | None:
    """Return the param of this name, or else the only one of this short name.

    >>> param_of({"model__C": "1", "seed": "7"}, "C")
    '1'
    """
    found = full_names(params, name)
    return params[found[0]] if len(found) == 1 else None
