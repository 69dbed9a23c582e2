"""Names that may stand for the same object, as far as code alone can tell."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

SCALAR, FUNCTION = "<scalar>", "<function>"
"""Kinds: a value that nothing can change; a function that has no state."""
_UNKNOWN, _UNBOUND = "<unknown>", ""
_BUILTINS = frozenset(dir(builtins))


@dataclass(slots=True, eq=False)
class Group:
    """Names that may share an object, and what is known of that object."""

    names: set[str] = field(default_factory=set)
    holders: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    binds: set[str] = field(default_factory=set)
    draws: set[str] = field(default_factory=set)
    likely: set[str] = field(default_factory=set)
    is_function: bool = False
    makes_functions: bool = False
    changes_arguments: bool = False
    is_own: bool = False
    is_consumed: bool = False
    must_keep: bool = False

    def learn(self, other: Group) -> None:
        """Take over what is known of another, except for its names."""
        for name in _LEARNED:
            setattr(self, name, getattr(self, name) | getattr(other, name))


_LEARNED = tuple(each.name for each in fields(Group) if each.name != "names")


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
        return self._kinds.get(name, _UNBOUND)

    def set_kind(self, name: str, kind: str = _UNKNOWN) -> None:
        """Note what a name stands for now."""
        self._kinds[name] = kind

    def is_inert(self, name: str) -> bool:
        """Return whether no change of its object can be seen by another name."""
        kind = self.kind(name)
        if kind == _UNBOUND:
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
            if name in self._groups:
                self._groups.pop(name).names.discard(name)

    def hold(self, names: Iterable[str]) -> None:
        """Note that the objects of these names may hold each other."""
        groups = {
            id(g): g for n in names if not self.is_inert(n) for g in [self.group(n)]
        }
        if len(groups) > 1:
            largest, *others = sorted(groups.values(), key=lambda g: -len(g.names))
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
            if group is not self.group(name):
                self.group(name).learn(group)

    def reached(self, names: Iterable[str]) -> set[str]:
        """Return the names and all that a call of one would use."""
        waiting, seen = list(names), set()
        while waiting:
            each = waiting.pop()
            if each not in seen:
                seen.add(each)
                if each in self._groups:
                    waiting += self._groups[each].reads - seen
        return seen

    def affected(self, names: Iterable[str]) -> set[str]:
        """Return all names whose value may be another when these objects change."""
        waiting = [name for name in names if not self.is_inert(name)]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in seen and (group := self._groups.get(name, _ALONE)):
                seen |= group.names | {name}
                waiting += group.holders - seen
        return seen


_ALONE = Group()
