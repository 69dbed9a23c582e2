"""What cells read and change, found by reading them in the order in which they ran.

Names are all that is looked at; values are not. Where two names may stand for one
object a change of the one counts for both, a call may change all it is given unless it
is known not to (`known_calls`), and a function is taken to be called where it is
mentioned.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from nbmlops.tracking.dataflow import known_calls as known
from nbmlops.tracking.dataflow.effects import ANY, UNKNOWN, Effects
from nbmlops.tracking.dataflow.expressions import Expressions
from nbmlops.tracking.dataflow.names import Group
from nbmlops.tracking.dataflow.syntax import arguments, below, own_names, parse

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_MAKING = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.Yield, ast.YieldFrom, ast.GeneratorExp),
)


class Flow(Expressions):
    """Reads the cells of one kernel, each when it has run, in that order.

    Parameters
    ----------
    is_local : callable
        Says of a top level module's name whether it is the project's own: nothing is
        known of what such functions do.
    """

    def __init__(self, is_local: Callable[[str], bool] = lambda name: False) -> None:
        super().__init__()
        self._is_local = is_local

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
        self._notes.begin()
        try:
            self._block(tree.body, set(), is_certain=is_whole)
        except RecursionError:
            return UNKNOWN
        return self._notes.effects()

    def _block(
        self, body: Sequence[ast.stmt], bound: set[str], *, is_certain: bool
    ) -> None:
        """Read statements that run one after the other."""
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
                self._notes.change(self._shared(target))
                whole = ast.Tuple([target, value], ast.Load())
                self._assign(target, whole, bound, is_certain=False)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._eval(target, bound)
                    if isinstance(target, ast.Name):
                        self._notes.writes.add(target.id)
                        self._notes.kills.discard(target.id)
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
                        self._notes.bind(handler.name, (), caught, is_certain=False)
                    self._block(handler.body, caught, is_certain=False)
                self._branch(node.finalbody, bound)
            case ast.Match(subject=subject, cases=cases):
                self._eval(subject, bound)
                for case in cases:
                    self._case(case, subject, set(bound))
            case ast.Expr(value=value):
                before = frozenset(self._notes.draws)
                self._eval(value, bound, is_statement=True)
                origin = self._origin(value.func) if isinstance(value, ast.Call) else ""
                if is_certain and origin:
                    seeded = known.seeds(origin, origin.rpartition(".")[2])
                    self._notes.kills |= seeded - before if len(seeded) == 1 else set()
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
                self._notes.bind(name, self._shared(subject), bound, is_certain=False)
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
                self._notes.sets = True
                self._notes.writes.add(ANY)
                continue
            name = alias.asname or alias.name
            origin = alias.name
            if isinstance(node, ast.ImportFrom):
                origin = f"{'.' * node.level}{node.module or ''}.{alias.name}"
            elif alias.asname is None:
                name = origin = alias.name.partition(".")[0]
            is_sure = is_certain or name not in self._names
            self._notes.bind(name, (), bound, is_certain=is_certain)
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
            hints = [each.annotation for each in arguments(node)]
            outside += [*defaults, *filter(None, [*hints, node.returns])]
        for expression in outside:
            self._eval(expression, bound)
        shared = {name for each in outside for name in self._shared(each)}
        made = self._summary(node)
        self._notes.bind(node.name, shared, bound, is_certain=is_certain)
        self._names.group(node.name).learn(made)
        if isinstance(node, ast.ClassDef):
            # Its body runs at once; what only its methods do is not told apart.
            self._notes.use(made, bound)
        elif is_certain and not node.decorator_list and not shared:
            self._names.plain.add(node.name)
            if not any(isinstance(part, _MAKING) for part in below(node)):
                self._names.simple.add(node.name)
        if node.decorator_list:  # it may call it, and keep it
            self._notes.mention(node.name, bound)
            self._notes.change(shared)

    def _summary(self, node: _Function | ast.ClassDef | ast.Lambda) -> Group:
        """Return what a function or a class does when it is used."""
        is_class = isinstance(node, ast.ClassDef)
        inner = self.copy()
        body = [ast.Expr(node.body)] if isinstance(node, ast.Lambda) else node.body
        own, declared = own_names(body)
        parameters = {argument.arg for argument in arguments(node)}
        own = (own | parameters) - declared
        if is_class:
            self._notes.methods |= own
        for name in own:
            inner._names.forget(name)
        for name in parameters:
            inner._names.bind(name, (), is_certain=True)
        inner._block(body, set(), is_certain=False)
        kept = [inner._names.group(name) for name in own]
        later = {name for group in kept for name in group.reads}
        # Methods do not see the names of their class; functions see those around them.
        reads = (inner._notes.reads - own) | (later if is_class else later - own)
        changes = (inner._notes.writes - own) | {
            n for g in kept for n in g.changes
        } - own
        linked = {n for name in parameters for n in inner._names.group(name).names}
        self._notes.seeded |= inner._notes.seeded
        return Group(
            reads=reads,
            changes=changes,
            is_function=True,
            changes_arguments=is_class
            or bool(inner._notes.writes & parameters)
            or bool(linked & (reads | changes)),
            is_own=is_class or any(group.is_own for group in kept),
            is_consumed=any(
                isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(node)
            ),
            acts=inner._notes.acts or any(group.acts for group in kept),
            draws=inner._notes.draws.union(*(group.draws for group in kept)),
        )
