"""What cells read and change, found by reading them in the order in which they ran.

Names are all that is looked at; values are not. Where two names may stand for one
object a change of the one counts for both, a call may change all it is given unless it
is known not to (`known_calls`), and a function is taken to be called where it is
mentioned.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nbmlops.tracking import known_calls as known
from nbmlops.tracking.magic_lines import read_magic
from nbmlops.tracking.names import Group, Names

ANY = "*"
"""Stands among reads or writes for every name there is."""
WORLD = "<world>"
"""Files and all else that a cell may change beside names."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_MAKING = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.Yield, ast.YieldFrom, ast.GeneratorExp),
)
_HISTORY = re.compile(r"In|Out|_dh|_oh|_ih|_{1,3}|_i*\d+|_i{1,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What one execution of a cell reads and changes.

    Attributes
    ----------
    reads : frozenset of str
        Names whose value from before the cell it may use, those that the functions it
        mentions use included.
    writes : frozenset of str
        Names that it may bind, delete or change the object of.
    kills : frozenset of str
        Names that it binds anew whatever they stood for before.
    stays : bool
        Whether it may matter to later cells in ways that names do not show: it sets an
        option of a library or, when it also writes `WORLD`, does more than that.
    """

    reads: frozenset[str]
    writes: frozenset[str]
    kills: frozenset[str] = frozenset()
    stays: bool = False


UNKNOWN = Effects(
    reads=frozenset({ANY, WORLD}), writes=frozenset({ANY, WORLD}), stays=True
)
"""Of a cell that cannot be judged at all."""
NOTHING = Effects(reads=frozenset(), writes=frozenset())
"""Of a cell that was no Python, so that none of it ran."""


class Flow:
    """Reads the cells of one kernel, each when it has run, in that order.

    Parameters
    ----------
    is_local : callable
        Says of a top level module's name whether it is the project's own: nothing is
        known of what such functions do.
    """

    def __init__(self, is_local: Callable[[str], bool] = lambda name: False) -> None:
        self._is_local = is_local
        self._names = Names()
        self._methods: set[str] = set()
        self._seeded: set[str] = set()
        self._start()

    def _start(self) -> None:
        self._reads: set[str] = set()
        self._writes: set[str] = set()
        self._kills: set[str] = set()
        self._sets = False
        self._acts = False
        self._draws: set[str] = set()

    def copy(self) -> Flow:
        """Return one that reads on without this one knowing."""
        other = Flow(self._is_local)
        other._names = self._names.copy()
        other._methods = set(self._methods)
        other._seeded = set(self._seeded)
        return other

    def read(self, code: str, *, is_whole: bool = True) -> Effects:
        r"""Return what the next cell reads and changes.

        Parameters
        ----------
        code : str
            Python, with IPython's magics already turned into calls.
        is_whole : bool, default=True
            Whether the cell is known to have come to its end.

        Returns
        -------
        Effects
            `UNKNOWN` for what is not Python.

        Examples
        --------
        >>> found = Flow().read("y = x\ny.append(1)")
        >>> sorted(found.reads), sorted(found.writes), sorted(found.kills)
        (['x'], ['x', 'y'], ['y'])
        """
        tree = parse(code)
        if tree is None:
            return UNKNOWN
        self._start()
        try:
            self._block(tree.body, set(), is_certain=is_whole)
        except RecursionError:
            return UNKNOWN
        # Draws that nobody has seeded are no one's to repeat.
        hidden = ({WORLD} if self._acts else set()) | (self._draws & self._seeded)
        self._reads |= hidden - self._kills
        self._writes |= hidden
        return Effects(
            reads=frozenset(self._reads),
            writes=frozenset(self._writes),
            kills=frozenset(self._kills),
            stays=self._acts or self._sets,
        )

    # ---- statements

    def _block(
        self, body: Sequence[ast.stmt], bound: set[str], *, is_certain: bool
    ) -> None:
        """Read statements that run one after the other.

        ``bound`` are the names that the cell itself has set by then, so that a read of
        one is no read of what was before the cell.
        """
        for statement in body:
            self._statement(statement, bound, is_certain=is_certain)

    def _branch(self, body: Sequence[ast.stmt], bound: set[str]) -> None:
        self._block(body, set(bound), is_certain=False)

    def _statement(self, node: ast.stmt, bound: set[str], *, is_certain: bool) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._definition(node, bound, is_certain=is_certain)
            case ast.Import() | ast.ImportFrom():
                self._import(node, bound, is_certain=is_certain)
            case ast.Assign(targets=targets, value=value):
                self._eval(value, bound)
                for target in targets:
                    self._assign(target, value, bound, is_certain=is_certain)
                if len(targets) > 1:
                    self._names.hold(n for each in targets for n in self._shared(each))
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self._eval(annotation, bound)
                if value is not None:
                    self._eval(value, bound)
                    self._assign(target, value, bound, is_certain=is_certain)
            case ast.AugAssign(target=target, value=value):
                self._eval(value, bound)
                self._eval(target, bound)
                self._change(self._shared(target))
                whole = ast.Tuple([target, value], ast.Load())
                self._assign(target, whole, bound, is_certain=False)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._eval(target, bound)
                    if isinstance(target, ast.Name):
                        self._writes.add(target.id)
                        self._kills.discard(target.id)
                    else:
                        self._change_place(target)
            case ast.For() | ast.AsyncFor() | ast.While():
                self._loop(node, bound)
            case ast.If(test=test, body=body, orelse=orelse):
                self._eval(test, bound)
                self._branch(body, bound)
                self._branch(orelse, bound)
            case ast.With() | ast.AsyncWith():
                inside = set(bound)
                for item in node.items:
                    self._eval(item.context_expr, inside)
                    if item.optional_vars is not None:
                        self._assign(
                            item.optional_vars,
                            ast.Tuple([item.context_expr], ast.Load()),
                            inside,
                            is_certain=False,
                        )
                self._block(node.body, inside, is_certain=False)
            case ast.Try() | ast.TryStar():
                self._branch([*node.body, *node.orelse], bound)
                for handler in node.handlers:
                    caught = set(bound)
                    if handler.type is not None:
                        self._eval(handler.type, bound)
                    if handler.name is not None:
                        self._bind(handler.name, (), caught, is_certain=False)
                    self._block(handler.body, caught, is_certain=False)
                self._branch(node.finalbody, bound)
            case ast.Match(subject=subject, cases=cases):
                self._eval(subject, bound)
                for case in cases:
                    self._case(case, subject, set(bound))
            case ast.Expr(value=value):
                before = frozenset(self._draws)
                self._eval(value, bound, is_statement=True)
                origin = self._origin(value.func) if isinstance(value, ast.Call) else ""
                if is_certain and origin:
                    seeded = known.seeds(origin, origin.rpartition(".")[2])
                    self._kills |= seeded - before if len(seeded) == 1 else set()
            case _:
                self._eval_children(node, bound)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, bound: set[str]) -> None:
        if not isinstance(node, ast.While):
            self._eval(node.iter, bound)
        for _ in range(2):  # what one pass links, the next one may change
            inside = set(bound)
            if isinstance(node, ast.While):
                self._eval(node.test, inside)
            else:
                self._assign(node.target, node.iter, inside, is_certain=False)
            self._block(node.body, inside, is_certain=False)
        self._branch(node.orelse, bound)

    def _case(self, case: ast.match_case, subject: ast.expr, bound: set[str]) -> None:
        for part in ast.walk(case.pattern):
            name = getattr(part, "name", None) or getattr(part, "rest", None)
            if isinstance(name, str):
                self._bind(name, self._shared(subject), bound, is_certain=False)
            elif isinstance(part, ast.MatchValue):
                self._eval(part.value, bound)
            elif isinstance(part, ast.MatchClass):
                self._eval(part.cls, bound)
        if case.guard is not None:
            self._eval(case.guard, bound)
        self._block(case.body, bound, is_certain=False)

    def _import(
        self, node: ast.Import | ast.ImportFrom, bound: set[str], *, is_certain: bool
    ) -> None:
        for alias in node.names:
            if alias.name == "*":
                self._sets = True
                self._writes.add(ANY)
                continue
            name = alias.asname or alias.name
            origin = alias.name
            if isinstance(node, ast.ImportFrom):
                origin = f"{'.' * node.level}{node.module or ''}.{alias.name}"
            elif alias.asname is None:
                name = origin = alias.name.partition(".")[0]
            is_sure = is_certain or name not in self._names
            self._bind(name, (), bound, is_certain=is_certain)
            group = self._names.group(name)
            if origin[0] == "." or self._is_local(origin.partition(".")[0]):
                group.is_own = group.is_function = True
                group.acts = group.changes_arguments = True
            elif is_sure:
                self._names.imports[name] = origin

    def _definition(
        self, node: _Function | ast.ClassDef, bound: set[str], *, is_certain: bool
    ) -> None:
        outside: list[ast.expr] = list(node.decorator_list)
        if isinstance(node, ast.ClassDef):
            outside += [*node.bases, *(word.value for word in node.keywords)]
        else:
            given = node.args
            defaults = [*given.defaults, *filter(None, given.kw_defaults)]
            hints = [each.annotation for each in _arguments(node)]
            outside += [*defaults, *filter(None, [*hints, node.returns])]
        for expression in outside:
            self._eval(expression, bound)
        shared = {name for each in outside for name in self._shared(each)}
        made = self._summary(node)
        self._bind(node.name, shared, bound, is_certain=is_certain)
        self._names.group(node.name).learn(made)
        if isinstance(node, ast.ClassDef):
            # Its body runs at once; what only its methods do is not told apart.
            self._use(made, bound)
        elif is_certain and not node.decorator_list and not shared:
            self._names.plain.add(node.name)
            if not any(isinstance(part, _MAKING) for part in _below(node)):
                self._names.simple.add(node.name)
        if node.decorator_list:  # it may call it, and keep it
            self._mention(node.name, bound)
            self._change(shared)

    def _summary(self, node: _Function | ast.ClassDef | ast.Lambda) -> Group:
        """Return what a function or a class does when it is used."""
        is_class = isinstance(node, ast.ClassDef)
        inner = self.copy()
        body = [ast.Expr(node.body)] if isinstance(node, ast.Lambda) else node.body
        own, declared = _own_names(body)
        parameters = {argument.arg for argument in _arguments(node)}
        own = (own | parameters) - declared
        if is_class:
            self._methods |= own
        for name in own:
            inner._names.forget(name)
        for name in parameters:
            inner._names.bind(name, (), is_certain=True)
        inner._block(body, set(), is_certain=False)
        kept = [inner._names.group(name) for name in own]
        later = {name for group in kept for name in group.reads}
        # Methods do not see the names of their class; functions see those around them.
        reads = (inner._reads - own) | (later if is_class else later - own)
        changes = (inner._writes - own) | {n for g in kept for n in g.changes} - own
        linked = {n for name in parameters for n in inner._names.group(name).names}
        self._seeded |= inner._seeded
        return Group(
            reads=reads,
            changes=changes,
            is_function=True,
            changes_arguments=is_class
            or bool(inner._writes & parameters)
            or bool(linked & (reads | changes)),
            is_own=is_class or any(group.is_own for group in kept),
            is_consumed=any(
                isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(node)
            ),
            acts=inner._acts or any(group.acts for group in kept),
            draws=inner._draws.union(*(group.draws for group in kept)),
        )

    # ---- names

    def _bind(
        self, name: str, sources: Iterable[str], bound: set[str], *, is_certain: bool
    ) -> None:
        self._writes.add(name)
        bound.add(name)
        if is_certain:
            self._kills.add(name)
        self._names.bind(name, sources, is_certain=is_certain)

    def _assign(
        self, target: ast.expr, value: ast.expr, bound: set[str], *, is_certain: bool
    ) -> None:
        match target, value:
            case ast.Name(id=name), _:
                is_scalar = self._is_scalar(value)
                may_stay = name in self._names.scalars or name not in self._names
                sources = set() if is_scalar else self._shared(value)
                self._bind(name, sources, bound, is_certain=is_certain)
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
            called = _called(part)
            for name in names:
                group = self._names.group(name)
                if isinstance(part, ast.Lambda | ast.GeneratorExp):
                    group.learn(self._lazy(part))
                elif called in known.CONSUMED:
                    group.is_consumed = True
                elif called == "fit" and isinstance(part, ast.Call):
                    self._note_holder(part, {name})

    def _note_holder(self, node: ast.Call, receivers: set[str]) -> None:
        """Note that an estimator may hold the data that it was fitted on."""
        for value in (*node.args, *(word.value for word in node.keywords)):
            for name in self._shared(value) - receivers:
                self._names.group(name).holders |= receivers

    def _change(self, names: Iterable[str]) -> None:
        """Note that the objects of these names may be changed."""
        self._writes |= self._names.affected(names)

    def _change_place(self, target: ast.expr) -> None:
        """Note a change by ``a.b = ...``, ``a[b] = ...`` or their ``del``."""
        root = target
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if isinstance(root, ast.Name) and root.id in self._names.imports:
            self._sets = True
        self._change(self._shared(target))

    def _mention(self, name: str, bound: set[str]) -> None:
        """Note a read of a name, and all that a call of it would do."""
        seen = self._names.reached(name)
        self._reads |= seen - bound
        for each in seen:
            if each in self._names:
                self._use_group(each, self._names.group(each))

    def _use_group(self, name: str, group: Group) -> None:
        if group.is_consumed or (group.is_function and name not in self._names.plain):
            self._change({name})
        if not group.is_function:
            return
        self._acts = self._acts or group.acts
        self._draws |= group.draws
        if group.changes:
            self._change(group.changes)
            self._writes |= group.changes
            for changed in group.changes:
                self._names.become_unknown(changed)
            self._names.hold(group.changes | group.reads)

    def _use(self, lazy: Group, bound: set[str]) -> None:
        """Note all that a lambda, a comprehension or the body of a class does."""
        for name in lazy.reads:
            self._mention(name, bound)
        self._change(lazy.changes)
        self._writes |= lazy.changes
        self._acts = self._acts or lazy.acts
        self._draws |= lazy.draws

    # ---- expressions

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
                    self._see_all()
                self._mention(name, bound)
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
                self._use(self._lazy(node), bound)
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
        outside, shared = set(inner._reads), inner._shared(first)
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
            reads=(inner._reads - own) | outside,
            changes=(inner._writes - own) | hidden,
            is_function=True,
            is_consumed=isinstance(node, ast.GeneratorExp),
            acts=inner._acts,
            draws=inner._draws,
        )

    def _call(self, node: ast.Call, bound: set[str], *, is_statement: bool) -> None:
        values = [*node.args, *(word.value for word in node.keywords)]
        for value in (*values, node.func):
            self._eval(value, bound)
        given = {name for value in values for name in self._shared(value)}
        flags = frozenset(word.arg or "" for word in node.keywords)
        name, origin = _called(node) or "", self._origin(node.func)
        receiver: set[str] = set()
        match node.func:
            case _ if origin:
                is_gentle = known.is_gentle_function(origin, flags)
                if known.is_setting(origin):
                    self._sets = True
                else:
                    self._acts |= known.acts(origin, is_statement=is_statement)
            case ast.Attribute(value=value):
                receiver = self._shared(value)
                is_known = name not in self._methods and not known.changes(flags)
                is_known &= not any(self._names.group(n).is_own for n in receiver)
                keeps = is_known and name in known.READING
                is_gentle = keeps or (is_known and name in known.CONVENTION)
                if not keeps:
                    self._change(receiver)
                if name in ("query", "eval"):
                    self._read_query(node, bound)
                self._acts = self._acts or known.is_acting_method(name)
            case ast.Name() if name in self._names:
                group = self._names.group(name)
                is_gentle = group.is_function and not group.changes_arguments
                receiver = {name} | group.changes
                if name not in self._names.plain:
                    self._change({name})
            case _:
                is_name = isinstance(node.func, ast.Name)
                is_gentle = is_name and name in known.GENTLE_BUILTINS
                receiver = self._shared(node.func)
                self._change(receiver)
                self._builtin(node, name, is_statement=is_statement)
        if name in known.CONVENTION and is_gentle:
            self._note_holder(node, receiver)
        elif not is_gentle:
            self._change(given)
            self._names.hold(receiver | given)
            for value in values:
                self._learn_from(value, receiver)
        for word in node.keywords:
            if known.is_random_flag(word.arg):
                self._change(self._shared(word.value))
        seeded = known.seeds(origin, name)
        self._seeded |= seeded
        self._draws |= seeded | known.draws(origin, name)

    def _builtin(self, node: ast.Call, name: str, *, is_statement: bool) -> None:
        if name in known.SIGHTED_BUILTINS:
            self._see_all()
        elif name == "open":
            mode = next((w.value for w in node.keywords if w.arg == "mode"), None)
            mode = node.args[1] if len(node.args) > 1 else mode
            is_read = isinstance(mode, ast.Constant) and not set("wax+") & set(
                str(mode.value)
            )
            self._acts = self._acts or not (mode is None or is_read)
        elif name in ("setattr", "delattr", "input") or (
            is_statement and name not in known.GENTLE_BUILTINS
        ):
            self._acts = True

    def _origin(self, function: ast.expr) -> str:
        """Return the dotted name of a library's function, "" for any other."""
        parts: list[str] = []
        while isinstance(function, ast.Attribute):
            parts.append(function.attr)
            function = function.value
        if isinstance(function, ast.Name) and function.id in self._names.imports:
            return ".".join([self._names.imports[function.id], *reversed(parts)])
        return ""

    def _read_query(self, node: ast.Call, bound: set[str]) -> None:
        """Note the ``@name`` in the text of pandas' ``query`` and ``eval``."""
        for text in node.args[:1]:
            if not isinstance(text, ast.Constant | ast.JoinedStr):
                self._see_all()
            for name in re.findall(r"@(\w+)", ast.unparse(text)):
                self._mention(name, bound)

    def _magic(self, node: ast.Call, bound: set[str]) -> bool:
        """Note what a magic or a shell line does; False when it is neither."""
        found = read_magic(node)
        if found is None:
            return False
        for name in found.tokens:
            if name in self._names:
                self._mention(name, bound)
        if found.code is not None:
            tree = parse(found.code)
            if tree is None:
                self._see_all()
            else:
                self._branch(tree.body, bound)
        for name in found.sets:
            self._bind(name, (), set(), is_certain=False)
        self._acts = self._acts or found.acts
        self._sets = self._sets or found.is_setting
        if found.sets_any:
            self._writes.add(ANY)
        if found.sees_all:
            self._see_all()
        return True

    def _see_all(self) -> None:
        self._acts = True
        self._reads.add(ANY)
        self._writes.add(ANY)

    def _shared(self, node: ast.AST) -> set[str]:
        """Return the names whose objects an expression's value may share."""
        match node:
            case ast.Name(id=name):
                is_function = name in self._names and (
                    self._names.group(name).is_function
                )
                return self._told_apart(
                    self._names.reached(name) if is_function else {name}
                )
            case ast.Call(func=ast.Name(id=name)) if name in self._names.simple:
                values = [*node.args, *(word.value for word in node.keywords)]
                found = self._told_apart(self._names.reached(name) - {name})
                return found.union(*map(self._shared, values))
            case ast.Constant() | ast.JoinedStr() | ast.Compare():
                return set()
            case ast.Call(func=ast.Name(id=name)) if (
                name in known.SCALAR_BUILTINS and name not in self._names
            ):
                return set()
            case ast.Call(func=ast.Attribute(value=value, attr="fit")) if (
                "fit" not in self._methods
            ):
                return self._shared(value)
            case (
                ast.Lambda()
                | ast.ListComp()
                | ast.SetComp()
                | ast.DictComp()
                | ast.GeneratorExp()
            ):
                return self._told_apart(self._lazy(node).reads)
        parts = [self._shared(child) for child in ast.iter_child_nodes(node)]
        return set().union(*parts)

    def _told_apart(self, names: Iterable[str]) -> set[str]:
        """Return the names without those whose objects nothing changes."""
        return {
            name
            for name in names
            if not self._names.is_inert(name)
            and (name in self._names or name not in known.GENTLE_BUILTINS)
        }

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


def parse(code: str) -> ast.Module | None:
    """Return a cell's code as syntax, or None when it is not Python.

    Parameters
    ----------
    code : str
        May await at its top level.

    Returns
    -------
    ast.Module or None
        None also for code too deep to be parsed.
    """
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(code, "<cell>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.Module) else None


def _below(node: ast.AST) -> Iterable[ast.AST]:
    return (part for child in ast.iter_child_nodes(node) for part in ast.walk(child))


def _called(node: ast.AST) -> str | None:
    """Return the last part of what a call calls."""
    match node:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name
    return None


def _arguments(node: ast.AST) -> list[ast.arg]:
    given = getattr(node, "args", None)
    if not isinstance(given, ast.arguments):
        return []
    rest = [each for each in (given.vararg, given.kwarg) if each is not None]
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *rest]


def _own_names(body: Sequence[ast.stmt]) -> tuple[set[str], set[str]]:
    """Return the names that a function's or class's body binds, and its globals."""
    own: set[str] = set()
    declared: set[str] = set()
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                own.add(node.name)
                continue
            case ast.Lambda():
                continue
            case ast.comprehension():
                waiting += [node.iter, *node.ifs]
                continue
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                declared |= set(names)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                own.add(name)
            case ast.Import() | ast.ImportFrom():
                own |= {a.asname or a.name.partition(".")[0] for a in node.names}
            case ast.ExceptHandler(name=str(name)):
                own.add(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                own.add(name)
            case ast.MatchMapping(rest=str(name)):
                own.add(name)
        waiting += ast.iter_child_nodes(node)
    return own, declared
