"""What cells read and change, found by reading them in the order in which they ran.

Names are all that is looked at; values are not. Where two names may stand for one
object a change of the one counts for both, a call may change all it is given unless it
is known not to (`calls`), and a function is taken to be called where it is mentioned.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from nbmlops.tracking.provenance.dataflow import calls
from nbmlops.tracking.provenance.dataflow.aliases import (
    FUNCTION,
    SCALAR,
    AliasMap,
    Group,
)
from nbmlops.tracking.provenance.dataflow.effects import ANY, UNKNOWN, Effects
from nbmlops.tracking.provenance.dataflow.magics import read_magic
from nbmlops.tracking.provenance.dataflow.syntax import (
    arguments,
    called,
    own_names,
    parse,
    pattern_names,
)
from nbmlops.tracking.provenance.magics import to_python

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Body = _Function | ast.ClassDef | ast.Lambda | ast.GeneratorExp
_LAZY = ast.Yield | ast.YieldFrom | ast.GeneratorExp
_HISTORY = re.compile(r"In|Out|_dh|_oh|_ih|_{1,3}|_i*\d+|_i{1,3}")
_PLAIN = (
    *(ast.Name, ast.Constant, ast.JoinedStr, ast.FormattedValue, ast.expr_context),
    *(ast.UnaryOp, ast.BinOp, ast.unaryop, ast.operator, ast.Tuple),
)


@dataclass(slots=True)
class _Notes:
    """What is noted of the cell, or of the function in it, that is being read."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)  # before names stood for scalars
    binds: set[str] = field(default_factory=set)
    defines: set[str] = field(default_factory=set)
    draws: set[str] = field(default_factory=set)
    likely: set[str] = field(default_factory=set)  # of the writes and draws
    returns: set[str] = field(default_factory=set)
    must_keep: bool = False


class AnalysisState:
    """What is known of a kernel's names after the cells that were read.

    Wherever ``bound`` is given, it holds the names that the cell itself has set by
    then, so that a read of one is no read of what was before the cell. A name that is
    local to a function has a number and a colon before it.
    """

    def __init__(self, is_local: Callable[[str], bool] = lambda name: False) -> None:
        self._is_local = is_local
        self._aliases = AliasMap()
        self._own_methods: set[str] = set()  # of the cells' classes: nothing is known
        self._seeded: set[str] = set()
        self._n_locals = self._n_functions = 0
        self._is_done = True

    def read(
        self, code: str, *, is_whole: bool = True, is_running: bool = False
    ) -> Effects:
        r"""Return what the next cell reads and changes.

        >>> found = AnalysisState().read("y = x\ny.append(1)")
        >>> sorted(found.reads), sorted(found.writes), sorted(found.defines)
        (['x'], ['x', 'y'], ['y'])
        """
        tree = parse(code)
        if tree is None:
            return UNKNOWN
        self._notes = _Notes()
        self._scope: dict[str, str] = {}
        self._visible = self._scope  # to functions: not the names of a class
        self._is_done = not is_running
        try:
            self._block(tree.body, set(), is_certain=is_whole)
        except RecursionError:
            return UNKNOWN
        notes = self._notes
        draws = notes.draws & self._seeded  # unseeded ones cannot be repeated
        writes = {n for n in notes.writes if ":" not in n} | draws
        reads = {n for n in notes.reads if ":" not in n} | (draws - notes.defines)
        return Effects(
            reads=frozenset(reads),
            writes=frozenset(writes),
            defines=frozenset(notes.defines),
            unlikely=frozenset((writes | draws) - notes.likely),
            must_keep=notes.must_keep,
        )

    # What is noted

    def _name(self, name: str) -> str:
        return self._scope.get(name, name)

    def _local(self, name: str = "") -> str:
        self._n_locals += 1
        return f"{self._n_locals}:{name}"

    def _bind(
        self, name: str, sources: Iterable[str], bound: set[str], *, is_certain: bool
    ) -> None:
        notes = self._notes
        notes.writes.add(name)
        notes.binds.add(name)
        notes.likely.add(name)
        bound.add(name)
        if is_certain:
            notes.defines.add(name)
        self._aliases.bind(name, sources, is_certain=is_certain and self._is_done)

    def _change(self, names: set[str], *, is_likely: bool = True) -> None:
        affected = self._aliases.affected(names)
        self._notes.changes |= names
        self._notes.writes |= affected
        if is_likely:
            self._notes.likely |= affected | names

    def _mention(self, name: str, bound: set[str]) -> set[str]:
        """Note a read of a name, and all that a call of it would do; return it."""
        aliases = self._aliases
        if name not in bound and name not in aliases and _HISTORY.fullmatch(name):
            self._notes.reads.add(ANY)
        seen = aliases.reached([name])
        self._notes.reads |= seen - bound
        for each in seen:
            if aliases.kind(each)[:1] == ".":
                self._notes.must_keep = True
        known = {
            each for each in seen if each in aliases and not aliases.is_inert(each)
        }
        with_state = {each for each in known if aliases.kind(each) != FUNCTION}
        for group in {id(g): g for g in map(aliases.group, known)}.values():
            states = group.names & with_state
            if group.is_consumed or (states and group.is_function):
                self._change(states or group.names, is_likely=not group.is_own)
            elif group.must_keep and group.is_own:  # what the project's own code made
                self._change(states, is_likely=False)
            self._use(group)
        return set() if aliases.is_inert(name) else {name}

    def _use(self, made: Group) -> None:
        """Note all that a function or the body of a class does."""
        notes = self._notes
        notes.must_keep |= made.must_keep
        notes.draws |= made.draws
        notes.likely |= (made.draws | made.binds) & made.likely
        if made.changes or made.binds:
            self._change(made.changes & made.likely)
            self._change(made.changes - made.likely, is_likely=False)
            self._change(made.binds)
            notes.writes |= made.binds
            notes.binds |= made.binds
            for name in made.binds:
                self._aliases.set_kind(name)
            kind = self._aliases.kind
            given = {name for name in made.reads if kind(name) != FUNCTION}
            self._aliases.hold(made.changes | made.binds | given)

    def _read_everything(self) -> None:
        self._notes.must_keep = True
        self._notes.reads.add(ANY)
        self._notes.writes.add(ANY)
        self._notes.likely.add(ANY)

    # Expressions: each returns the names whose objects its value may share

    def _eval(
        self, node: ast.AST | None, bound: set[str], *, is_statement: bool = False
    ) -> set[str]:
        match node:
            case ast.Name(id=name):
                return self._mention(self._name(name), bound)
            case ast.Call():
                if self._magic(node, bound):
                    return set()
                return self._call(node, bound, is_statement=is_statement)
            case ast.Await(value=value):
                return self._eval(value, bound, is_statement=is_statement)
            case ast.NamedExpr(target=target, value=value):
                found = self._eval(value, bound)
                self._assign(target, value, found, bound, is_certain=False)
                return found
            case ast.Lambda() | ast.GeneratorExp():
                return self._lazy(node, bound)
            case ast.ListComp() | ast.SetComp() | ast.DictComp():
                return self._comprehension(node, set(bound))
            case None:
                return set()
        if isinstance(node, ast.BoolOp | ast.IfExp):
            bound = set(bound)
        parts = [self._eval(each, bound) for each in ast.iter_child_nodes(node)]
        found = set().union(*parts)
        if isinstance(node, ast.Yield | ast.YieldFrom):
            self._notes.returns |= found
        return set() if isinstance(node, ast.JoinedStr | ast.Compare) else found

    def _lazy(self, node: ast.Lambda | ast.GeneratorExp, bound: set[str]) -> set[str]:
        made = self._summary(node)
        found = self._made(made)
        if isinstance(node, ast.Lambda):
            self._aliases.set_kind(min(found), FUNCTION)
        for each in made.reads:
            self._mention(each, bound)
        self._use(made)
        return found

    def _comprehension(
        self,
        node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp,
        bound: set[str],
    ) -> set[str]:
        before, n_functions = (self._scope, self._visible), self._n_functions
        mine: set[str] = set()
        for each in node.generators:
            found = self._eval(each.iter, bound)
            targets = [n.id for n in ast.walk(each.target) if isinstance(n, ast.Name)]
            own = {name: self._local(name) for name in targets}
            self._scope, self._visible = self._scope | own, self._visible | own
            mine |= set(own.values())
            self._assign(each.target, each.iter, found, bound, is_certain=False)
            for test in each.ifs:
                self._eval(test, bound)
        match node:
            case ast.DictComp(key=key, value=value):
                ends = [key, value]
            case _:
                ends = [node.elt]
        found = set().union(*[self._eval(end, bound) for end in ends])
        self._scope, self._visible = before
        if self._n_functions == n_functions:
            groups = [self._aliases.group(name) for name in found]
            found = {next(iter(g.names - mine), min(g.names)) for g in groups}
            self._aliases.drop(mine - found)
        return found

    def _call(self, node: ast.Call, bound: set[str], *, is_statement: bool) -> set[str]:
        aliases = self._aliases
        values = [*node.args, *(word.value for word in node.keywords)]
        sets = [self._eval(value, bound) for value in values]
        flags = frozenset(word.arg or "" for word in node.keywords)
        name, origin = called(node), self._origin(node.func)
        function, is_method = node.func, False
        if isinstance(function, ast.Attribute) and not origin:
            function, is_method = function.value, True
        receiver = self._reachable(self._eval(function, bound))
        given = self._reachable(set().union(*sets))
        result, is_gentle, is_likely = receiver | given, False, True
        if origin:
            is_gentle, result = calls.is_gentle(origin, flags), given
            self._notes.must_keep |= calls.must_keep(origin, is_statement=is_statement)
            if name in calls.FRESH and origin.startswith(("numpy", "pandas", "sklea")):
                result = set()
            if origin[0] == ".":
                result = given | self._made(Group(is_own=True, must_keep=True))
        elif is_method:
            is_own = any(aliases.group(each).is_own for each in receiver)
            is_known = not (name in self._own_methods or calls.changes_in_place(flags))
            is_gentle = is_known and not is_own and name in calls.GENTLE_METHODS
            is_likely = not (is_known and name in calls.GENTLE_METHODS | calls.UNLIKELY)
            if name in calls.FITTING and is_gentle:
                receiver = result = receiver or self._made(Group())
                self._change(receiver, is_likely=False)
                self._notes.likely |= receiver  # more than what it was made of
            elif not is_gentle or name not in calls.READING:
                reads = calls.READING | calls.UNLIKELY
                self._change(receiver, is_likely=not is_known or name not in reads)
            if is_gentle and name in calls.FRESH:
                result = set()
            self._notes.must_keep |= calls.is_acting(name)
            if name in ("query", "eval"):
                self._read_query(node, bound)
        elif isinstance(function, ast.Name):
            name = self._name(function.id)
            group = aliases.group(name)
            if name in aliases:
                is_gentle = group.is_function and not group.changes_arguments
                others = {n for n in group.reads if aliases.kind(n) != FUNCTION}
                receiver = group.changes | group.binds | others
                if aliases.kind(name) != FUNCTION:
                    receiver.add(name)
                    self._change({name})
                elif not group.makes_functions:
                    result = result - {name}
            elif name in calls.GENTLE_BUILTINS:
                is_gentle = True
                result = set() if name in calls.SCALAR_BUILTINS else given
            self._builtin(node, name, is_statement=is_statement)
        else:
            self._change(receiver)
        if name in calls.CONSUMED:
            result = result | self._made(Group(is_consumed=True))
        if is_gentle and is_method and name in calls.FITTING | calls.DRAWING:
            for each in given - receiver:
                aliases.group(each).holders |= receiver
        elif is_gentle and is_method and name in calls.HOLDING:
            aliases.hold(receiver | given)
        elif not is_gentle:
            self._change(given, is_likely=is_likely)
            if is_likely:
                aliases.hold(receiver | given)
        self._draw(node, origin, called(node), values, sets)
        return result

    def _made(self, known: Group) -> set[str]:
        """Return a name for a new object of which something is known."""
        name = self._local()
        self._aliases.bind(name, (), is_certain=False)
        self._aliases.group(name).learn(known)
        return {name}

    def _reachable(self, names: set[str]) -> set[str]:
        """Add what functions among these objects may return."""
        is_function = [n for n in names if self._aliases.group(n).is_function]
        found = self._aliases.reached(is_function)
        return names | {n for n in found if not self._aliases.is_inert(n)}

    def _draw(
        self,
        node: ast.Call,
        origin: str,
        name: str,
        values: Sequence[ast.expr],
        sets: Sequence[set[str]],
    ) -> None:
        has_state = False
        words = zip(node.keywords, sets[len(node.args) :], strict=True)
        for word, found in words:
            if word.arg in calls.RANDOM_FLAGS:
                has_state = getattr(word.value, "value", word) is not None
                self._change(found)
        seeded = calls.seeds(origin, name)
        drawn, is_likely = calls.draws(origin, name)
        self._seeded |= seeded
        self._notes.draws |= seeded | drawn
        self._notes.likely |= seeded | (drawn if is_likely and not has_state else set())

    def _builtin(self, node: ast.Call, name: str, *, is_statement: bool) -> None:
        if name in self._aliases:
            return
        if name in calls.READING_BUILTINS:
            self._read_everything()
        elif name == "open":
            mode = next((w.value for w in node.keywords if w.arg == "mode"), None)
            mode = node.args[1] if len(node.args) > 1 else mode
            is_text = mode is None or isinstance(mode, ast.Constant)
            is_writing = set("wax+") & set(str(getattr(mode, "value", "")))
            self._notes.must_keep |= not is_text or bool(is_writing)
        elif name in ("setattr", "delattr", "input") or (
            is_statement and name not in calls.GENTLE_BUILTINS
        ):
            self._notes.must_keep = True

    def _read_query(self, node: ast.Call, bound: set[str]) -> None:
        """Note the ``@name`` in the text of pandas' ``query`` and ``eval``."""
        for text in node.args[:1]:
            if not isinstance(text, ast.Constant | ast.JoinedStr):
                self._notes.reads.add(ANY)
            for name in re.findall(r"@(\w+)", ast.unparse(text)):
                self._mention(self._name(name), bound)

    def _magic(self, node: ast.Call, bound: set[str]) -> bool:
        """Note what a magic or a shell line does; False when it is neither."""
        found = read_magic(node)
        if found is None:
            return False
        for name in found.words:
            if name in self._aliases:
                self._mention(name, bound)
        tree = None if found.code is None else parse(to_python(found.code))
        if found.reads_everything or (found.code is not None and tree is None):
            self._read_everything()
        self._block(tree.body if tree else (), set(bound), is_certain=False)
        for name in found.binds:
            self._bind(name, (), set(), is_certain=False)
        self._notes.must_keep |= found.must_keep
        if found.binds_any:
            self._notes.writes.add(ANY)
            self._notes.likely.add(ANY)
        return True

    def _origin(self, function: ast.expr) -> str:
        """Return the dotted name of a library's function, "" for any other."""
        parts: list[str] = []
        while isinstance(function, ast.Attribute):
            parts.append(function.attr)
            function = function.value
        if not isinstance(function, ast.Name):
            return ""
        kind = self._aliases.kind(self._name(function.id))
        return "" if kind[:1] in ("", "<") else ".".join([kind, *reversed(parts)])

    def _is_scalar(self, node: ast.expr) -> bool:
        """Return whether a value is sure to be one that nothing can change."""
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return name in calls.PLAIN_VALUES and name not in self._aliases
        return all(
            isinstance(part, _PLAIN)
            and (
                not isinstance(part, ast.Name)
                or self._aliases.kind(self._name(part.id)) == SCALAR
            )
            for part in ast.walk(node)
        )

    # Statements

    def _assign(
        self,
        target: ast.expr,
        value: ast.expr | None,
        found: set[str],
        bound: set[str],
        *,
        is_certain: bool,
    ) -> None:
        """Note an assignment of a value that shares objects with what was found.

        Without a value it is of a part of one.
        """
        aliases = self._aliases
        match target:
            case ast.Name(id=name):
                name = self._name(name)
                kind = aliases.kind(name)
                is_scalar = value is not None and self._is_scalar(value)
                is_function = isinstance(value, ast.Lambda | ast.Name) and all(
                    aliases.kind(each) == FUNCTION for each in found
                )
                sources = () if is_scalar else found
                self._bind(name, sources, bound, is_certain=is_certain)
                is_sure = is_certain and self._is_done
                if is_scalar and (is_sure or kind in ("", SCALAR)):
                    aliases.set_kind(name, SCALAR)
                elif is_function and found and is_sure:
                    aliases.set_kind(name, FUNCTION)
            case ast.Starred(value=inner):
                self._assign(inner, None, found, bound, is_certain=False)
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                parts: Sequence[ast.expr | None] = [None] * len(elts)
                if isinstance(value, ast.Tuple) and len(value.elts) == len(elts):
                    is_plain = all(map(self._is_scalar, value.elts))
                    parts = value.elts if is_plain else parts
                for one, part in zip(elts, parts, strict=True):
                    self._assign(one, part, found, bound, is_certain=is_certain)
                if found or not isinstance(value, ast.Call | ast.Tuple):
                    inside = [n for each in elts for n in ast.walk(each)]
                    names = [n.id for n in inside if isinstance(n, ast.Name)]
                    aliases.hold(map(self._name, names))
            case ast.Attribute(value=root) | ast.Subscript(value=root):
                if isinstance(target, ast.Subscript):
                    self._eval(target.slice, bound)
                places = self._eval(root, bound)
                self._notes.must_keep |= bool(self._origin(root))
                self._change(places)
                aliases.hold(places | found)

    def _block(
        self, body: Sequence[ast.stmt], bound: set[str], *, is_certain: bool
    ) -> None:
        for statement in body:
            self._statement(statement, bound, is_certain=is_certain)

    def _statement(self, node: ast.stmt, bound: set[str], *, is_certain: bool) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._definition(node, bound, is_certain=is_certain)
            case ast.Import() | ast.ImportFrom():
                self._import(node, bound, is_certain=is_certain)
            case ast.Assign(targets=targets, value=value):
                found = self._eval(value, bound)
                for target in targets:
                    self._assign(target, value, found, bound, is_certain=is_certain)
                names = [each.id for each in targets if isinstance(each, ast.Name)]
                if len(targets) > 1:
                    self._aliases.hold(self._name(n) for n in names)
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self._eval(annotation, bound)
                if value is not None:
                    found = self._eval(value, bound)
                    self._assign(target, value, found, bound, is_certain=is_certain)
            case ast.AugAssign(target=target, value=value):
                found = self._eval(value, bound)
                old = self._eval(target, bound)
                self._change(old)
                whole = ast.BinOp(target, node.op, value)
                self._assign(target, whole, found | old, bound, is_certain=False)
            case ast.Delete(targets=targets):
                for target in targets:
                    found = self._eval(target, bound)
                    if isinstance(target, ast.Name):
                        name = self._name(target.id)
                        self._notes.writes.add(name)
                        self._notes.binds.add(name)
                        self._notes.likely.add(name)
                        self._notes.defines.discard(name)
                    else:
                        self._change(found)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self._compound(item, bound)
                may_skip = any(
                    isinstance(item.context_expr, ast.Call)
                    and called(item.context_expr) in ("suppress", "raises")
                    for item in node.items
                )
                inside = set(bound) if may_skip else bound
                is_certain &= not may_skip
                self._block(node.body, inside, is_certain=is_certain)
            case ast.Return(value=value):
                self._notes.returns |= self._eval(value, bound)
            case ast.Expr(value=value):
                before = frozenset(self._notes.draws)
                self._eval(value, bound, is_statement=True)
                if is_certain and isinstance(value, ast.Call):
                    seeded = calls.seeds(self._origin(value.func), called(value))
                    if len(seeded) == 1:
                        self._notes.defines |= seeded - before
            case _:
                n_times = (
                    2 if isinstance(node, ast.For | ast.AsyncFor | ast.While) else 1
                )
                for _ in range(n_times):  # what one pass links, the next may change
                    self._compound(node, set(bound))

    def _compound(self, node: ast.AST, bound: set[str]) -> None:
        """Read a statement of which no part is sure to run."""
        match node:
            case (
                ast.For(target=target, iter=value)
                | ast.AsyncFor(target=target, iter=value)
                | ast.withitem(optional_vars=ast.expr() as target, context_expr=value)
            ):
                found = self._eval(value, bound)
                self._assign(target, None, found, bound, is_certain=False)
            case ast.Match(subject=subject, cases=cases):
                found = self._eval(subject, bound)
                for part in (part for case in cases for part in ast.walk(case.pattern)):
                    for name in pattern_names(part):
                        name = self._name(name)
                        self._bind(name, found, set(), is_certain=False)
            case ast.ExceptHandler(name=str(name)):
                self._bind(self._name(name), (), bound, is_certain=False)
        for _, value in ast.iter_fields(node):
            parts = value if isinstance(value, list) else [value]
            inside = set(bound)
            for part in parts:
                if isinstance(part, ast.stmt):
                    self._statement(part, inside, is_certain=False)
                elif isinstance(part, ast.expr):
                    if not isinstance(getattr(part, "ctx", None), ast.Store):
                        self._eval(part, bound)
                elif isinstance(part, ast.AST):
                    self._compound(part, set(bound))

    def _import(
        self, node: ast.Import | ast.ImportFrom, bound: set[str], *, is_certain: bool
    ) -> None:
        for alias in node.names:
            if alias.name == "*":
                self._notes.must_keep = True
                self._notes.writes.add(ANY)
                self._notes.likely.add(ANY)
                continue
            name = alias.asname or alias.name
            origin = alias.name
            if isinstance(node, ast.ImportFrom):
                origin = f"{'.' * node.level}{node.module or ''}.{alias.name}"
            elif alias.asname is None:
                name = origin = alias.name.partition(".")[0]
            if self._is_local(origin.partition(".")[0]):
                origin = f".{origin}"
            name = self._name(name)
            is_sure = (is_certain and self._is_done) or (
                self._aliases.kind(name) in ("", origin)
            )
            self._bind(name, (), bound, is_certain=is_certain)
            if is_sure or origin[0] == ".":
                self._aliases.set_kind(name, origin)

    def _definition(
        self, node: _Function | ast.ClassDef, bound: set[str], *, is_certain: bool
    ) -> None:
        is_class = isinstance(node, ast.ClassDef)
        outside: list[ast.expr | None] = list(node.decorator_list)
        if isinstance(node, ast.ClassDef):
            outside += [*node.bases, *(word.value for word in node.keywords)]
        else:
            outside += [*node.args.defaults, *node.args.kw_defaults, node.returns]
            outside += [each.annotation for each in arguments(node)]
        shared = set().union(*[self._eval(each, bound) for each in outside])
        has_state = any(
            isinstance(each, ast.List | ast.Dict | ast.Set | ast.Call)
            for each in outside
        )
        made = self._summary(node)
        name = self._name(node.name)
        self._bind(name, shared, bound, is_certain=is_certain)
        self._aliases.group(name).learn(made)
        if is_class:
            # Its body runs at once; its methods count as run, too.
            for each in made.reads:
                self._mention(each, bound)
            self._use(made)
        elif not has_state and not node.decorator_list and not shared and is_certain:
            self._aliases.set_kind(name, FUNCTION)
        if node.decorator_list:  # it may call it, and keep it
            self._mention(name, bound)
            self._change(shared)

    def _summary(self, node: _Body) -> Group:
        """Return what a function or a class does when it is used."""
        before = self._notes, self._scope, self._visible
        self._notes = notes = _Notes()
        self._n_functions += 1
        is_class, start = isinstance(node, ast.ClassDef), self._n_locals
        n_functions = self._n_functions
        body = node.body if isinstance(node, _Function | ast.ClassDef) else []
        below = [part for statement in body for part in ast.walk(statement)]
        own, declared = own_names(body)
        parameters = {argument.arg for argument in arguments(node)}
        names = {name: self._local(name) for name in (own | parameters) - declared}
        for name in names.values():
            self._aliases.set_kind(name)
        self._scope = self._visible | names
        if is_class:
            self._own_methods |= own
            self._scope = before[1] | names
        else:
            self._visible = self._scope
        if isinstance(node, ast.Lambda):
            notes.returns |= self._eval(node.body, set())
        elif isinstance(node, ast.GeneratorExp):
            notes.returns |= self._comprehension(node, set())
        self._block(body, set(), is_certain=False)
        self._notes, self._scope, self._visible = before
        mine = {
            name
            for name in notes.reads | notes.writes | notes.changes
            if ":" in name and int(name.partition(":")[0]) > start
        }
        groups = [self._aliases.group(name) for name in names.values()]
        given = {names[name] for name in parameters}
        linked = set().union(*[self._aliases.group(name).names for name in given])
        # Names that these share objects with are looked up when it is called.
        changes = notes.changes | (notes.writes & notes.reads - notes.binds)
        binds = notes.binds - mine
        free = (notes.reads | changes | binds) - mine
        returned = [self._aliases.group(name) for name in notes.returns]
        made = Group(
            reads=notes.reads - mine,
            changes=changes - mine,
            binds=binds,
            draws=notes.draws,
            likely=notes.likely,
            is_function=True,
            makes_functions=is_class
            or any(group.is_function or group.is_consumed for group in returned),
            changes_arguments=is_class or bool(changes & given) or bool(linked & free),
            is_own=is_class,
            is_consumed=any(isinstance(part, _LAZY) for part in [node, *below]),
            must_keep=notes.must_keep,
        )
        if is_class:
            for group in groups:
                made.learn(group)
        elif self._n_functions == n_functions:
            self._aliases.drop(names.values())
        return made
