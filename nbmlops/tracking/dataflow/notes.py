"""What is known of a kernel's names, and noted of the cell that is being read."""

from __future__ import annotations

from collections.abc import Iterable

from nbmlops.tracking.dataflow import known_calls as known
from nbmlops.tracking.dataflow.effects import ANY, WORLD, Effects
from nbmlops.tracking.dataflow.names import Group, Names


class Notes:
    """What `Flow` knows and notes while it reads.

    Attributes
    ----------
    names : Names
        What the names stand for by now.
    methods : set of str
        Names in the bodies of the cells' own classes: of a method so called nothing is
        known, even where libraries have one of that name.
    seeded : set of str
        Sources of randomness that some cell has seeded.
    reads, writes, kills : set of str
        As in `Effects`, of the cell that is being read.
    draws : set of str
        Sources of randomness that it may draw from.
    sets : bool
        Whether it sets an option of a library.
    acts : bool
        Whether it changes more than names.
    """

    def __init__(self) -> None:
        self.names = Names()
        self.methods: set[str] = set()
        self.seeded: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """Begin the notes of another cell."""
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.kills: set[str] = set()
        self.draws: set[str] = set()
        self.sets = False
        self.acts = False

    def copy(self) -> Notes:
        """Return what is known, to go on by itself; nothing is noted of a cell."""
        other = Notes()
        other.names = self.names.copy()
        other.methods = set(self.methods)
        other.seeded = set(self.seeded)
        return other

    def effects(self) -> Effects:
        """Return what was noted of the cell."""
        # Draws that nobody has seeded are no one's to repeat.
        hidden = ({WORLD} if self.acts else set()) | (self.draws & self.seeded)
        return Effects(
            reads=frozenset(self.reads | (hidden - self.kills)),
            writes=frozenset(self.writes | hidden),
            kills=frozenset(self.kills),
            stays=self.acts or self.sets,
        )

    def bind(
        self, name: str, sources: Iterable[str], bound: set[str], *, is_certain: bool
    ) -> None:
        """Note that a name may now share the objects of the sources."""
        self.writes.add(name)
        bound.add(name)
        if is_certain:
            self.kills.add(name)
        self.names.bind(name, sources, is_certain=is_certain)

    def change(self, names: Iterable[str]) -> None:
        """Note that the objects of these names may be changed."""
        self.writes |= self.names.affected(names)

    def mention(self, name: str, bound: set[str]) -> None:
        """Note a read of a name, and all that a call of it would do."""
        seen = self.names.reached(name)
        self.reads |= seen - bound
        for each in seen:
            if each in self.names:
                self._use_group(each, self.names.group(each))

    def _use_group(self, name: str, group: Group) -> None:
        if group.is_consumed or (group.is_function and name not in self.names.plain):
            self.change({name})
        if not group.is_function:
            return
        self.acts |= group.acts
        self.draws |= group.draws
        if group.changes:
            self.change(group.changes)
            self.writes |= group.changes
            for changed in group.changes:
                self.names.become_unknown(changed)
            self.names.hold(group.changes | group.reads)

    def use(self, lazy: Group, bound: set[str]) -> None:
        """Note all that a lambda, a comprehension or the body of a class does."""
        for name in lazy.reads:
            self.mention(name, bound)
        self.change(lazy.changes)
        self.writes |= lazy.changes
        self.acts |= lazy.acts
        self.draws |= lazy.draws

    def see_all(self) -> None:
        """Note that all names may be read and changed, and more than names."""
        self.acts = True
        self.reads.add(ANY)
        self.writes.add(ANY)

    def told_apart(self, names: Iterable[str]) -> set[str]:
        """Return the names without those whose objects nothing changes."""
        return {
            name
            for name in names
            if not self.names.is_inert(name)
            and (name in self.names or name not in known.GENTLE_BUILTINS)
        }
