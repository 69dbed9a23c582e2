"""How far a loop of the user's has come."""

from __future__ import annotations

import ast
import linecache
import sys
import threading
import time
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import FrameType
from typing import Any

from nbmlops.tracking.resources.watchdog import stack

_WRAPPERS = {"tqdm", "tqdm_notebook", "track", "progress_bar"}
_SIZED = (list, tuple, dict, set, frozenset, str, bytes, range)
_LIBRARIES = ("numpy", "pandas", "pandas.core.frame", "pandas.core.series")
_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a loop has come."""

    name: str
    n_done: int
    n_rounds: int
    left_s: float | None


class LoopWatch:
    """Finds the outermost counted loop that a shell's main thread is in.

    A loop is counted when its variable and its length are there to be read:
    ``for i in range(n)``, ``for i, x in enumerate(xs)``, either inside ``tqdm``. No
    code of the user's is run to find out.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._loop: tuple[str, int] | None = None
        self._seen_at = 0.0
        self._seen_done = 0

    def look(self) -> Progress | None:
        """Return how far the loop has come, or None outside of one."""
        main = sys._current_frames().get(threading.main_thread().ident or 0)
        for frame in reversed(stack(main)):
            if frame.f_globals is self._namespace:
                for loop in _loops(frame.f_code.co_filename):
                    if loop.lineno <= frame.f_lineno <= (loop.end_lineno or 0):
                        found = _position(loop, frame)
                        if found is not None:
                            place = frame.f_code.co_filename, loop.lineno
                            return self._estimate(place, *found)
        return None

    def _estimate(
        self, place: tuple[str, int], name: str, n_done: int, n_rounds: int
    ) -> Progress:
        now = time.monotonic()
        if place != self._loop or n_done < self._seen_done:
            self._loop, self._seen_at, self._seen_done = place, now, n_done
        took_s, n_seen = now - self._seen_at, n_done - self._seen_done
        left_s = None
        if n_seen and took_s >= _PATIENCE_S:
            left_s = took_s / n_seen * (n_rounds - n_done)
        return Progress(name=name, n_done=n_done, n_rounds=n_rounds, left_s=left_s)


@cache
def _loops(filename: str) -> tuple[ast.For, ...]:
    """Return the loops of a cell, outer ones first."""
    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except SyntaxError:  # text that is not the code, as below %%time
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.For))


def _position(loop: ast.For, frame: FrameType) -> tuple[str, int, int] | None:
    names = ChainMap(frame.f_locals, frame.f_globals)
    call = _unwrapped(loop.iter)
    if not isinstance(call, ast.Call) or not call.args:
        return None
    target = loop.target
    if _called(call) == "enumerate" and isinstance(target, ast.Tuple):
        target = target.elts[0]
        given = [*call.args[1:], *(word.value for word in call.keywords)]
        start = _number(given[0], names) if given else 0
        n_rounds = _size(_unwrapped(call.args[0]), names)
        rounds = None
        if start is not None and n_rounds is not None:
            rounds = range(start, start + n_rounds)
    elif _called(call) in ("range", "trange"):
        numbers = [_number(argument, names) for argument in call.args]
        plain = [number for number in numbers if number is not None]
        is_known = len(plain) == len(numbers) <= 3 and plain[2:] != [0]
        rounds = range(*plain) if is_known else None
    else:
        return None
    if rounds is None or not isinstance(target, ast.Name):
        return None
    value = names.get(target.id)
    if type(value) is not int or value not in rounds:
        return None
    return target.id, rounds.index(value), len(rounds)


def _unwrapped(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Call) and _called(node) in _WRAPPERS and node.args:
        node = node.args[0]
    return node


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _size(node: ast.expr, names: Mapping[str, Any]) -> int | None:
    value: Any = names.get(node.id) if isinstance(node, ast.Name) else None
    if isinstance(node, ast.List | ast.Tuple):
        return len(node.elts)
    is_known = type(value) in _SIZED or type(value).__module__ in _LIBRARIES
    return len(value) if is_known and hasattr(value, "__len__") else None


def _number(node: ast.expr, names: Mapping[str, Any]) -> int | None:
    """Return the value of a literal, a name, a sum or ``len(name)``, if it is one."""
    value: object = None
    if isinstance(node, ast.Constant):
        value = node.value
    elif isinstance(node, ast.Name):
        value = names.get(node.id)
    elif isinstance(node, ast.Call) and _called(node) == "len" and node.args:
        value = _size(node.args[0], names)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand, names)
        value = None if inner is None else -inner
    elif isinstance(node, ast.BinOp):
        left, right = _number(node.left, names), _number(node.right, names)
        if left is not None and right is not None:
            if isinstance(node.op, ast.Add):
                value = left + right
            elif isinstance(node.op, ast.Sub):
                value = left - right
            elif isinstance(node.op, ast.Mult):
                value = left * right
    return value if type(value) is int else None
