"""Names that may stand for the same object, as far as code alone can tell."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass, field

SCALAR, FUNCTION = "<scalar>", "<function>"
"""Kinds: a value that nothing can change; a function that has no state."""
_BUILTINS = frozenset(dir(builtins))


@dataclass(slots=True, eq=False)
class Notes:
    """What a cell, or a call of a function, does."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)  # before aliases are looked up
    binds: set[str] = field(default_factory=set)
    draws: set[str] = field(default_factory=set)
    likely: set[str] = field(default_factory=set)  # of the writes and draws
    returns: set[str] = field(default_factory=set)
    must_keep: bool = False
    changes_arguments: bool = False
    makes_functions: bool = False
    is_consumed: bool = False  # reading it changes it
    is_own: bool = False  # of the project's own code, so that no method is known


@dataclass(slots=True, eq=False)
class Group:
    """Names that may share an object, and what calls of that object do."""

    names: set[str] = field(default_factory=set)
    holders: set[str] = field(default_factory=set)
    calls: set[Notes] = field(default_factory=set)

    def learn(self, other: Group) -> None:
        """Take over what is known of another, except for its names."""
        self.holders |= other.holders
        self.calls |= other.calls

    def has(self, fact: str) -> bool:
        """Return whether something is so for any of the calls."""
        return any(getattr(call, fact) for call in self.calls)


class AliasMap:
    """What the names of a kernel stand for."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._groups: dict[str, Group] = {}

    # Whether the cells have bound it; a builtin, say, has a group and is not in here.
    def __contains__(self, name: str) -> bool:
        return name in self._kinds

    def kind(self, name: str) -> str:
        """Return `SCALAR`, `FUNCTION` or the origin of what was imported, if known."""
        return self._kinds.get(name, "")

    def set_kind(self, name: str, kind: str = "<unknown>") -> None:
        """Note what a name stands for now."""
        self._kinds[name] = kind

    def is_inert(self, name: str) -> bool:
        """Return whether no change of its object can be seen by another name."""
        kind = self._kinds.get(name)
        if kind is None:
            return name in _BUILTINS
        return kind == SCALAR or kind[0] != "<"

    def group(self, name: str) -> Group:
        """Return the group of a name; a name never seen is alone in its own."""
        found = self._groups.get(name)
        if found is None:
            found = self._groups[name] = Group(names={name})
        return found

    def drop(self, names: Iterable[str]) -> None:
        """Forget names that nothing can mention any more."""
        for name in names:
            self._kinds.pop(name, None)
            self._groups.pop(name, Group()).names.discard(name)

    def hold(self, names: Iterable[str]) -> None:
        """Note that the objects of these names may hold each other."""
        groups = {self.group(name) for name in names if not self.is_inert(name)}
        if len(groups) > 1:
            largest, *others = sorted(groups, key=lambda g: -len(g.names))
            for other in others:
                largest.names |= other.names
                largest.learn(other)
                self._groups |= dict.fromkeys(other.names, largest)

    def bind(self, name: str, sources: Iterable[str], *, is_certain: bool) -> None:
        """Note that a name may now share the objects of others."""
        # Looked at before the name leaves its group: `a = f(a)` may return what the
        # others of that group share.
        before = [self.group(each) for each in sources if not self.is_inert(each)]
        others = [next((n for n in g.names if n != name), name) for g in before]
        if is_certain and name in self._groups:
            self._groups.pop(name).names.discard(name)
        self.set_kind(name)
        self.hold([name, *others])
        for group in before:
            self.group(name).learn(group)

    def reached(self, names: Iterable[str]) -> set[str]:
        """Return the names and all that a call of one would use."""
        waiting, seen = list(names), set()
        while waiting:
            each = waiting.pop()
            if each not in seen:
                seen.add(each)
                for call in self._groups[each].calls if each in self._groups else ():
                    waiting += call.reads - seen
        return seen

    def affected(self, names: Iterable[str]) -> set[str]:
        """Return all names whose value may be another when these objects change."""
        waiting = [name for name in names if not self.is_inert(name)]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                group = self._groups.get(name, Group())
                seen |= group.names | {name}
                waiting += group.holders - seen
        return seen
