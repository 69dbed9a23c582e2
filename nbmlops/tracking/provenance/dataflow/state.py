"""What cells read and change, found by reading them in the order in which they ran.

Looks at names, not at values. Where two names may stand for one
object a change of the one counts for both, a call may change all it is given unless it
is known not to (`calls`), and a function is taken to be called where it is mentioned.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from nbmlops.tracking.provenance.dataflow import calls
from nbmlops.tracking.provenance.dataflow.aliases import (
    FUNCTION,
    SCALAR,
    AliasMap,
    Notes,
)
from nbmlops.tracking.provenance.dataflow.magics import read_magic
from nbmlops.tracking.provenance.dataflow.order import ANY, UNKNOWN, Effects
from nbmlops.tracking.provenance.dataflow.syntax import called, own_names, parse
from nbmlops.tracking.provenance.magics import to_python

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_HISTORY = re.compile(r"In|Out|_dh|_oh|_ih|_{1,3}|_i*\d+|_i{1,3}")
_PLAIN = (
    *(ast.Name, ast.Constant, ast.JoinedStr, ast.FormattedValue, ast.expr_context),
    *(ast.UnaryOp, ast.BinOp, ast.unaryop, ast.operator, ast.Tuple),
)
_MUTABLE = ast.List | ast.Dict | ast.Set | ast.Call
_ITERATOR = Notes(is_consumed=True)
_OWN_CALL = Notes(is_own=True, must_keep=True, changes_arguments=True)
_OWN_CLASS = Notes(is_own=True, changes_arguments=True, makes_functions=True)


class AnalysisState:
    """What is known of a kernel's names after the cells that were read.

    A name that is local to a function has a number and a colon before it.
    """

    def __init__(self, is_local: Callable[[str], bool] = lambda name: False) -> None:
        self._is_local = is_local
        self._aliases = AliasMap()
        self._own_methods: set[str] = set()  # of the cells' classes: nothing is known
        self._seeded: set[str] = set()
        self._n_locals = 0

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
        self._notes = notes = Notes()
        self._scope: dict[str, str] = {}
        self._visible = self._scope  # to functions: not the names of a class
        self._bound: set[str] = set()  # by the cell itself: no read of what was before
        self._is_certain, self._is_done = is_whole, not is_running
        self._locals: list[str] = []
        self._unused: ast.expr | None = None  # the value of a statement
        self._has_closures = False
        try:
            self._visit_all(tree.body)
        except RecursionError:
            return UNKNOWN
        if not self._has_closures:
            self._aliases.drop(self._locals)
        draws = notes.draws & self._seeded  # unseeded ones cannot be repeated
        writes = {n for n in notes.writes if ":" not in n} | draws
        defines = self._bound if is_whole else set()
        reads = {n for n in notes.reads if ":" not in n} | (draws - defines)
        return Effects(
            reads=frozenset(reads),
            writes=frozenset(writes),
            defines=frozenset(defines),
            unlikely=frozenset(writes - notes.likely),
            must_keep=notes.must_keep,
        )

    # What is noted

    def _name(self, name: str) -> str:
        return self._scope.get(name, name)

    def _local(self, name: str = "") -> str:
        self._n_locals += 1
        self._locals.append(f"{self._n_locals}:{name}")
        return self._locals[-1]

    def _made(self, *made: Notes) -> set[str]:
        """Return a name for a new object, of which it is known what calls do."""
        name = self._local()
        self._aliases.set_kind(name)
        self._aliases.group(name).calls.update(made)
        return {name}

    def _bind(self, name: str, sources: Iterable[str] = ()) -> None:
        notes = self._notes
        for names in (notes.writes, notes.binds, notes.likely, self._bound):
            names.add(name)
        is_certain = self._is_certain and self._is_done
        self._aliases.bind(name, sources, is_certain=is_certain)

    def _change(self, names: set[str], *, is_likely: bool = True) -> None:
        affected = self._aliases.affected(names)
        self._notes.changes |= names
        self._notes.writes |= affected
        if is_likely:
            self._notes.likely |= affected | names

    def _change_any(self) -> None:
        self._notes.must_keep = True
        self._notes.writes.add(ANY)
        self._notes.likely.add(ANY)

    def _mention(self, name: str) -> set[str]:
        """Note a read of a name, and all that a call of it would do; return it."""
        aliases, notes = self._aliases, self._notes
        if name not in self._bound and name not in aliases and _HISTORY.fullmatch(name):
            notes.reads.add(ANY)
        seen = aliases.reached([name])
        notes.reads |= seen - self._bound
        notes.must_keep |= any(aliases.kind(each)[:1] == "." for each in seen)
        known = {n for n in seen if n in aliases and not aliases.is_inert(n)}
        states = {n for n in known if aliases.kind(n) != FUNCTION}
        for group in {aliases.group(n) for n in known}:
            found = group.names & states
            if group.calls and (found or group.has("is_consumed")):
                is_likely = not group.has("is_own")
                self._change(found or group.names, is_likely=is_likely)
            for call in list(group.calls):
                self._use(call)
        return set() if aliases.is_inert(name) else {name}

    def _use(self, call: Notes) -> None:
        """Note all that a call of a function does."""
        notes, kind = self._notes, self._aliases.kind
        notes.must_keep |= call.must_keep
        notes.draws |= call.draws
        notes.likely |= (call.draws | call.binds) & call.likely
        if call.changes or call.binds:
            self._change(call.changes & call.likely)
            self._change(call.changes - call.likely, is_likely=False)
            self._change(call.binds)
            notes.writes |= call.binds
            notes.binds |= call.binds
            for name in call.binds:
                self._aliases.set_kind(name)
            given = {name for name in call.reads if kind(name) != FUNCTION}
            self._aliases.hold(call.changes | call.binds | given)

    @contextmanager
    def _scoped(
        self, names: Iterable[str], *, is_function: bool = False, is_class: bool = False
    ) -> Iterator[dict[str, str]]:
        """Visit in it what has names of its own."""
        before = self._scope, self._visible
        own = {name: self._local(name) for name in names}
        self._scope = (self._visible if is_function else self._scope) | own
        self._visible = self._visible if is_class else self._visible | own
        yield own
        self._scope, self._visible = before

    # Syntax: what is visited returns the names whose objects its value may share

    def _visit_all(self, nodes: Iterable[ast.AST]) -> set[str]:
        return set().union(*[self._visit(node) for node in nodes])

    @contextmanager
    def _branch(self) -> Iterator[None]:
        """Visit in it what may not run."""
        before = self._bound, self._is_certain
        self._bound, self._is_certain = set(self._bound), False
        yield
        self._bound, self._is_certain = before

    def _maybe(self, nodes: Iterable[ast.AST]) -> set[str]:
        with self._branch():
            return self._visit_all(nodes)

    def _visit(self, node: ast.AST) -> set[str]:
        match node:
            case ast.Name(id=name):
                return self._mention(self._name(name))
            case ast.Call():
                return set() if self._magic(node) else self._call(node)
            case ast.NamedExpr(target=target, value=value):
                self._assign(target, value, found := self._visit(value))
                return found
            case ast.Lambda() | ast.GeneratorExp():
                return self._lazy(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp():
                return self._comprehension(node)
            case ast.stmt() | ast.ExceptHandler() | ast.match_case():
                self._statement(node)
                return set()
            case ast.BoolOp() | ast.IfExp():
                return self._maybe(ast.iter_child_nodes(node))
        found = self._visit_all(ast.iter_child_nodes(node))
        if isinstance(node, ast.Yield | ast.YieldFrom):
            self._notes.returns |= found
        return set() if isinstance(node, ast.JoinedStr | ast.Compare) else found

    def _statement(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._definition(node)
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.Assign(targets=targets, value=value):
                found = self._visit(value)
                for target in targets:
                    self._assign(target, value, found)
                names = own_names(t for t in targets if isinstance(t, ast.Name))
                self._aliases.hold(map(self._name, names))
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self._visit(annotation)
                if value is not None:
                    self._assign(target, value, self._visit(value))
            case ast.AugAssign(target=target, value=value):
                found = self._visit(value) | (old := self._visit(target))
                self._change(old)
                self._assign(target, ast.BinOp(target, node.op, value), found)
            case ast.Delete(targets=targets):
                for target in targets:
                    found = self._visit(target)
                    if isinstance(target, ast.Name):
                        self._bind(self._name(target.id))
                        self._bound.discard(self._name(target.id))
                    else:
                        self._change(found)
            case ast.With(items=items) | ast.AsyncWith(items=items):
                for item in items:
                    found = self._visit(item.context_expr)
                    if item.optional_vars:
                        self._assign(item.optional_vars, None, found)
                contexts = {called(item.context_expr) for item in items}
                is_skipped = not contexts.isdisjoint(("suppress", "raises"))
                (self._maybe if is_skipped else self._visit_all)(node.body)
            case ast.Return(value=ast.expr() as value):
                self._notes.returns |= self._visit(value)
            case ast.Expr(value=value):
                self._unused = value.value if isinstance(value, ast.Await) else value
                self._visit(value)
            case _:
                is_loop = isinstance(node, ast.For | ast.AsyncFor | ast.While)
                for _ in range(1 + is_loop):  # what one pass links, the next may change
                    with self._branch():
                        self._compound(node)

    def _compound(self, node: ast.AST) -> None:
        """Visit a statement of which no part is sure to run."""
        match node:
            case ast.For() | ast.AsyncFor():
                self._assign(node.target, None, self._visit(node.iter))
            case ast.Match(subject=subject, cases=cases):
                found = self._visit(subject)
                with self._branch():
                    for name in own_names(case.pattern for case in cases):
                        self._bind(self._name(name), found)
            case ast.ExceptHandler(name=str(name)):
                self._bind(self._name(name))
        for _, value in ast.iter_fields(node):
            if isinstance(value, list):
                self._maybe(part for part in value if isinstance(part, ast.AST))
            elif isinstance(value, ast.AST) and value != getattr(node, "target", None):
                self._visit(value)

    def _assign(
        self, target: ast.expr, value: ast.expr | None, found: set[str]
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
                self._bind(name, () if is_scalar else found)
                is_sure = self._is_certain and self._is_done
                if is_scalar and (is_sure or kind in ("", SCALAR)):
                    aliases.set_kind(name, SCALAR)
                elif is_function and found and is_sure:
                    aliases.set_kind(name, FUNCTION)
            case ast.Starred(value=inner):
                self._assign(inner, None, found)
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                is_plain = isinstance(value, ast.Tuple) and self._is_scalar(value)
                for each in elts:
                    self._assign(each, value if is_plain else None, found)
                if found or not isinstance(value, ast.Call | ast.Tuple):
                    aliases.hold(map(self._name, own_names(elts)))
            case ast.Attribute(value=root) | ast.Subscript(value=root):
                if isinstance(target, ast.Subscript):
                    self._visit(target.slice)
                places = self._visit(root)
                self._notes.must_keep |= bool(self._origin(root))
                self._change(places)
                aliases.hold(places | found)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self._change_any()
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
            is_sure = self._is_certain and self._is_done
            is_sure |= self._aliases.kind(name) in ("", origin)
            self._bind(name)
            if is_sure or origin[0] == ".":
                self._aliases.set_kind(name, origin)

    def _definition(self, node: _Function | ast.ClassDef) -> None:
        aliases, name = self._aliases, self._name(node.name)
        parts = [*ast.iter_child_nodes(node)]
        shared = self._visit_all(p for p in parts if not isinstance(p, ast.stmt))
        if isinstance(node, ast.ClassDef):
            own = own_names(node.body)
            self._own_methods |= own
            with self._scoped(own, is_class=True) as names:
                self._maybe(node.body)
            self._bind(name, {*shared, *names.values()})
            aliases.group(name).calls.add(_OWN_CLASS)
        else:
            made = self._function(node)
            defaults = [*node.args.defaults, *node.args.kw_defaults]
            self._bind(name, shared)
            aliases.group(name).calls.add(made)
            has_state = any(isinstance(each, _MUTABLE) for each in defaults)
            if self._is_certain and not (has_state or node.decorator_list or shared):
                aliases.set_kind(name, FUNCTION)
        if node.decorator_list:  # it may call it, and keep it
            self._mention(name)
            self._change(shared)

    def _function(self, node: _Function | ast.Lambda | ast.GeneratorExp) -> Notes:
        """Return what a call of a function does."""
        outer = self._notes
        self._has_closures |= bool(self._scope)
        self._notes = notes = Notes()
        start = len(self._locals)
        given: set[str] = set()
        with self._branch():
            self._bound.clear()
            if isinstance(node, ast.GeneratorExp):
                notes.returns |= self._comprehension(node)
            else:
                body = node.body if isinstance(node.body, list) else [node.body]
                args = {p.arg for p in ast.walk(node.args) if isinstance(p, ast.arg)}
                with self._scoped(own_names(body) | args, is_function=True) as names:
                    given = {names[name] for name in args}
                    for name in names.values():
                        self._aliases.set_kind(name)
                    returned = self._visit_all(body)
                if isinstance(node, ast.Lambda):
                    notes.returns |= returned
        mine = set(self._locals[start:])
        self._notes = outer
        group = self._aliases.group
        linked = set().union(*[group(name).names for name in given])
        # Names that these share objects with are looked up when it is called.
        notes.changes |= notes.writes & notes.reads - notes.binds
        notes.changes_arguments = bool(notes.changes & given)
        for noted in (notes.reads, notes.changes, notes.binds):
            noted -= mine
        free = notes.reads | notes.changes | notes.binds
        notes.changes_arguments |= bool(linked & free)
        notes.makes_functions = any(
            group(each).calls and not group(each).has("is_own")
            for each in notes.returns
        )
        lazy = ast.Yield | ast.YieldFrom | ast.GeneratorExp
        notes.is_consumed = any(isinstance(part, lazy) for part in ast.walk(node))
        return notes

    def _lazy(self, node: ast.Lambda | ast.GeneratorExp) -> set[str]:
        made = self._function(node)
        found = self._made(made)
        if isinstance(node, ast.Lambda):
            if defaults := self._visit(node.args):
                self._aliases.hold(found | defaults)
            else:
                self._aliases.set_kind(min(found), FUNCTION)
        for name in made.reads:
            self._mention(name)
        self._use(made)
        return found

    def _comprehension(self, node: _Comprehension) -> set[str]:
        with self._branch(), ExitStack() as scopes:
            for each in node.generators:
                found = self._visit(each.iter)
                scopes.enter_context(self._scoped(own_names([each.target])))
                self._assign(each.target, each.iter, found)
                self._visit_all(each.ifs)
            return self._visit_all(
                [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            )

    # Calls

    def _call(self, node: ast.Call) -> set[str]:
        aliases, notes = self._aliases, self._notes
        is_statement = node is self._unused
        values = [*node.args, *(word.value for word in node.keywords)]
        flags = {word.arg or "": word for word in node.keywords}
        name, origin = called(node), self._origin(node.func)
        is_method = isinstance(node.func, ast.Attribute) and not origin
        function = node.func
        if is_method and isinstance(function, ast.Attribute):
            function = function.value
        given = self._reachable(self._visit_all(values))
        receiver = self._reachable(self._visit(function))
        result, is_gentle, is_likely = receiver | given, False, True
        if origin:
            is_gentle, result = calls.is_gentle(origin, flags), given
            notes.must_keep |= calls.must_keep(origin, is_statement=is_statement)
            if name in calls.FRESH and origin.startswith(("numpy", "pandas", "sklea")):
                result = set()
            if origin[0] == ".":
                result = given | self._made(_OWN_CALL)
        elif is_method:
            is_own = any(aliases.group(each).has("is_own") for each in receiver)
            is_known = not (name in self._own_methods or calls.changes_in_place(flags))
            is_gentle = is_known and not is_own and name in calls.GENTLE_METHODS
            is_likely = not (is_known and name in calls.GENTLE_METHODS | calls.UNLIKELY)
            if name in calls.FITTING and is_gentle:
                receiver = result = receiver or self._made()
                self._change(receiver, is_likely=False)
                notes.likely |= receiver  # more than what it was made of
            elif not is_gentle or name not in calls.READING:
                reads = calls.READING | calls.UNLIKELY
                self._change(receiver, is_likely=not is_known or name not in reads)
            if is_gentle and name in calls.FRESH:
                result = set()
            notes.must_keep |= calls.is_acting(name)
            if name in ("query", "eval"):
                if not isinstance([*values, node][0], ast.Constant | ast.JoinedStr):
                    notes.reads.add(ANY)
                for used in re.findall(r"@(\w+)", ast.unparse(node)):
                    self._mention(self._name(used))
        elif not isinstance(function, ast.Name):
            self._change(receiver)
        elif (known := self._name(function.id)) in aliases:
            group = aliases.group(known)
            is_gentle = bool(group.calls) and not group.has("changes_arguments")
            if aliases.kind(known) != FUNCTION:
                self._change({known})
            elif not group.has("makes_functions"):
                receiver = receiver - {known}
                result = receiver | given
            receiver = receiver.union(*[call.binds for call in group.calls])
        else:
            is_gentle = name in calls.GENTLE_BUILTINS
            if is_gentle:
                result = given if name not in calls.SCALAR_BUILTINS else set()
            if name in calls.READING_BUILTINS:
                notes.reads.add(ANY)
                self._change_any()
            elif name == "open":
                notes.must_keep |= len(node.args) > 1 or "mode" in flags
            elif name in ("setattr", "delattr", "input"):
                notes.must_keep = True
            notes.must_keep |= is_statement and not is_gentle
        if name in calls.CONSUMED:
            result = result | self._made(_ITERATOR)
        if is_gentle and is_method and name in calls.FITTING | calls.DRAWING:
            for each in given - receiver:
                aliases.group(each).holders |= receiver
        elif is_gentle and is_method and name in calls.HOLDING:
            aliases.hold(receiver | given)
        elif not is_gentle:
            self._change(given, is_likely=is_likely)
            if is_likely:
                aliases.hold(receiver | given)
        self._draw(origin, name, flags, is_gentle=is_gentle)
        return result

    def _reachable(self, names: set[str]) -> set[str]:
        """Add what functions among these objects may return."""
        aliases = self._aliases
        found = aliases.reached(n for n in names if aliases.group(n).calls) - names
        return names | {
            each
            for each in found
            if not aliases.is_inert(each) and aliases.kind(each) != FUNCTION
        }

    def _draw(
        self, origin: str, name: str, flags: dict[str, ast.keyword], *, is_gentle: bool
    ) -> None:
        seeded = calls.seeds(origin, name)
        drawn, is_likely = calls.draws(origin, name, is_gentle=is_gentle)
        for flag in calls.RANDOM_FLAGS & flags.keys():
            value = flags[flag].value
            is_likely &= getattr(value, "value", value) is None
            self._change(self._visit(value))
        if self._is_certain and len(seeded) == 1:
            self._bound |= seeded - self._notes.draws
        self._seeded |= seeded
        self._notes.draws |= seeded | drawn
        self._notes.likely |= seeded | (drawn if is_likely else set())

    def _magic(self, node: ast.Call) -> bool:
        """Note what a magic or a shell line does; False when it is neither."""
        found = read_magic(node)
        if found is None:
            return False
        for name in found.words:
            if name in self._aliases:
                self._mention(name)
        tree = parse(to_python(found.code))
        if found.reads_everything or tree is None:
            self._notes.reads.add(ANY)
            self._change_any()
        else:
            self._maybe(tree.body)
        with self._branch():
            for name in found.binds:
                self._bind(name)
        self._notes.must_keep |= found.must_keep
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

    def _is_scalar(self, node: ast.AST) -> bool:
        """Return whether a value is sure to be one that nothing can change."""
        match node:
            case ast.Call(func=ast.Name(id=name)):
                return name in calls.PLAIN_VALUES and name not in self._aliases
            case ast.Name(id=name):
                return self._aliases.kind(self._name(name)) == SCALAR
        parts = ast.iter_child_nodes(node)
        return isinstance(node, _PLAIN) and all(map(self._is_scalar, parts))
