"""Names that may stand for the same object, as far as code alone can tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace


@dataclass(slots=True, eq=False)
class Group:
    """Names that may share an object, and what is known of that object.

    Attributes
    ----------
    names : set of str
        The names.
    holders : set of str
        Names of objects that may hold this one, and leave it as it is.
    reads : set of str
        Names that functions in it use when they are called.
    changes : set of str
        Names that functions in it bind, or change the object of, when called.
    is_function : bool
        Whether it may be a function or hold one.
    changes_arguments : bool
        Whether functions in it may change or keep what they are given.
    is_own : bool
        Whether it may be of a class that the notebook or the project defines.
    is_consumed : bool
        Whether looking at it changes it, as with an iterator.
    acts : bool
        Whether functions in it change more than names.
    draws : set of str
        The sources of randomness that functions in it may draw from.
    """

    names: set[str] = field(default_factory=set)
    holders: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    is_function: bool = False
    changes_arguments: bool = False
    is_own: bool = False
    is_consumed: bool = False
    acts: bool = False
    draws: set[str] = field(default_factory=set)

    def learn(self, other: Group) -> None:
        """Take over what is known of another, except for its names."""
        self.holders |= other.holders
        self.reads |= other.reads
        self.changes |= other.changes
        self.is_function |= other.is_function
        self.changes_arguments |= other.changes_arguments
        self.is_own |= other.is_own
        self.is_consumed |= other.is_consumed
        self.acts |= other.acts
        self.draws |= other.draws

    def copy(self) -> Group:
        """Return one that can change by itself."""
        return replace(
            self,
            names=set(self.names),
            holders=set(self.holders),
            reads=set(self.reads),
            changes=set(self.changes),
            draws=set(self.draws),
        )


class Names:
    """What the names of a namespace stand for.

    Attributes
    ----------
    imports : dict of str to str
        Dotted origin of each name that is a library's module, class or function.
    scalars : set of str
        Names of values that nothing can change, such as numbers and texts.
    plain : set of str
        Names of functions that keep no state between calls.
    simple : set of str
        Those of them that make no functions.
    """

    def __init__(self) -> None:
        self.imports: dict[str, str] = {}
        self.scalars: set[str] = set()
        self.plain: set[str] = set()
        self.simple: set[str] = set()
        self._bound: set[str] = set()
        self._groups: dict[str, Group] = {}

    # Whether the cells have bound it; a builtin, say, has a group and is not in here.
    def __contains__(self, name: str) -> bool:
        return name in self._bound

    def copy(self) -> Names:
        """Return one that can change by itself."""
        other = Names()
        other.imports = dict(self.imports)
        other.scalars = set(self.scalars)
        other.plain = set(self.plain)
        other.simple = set(self.simple)
        other._bound = set(self._bound)
        copies = {id(group): group.copy() for group in self._groups.values()}
        other._groups = {name: copies[id(g)] for name, g in self._groups.items()}
        return other

    def group(self, name: str) -> Group:
        """Return the group of a name; a name never seen is alone in its own."""
        if name not in self._groups:
            self._groups[name] = Group(names={name})
        return self._groups[name]

    def forget(self, name: str) -> None:
        """Let a name stand for nothing that is known."""
        group = self._groups.pop(name, None)
        if group is not None:
            group.names.discard(name)
        self._bound.discard(name)
        self.become_unknown(name)

    def become_unknown(self, name: str) -> None:
        """Note that a name may stand for something else by now."""
        self.imports.pop(name, None)
        self.scalars.discard(name)
        self.plain.discard(name)
        self.simple.discard(name)

    def is_inert(self, name: str) -> bool:
        """Return whether no change of its object can be seen by another name."""
        return name in self.scalars or name in self.imports

    def hold(self, names: Iterable[str]) -> None:
        """Note that the objects of these names may hold each other."""
        groups = {
            id(g): g for n in names if not self.is_inert(n) for g in [self.group(n)]
        }
        if len(groups) < 2:
            return
        first, *others = groups.values()
        for other in others:
            first.names |= other.names
            first.learn(other)
        for name in first.names:
            self._groups[name] = first

    def bind(self, name: str, sources: Iterable[str], *, is_certain: bool) -> None:
        """Note that a name may now share the objects of others.

        Parameters
        ----------
        name : str
            What is bound.
        sources : iterable of str
            Names in the expression; maybe ``name`` itself.
        is_certain : bool
            Whether what it stood for before is surely gone.
        """
        # Looked at before the name leaves its group: `a = f(a)` may return what the
        # others of that group share.
        before = [self.group(source) for source in sources if not self.is_inert(source)]
        others = {each for group in before for each in group.names} - {name}
        if is_certain:
            self.forget(name)
        else:
            self.become_unknown(name)
        self._bound.add(name)
        self.hold({name, *others})
        for group in before:
            self.group(name).learn(group)

    def reached(self, name: str) -> set[str]:
        """Return the name and all that a call of it would use."""
        waiting, seen = [name], set()
        while waiting:
            each = waiting.pop()
            if each not in seen:
                seen.add(each)
                if each in self._groups:
                    waiting += self._groups[each].reads
        return seen

    def affected(self, names: Iterable[str]) -> set[str]:
        """Return all names whose value may be another when these objects change."""
        waiting = [name for name in names if not self.is_inert(name)]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                group = self.group(name)
                waiting += group.names
                waiting += group.holders
        return seen
