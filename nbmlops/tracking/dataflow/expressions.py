"""What the expressions of a cell read and change."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Self

from nbmlops.tracking.dataflow import known_calls as known
from nbmlops.tracking.dataflow.effects import ANY
from nbmlops.tracking.dataflow.magic_lines import read_magic
from nbmlops.tracking.dataflow.names import Group, Names
from nbmlops.tracking.dataflow.notes import Notes
from nbmlops.tracking.dataflow.syntax import called, parse

_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_HISTORY = re.compile(r"In|Out|_dh|_oh|_ih|_{1,3}|_i*\d+|_i{1,3}")


class Expressions(ABC):
    """Reads expressions; `Flow` reads the statements that they are in.

    Wherever ``bound`` is given, it holds the names that the cell itself has set by
    then, so that a read of one is no read of what was before the cell.
    """

    def __init__(self) -> None:
        self._notes = Notes()

    @property
    def _names(self) -> Names:
        return self._notes.names

    def copy(self) -> Self:
        """Return one that reads on without this one knowing."""
        other = copy(self)
        other._notes = self._notes.copy()
        return other

    @abstractmethod
    def _branch(self, body: Sequence[ast.stmt], bound: set[str]) -> None:
        """Read statements that may not run, such as those that a magic is given."""

    @abstractmethod
    def _summary(self, node: ast.Lambda) -> Group:
        """Return what a lambda does when it is used."""

    def _eval_children(self, node: ast.AST, bound: set[str]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._eval(child, bound)
            elif isinstance(child, ast.keyword):
                self._eval(child.value, bound)

    def _eval(
        self, node: ast.expr, bound: set[str], *, is_statement: bool = False
    ) -> None:
        """Note what the evaluation of an expression reads and changes."""
        match node:
            case ast.Name(id=name):
                is_bound = name in bound or name in self._names
                if not is_bound and _HISTORY.fullmatch(name):
                    self._notes.see_all()
                self._notes.mention(name, bound)
            case ast.Call():
                if not self._magic(node, bound):
                    self._call(node, bound, is_statement=is_statement)
            case ast.Await(value=value):
                self._eval(value, bound, is_statement=is_statement)
            case ast.NamedExpr(target=target, value=value):
                self._eval(value, bound)
                self._assign(target, value, set(bound), is_certain=False)
            case (
                ast.Lambda()
                | ast.ListComp()
                | ast.SetComp()
                | ast.DictComp()
                | ast.GeneratorExp()
            ):
                self._notes.use(self._lazy(node), bound)
            case _:
                self._eval_children(node, bound)

    def _lazy(self, node: ast.Lambda | _Comprehension) -> Group:
        """Return what a lambda or a comprehension does, as a function would."""
        if isinstance(node, ast.Lambda):
            return self._summary(node)
        inner = self.copy()
        own = {
            part.id
            for generator in node.generators
            for part in ast.walk(generator.target)
            if isinstance(part, ast.Name)
        }
        first = node.generators[0].iter
        inner._eval(first, set())
        outside, shared = set(inner._notes.reads), inner._shared(first)
        hidden = shared & own  # as in `[x for x in x]`
        for name in own:
            inner._names.forget(name)
        for generator in node.generators:
            if generator.iter is not first:
                inner._eval(generator.iter, set())
                shared = inner._shared(generator.iter)
            sources: list[ast.expr] = [ast.Name(n, ast.Load()) for n in shared - own]
            inner._assign(
                generator.target,
                ast.Tuple([ast.List(sources, ast.Load())], ast.Load()),
                set(),
                is_certain=False,
            )
            for test in generator.ifs:
                inner._eval(test, set())
        ends = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for end in ends:
            inner._eval(end, set())
        return Group(
            reads=(inner._notes.reads - own) | outside,
            changes=(inner._notes.writes - own) | hidden,
            is_function=True,
            is_consumed=isinstance(node, ast.GeneratorExp),
            acts=inner._notes.acts,
            draws=inner._notes.draws,
        )

    def _call(self, node: ast.Call, bound: set[str], *, is_statement: bool) -> None:
        values = [*node.args, *(word.value for word in node.keywords)]
        for value in (*values, node.func):
            self._eval(value, bound)
        given = {name for value in values for name in self._shared(value)}
        flags = frozenset(word.arg or "" for word in node.keywords)
        name, origin = called(node) or "", self._origin(node.func)
        receiver: set[str] = set()
        match node.func:
            case _ if origin:
                is_gentle = known.is_gentle_function(origin, flags)
                if known.is_setting(origin):
                    self._notes.sets = True
                else:
                    self._notes.acts |= known.acts(origin, is_statement=is_statement)
            case ast.Attribute(value=value):
                receiver = self._shared(value)
                is_known = name not in self._notes.methods and not known.changes(flags)
                is_known &= not any(self._names.group(n).is_own for n in receiver)
                keeps = is_known and name in known.READING
                is_gentle = keeps or (is_known and name in known.CONVENTION)
                if not keeps:
                    self._notes.change(receiver)
                if name in ("query", "eval"):
                    self._read_query(node, bound)
                self._notes.acts |= known.is_acting_method(name)
            case ast.Name() if name in self._names:
                group = self._names.group(name)
                is_gentle = group.is_function and not group.changes_arguments
                receiver = {name} | group.changes
                if name not in self._names.plain:
                    self._notes.change({name})
            case _:
                is_name = isinstance(node.func, ast.Name)
                is_gentle = is_name and name in known.GENTLE_BUILTINS
                receiver = self._shared(node.func)
                self._notes.change(receiver)
                self._builtin(node, name, is_statement=is_statement)
        if name in known.CONVENTION and is_gentle:
            self._note_holder(node, receiver)
        elif not is_gentle:
            self._notes.change(given)
            self._names.hold(receiver | given)
            for value in values:
                self._learn_from(value, receiver)
        for word in node.keywords:
            if known.is_random_flag(word.arg):
                self._notes.change(self._shared(word.value))
        seeded = known.seeds(origin, name)
        self._notes.seeded |= seeded
        self._notes.draws |= seeded | known.draws(origin, name)

    def _builtin(self, node: ast.Call, name: str, *, is_statement: bool) -> None:
        if name in known.SIGHTED_BUILTINS:
            self._notes.see_all()
        elif name == "open":
            mode = next((w.value for w in node.keywords if w.arg == "mode"), None)
            mode = node.args[1] if len(node.args) > 1 else mode
            is_read = isinstance(mode, ast.Constant) and not set("wax+") & set(
                str(mode.value)
            )
            self._notes.acts |= not (mode is None or is_read)
        elif name in ("setattr", "delattr", "input") or (
            is_statement and name not in known.GENTLE_BUILTINS
        ):
            self._notes.acts = True

    def _read_query(self, node: ast.Call, bound: set[str]) -> None:
        """Note the ``@name`` in the text of pandas' ``query`` and ``eval``."""
        for text in node.args[:1]:
            if not isinstance(text, ast.Constant | ast.JoinedStr):
                self._notes.see_all()
            for name in re.findall(r"@(\w+)", ast.unparse(text)):
                self._notes.mention(name, bound)

    def _magic(self, node: ast.Call, bound: set[str]) -> bool:
        """Note what a magic or a shell line does; False when it is neither."""
        found = read_magic(node)
        if found is None:
            return False
        for name in found.tokens:
            if name in self._names:
                self._notes.mention(name, bound)
        if found.code is not None:
            tree = parse(found.code)
            if tree is None:
                self._notes.see_all()
            else:
                self._branch(tree.body, bound)
        for name in found.sets:
            self._notes.bind(name, (), set(), is_certain=False)
        self._notes.acts |= found.acts
        self._notes.sets |= found.is_setting
        if found.sets_any:
            self._notes.writes.add(ANY)
        if found.sees_all:
            self._notes.see_all()
        return True

    def _shared(self, node: ast.AST) -> set[str]:
        """Return the names whose objects an expression's value may share."""
        match node:
            case ast.Name(id=name):
                is_function = name in self._names and (
                    self._names.group(name).is_function
                )
                return self._notes.told_apart(
                    self._names.reached(name) if is_function else {name}
                )
            case ast.Call(func=ast.Name(id=name)) if name in self._names.simple:
                values = [*node.args, *(word.value for word in node.keywords)]
                found = self._notes.told_apart(self._names.reached(name) - {name})
                return found.union(*map(self._shared, values))
            case ast.Constant() | ast.JoinedStr() | ast.Compare():
                return set()
            case ast.Call(func=ast.Name(id=name)) if (
                name in known.SCALAR_BUILTINS and name not in self._names
            ):
                return set()
            case ast.Call(func=ast.Attribute(value=value, attr="fit")) if (
                "fit" not in self._notes.methods
            ):
                return self._shared(value)
            case (
                ast.Lambda()
                | ast.ListComp()
                | ast.SetComp()
                | ast.DictComp()
                | ast.GeneratorExp()
            ):
                return self._notes.told_apart(self._lazy(node).reads)
        parts = [self._shared(child) for child in ast.iter_child_nodes(node)]
        return set().union(*parts)

    def _is_scalar(self, node: ast.expr) -> bool:
        """Return whether a value is sure to be one that nothing can change."""
        match node:
            case ast.Constant() | ast.JoinedStr():
                return True
            case ast.Name(id=name):
                return name in self._names.scalars
            case ast.UnaryOp(operand=operand):
                return self._is_scalar(operand)
            case ast.BinOp(left=left, right=right):
                return self._is_scalar(left) and self._is_scalar(right)
            case ast.Tuple(elts=elts):
                return all(map(self._is_scalar, elts))
            case ast.Call(func=ast.Name(id=name)):
                return name in known.PLAIN_VALUES and name not in self._names
        return False

    def _origin(self, function: ast.expr) -> str:
        """Return the dotted name of a library's function, "" for any other."""
        parts: list[str] = []
        while isinstance(function, ast.Attribute):
            parts.append(function.attr)
            function = function.value
        if isinstance(function, ast.Name) and function.id in self._names.imports:
            return ".".join([self._names.imports[function.id], *reversed(parts)])
        return ""

    def _assign(
        self, target: ast.expr, value: ast.expr, bound: set[str], *, is_certain: bool
    ) -> None:
        match target, value:
            case ast.Name(id=name), _:
                is_scalar = self._is_scalar(value)
                may_stay = name in self._names.scalars or name not in self._names
                sources = set() if is_scalar else self._shared(value)
                self._notes.bind(name, sources, bound, is_certain=is_certain)
                if is_scalar and (is_certain or may_stay):
                    self._names.scalars.add(name)
                if isinstance(value, ast.Lambda) and is_certain and not sources:
                    self._names.plain.add(name)
                self._learn_from(value, {name})
            case ((ast.Tuple() | ast.List()), (ast.Tuple() | ast.List())) if (
                len(target.elts) == len(value.elts)
                and all(map(self._is_scalar, value.elts))
                and not any(isinstance(e, ast.Starred) for e in target.elts)
            ):
                for one, its_value in zip(target.elts, value.elts, strict=True):
                    self._assign(one, its_value, bound, is_certain=is_certain)
            case ((ast.Tuple() | ast.List()), _):
                whole = ast.Tuple([value], ast.Load())
                for one in target.elts:
                    self._assign(one, whole, bound, is_certain=is_certain)
                self._names.hold(self._shared(target))  # as in `a, b = [[]] * 2`
            case ast.Starred(value=inner), _:
                self._assign(inner, value, bound, is_certain=False)
            case _:
                self._eval(target, bound)
                self._change_place(target)
                places = self._shared(target)
                self._names.hold(places | self._shared(value))
                self._learn_from(value, places)

    def _learn_from(self, value: ast.expr, names: Iterable[str]) -> None:
        """Note what an expression says of the objects of these names."""
        names = [name for name in names if not self._names.is_inert(name)]
        for part in ast.walk(value):
            function = called(part)
            for name in names:
                group = self._names.group(name)
                if isinstance(part, ast.Lambda | ast.GeneratorExp):
                    group.learn(self._lazy(part))
                elif function in known.CONSUMED:
                    group.is_consumed = True
                elif function == "fit" and isinstance(part, ast.Call):
                    self._note_holder(part, {name})

    def _note_holder(self, node: ast.Call, receivers: set[str]) -> None:
        """Note that an estimator may hold the data that it was fitted on."""
        for value in (*node.args, *(word.value for word in node.keywords)):
            for name in self._shared(value) - receivers:
                self._names.group(name).holders |= receivers

    def _change_place(self, target: ast.expr) -> None:
        """Note a change by ``a.b = ...``, ``a[b] = ...`` or their ``del``."""
        root = target
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if isinstance(root, ast.Name) and root.id in self._names.imports:
            self._notes.sets = True
        self._notes.change(self._shared(target))
