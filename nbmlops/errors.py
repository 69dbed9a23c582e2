"""Every error nbmlops raises on purpose.

::

    NbmlopsError                 500  problem, fix
    |-- UsageError     ValueError   400  a line, option or file that cannot be done
    |-- NotFoundError  LookupError  404  no such run, version, alias, endpoint
    |-- ConflictError               409  the name, alias, port or endpoint is taken
    |-- NotebookError               422  a step's cell failed
    |-- PipelineRunError              422  steps of a pipeline run failed
    |-- DependencyError ImportError 501  an extra is missing; names it
    |-- StoreError                  502  the tracking server or store did not answer
    |-- EngineError                 502  the cluster that runs steps did not answer
    `-- DeployError                 502  the endpoint's process did not answer
"""

from __future__ import annotations

import copyreg
import re
from ast import literal_eval
from collections.abc import Iterable, Mapping, Sequence
from shlex import quote
from typing import Any

_OPTION = re.compile(
    r"(?<![\w.-])(?P<name>[a-z]\w*)="
    r"(?P<value>True\b|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|(?![\w'\"=(\[{]))"
)


class NbmlopsError(Exception):
    """A problem in one sentence and how to fix it in another.

    Parameters
    ----------
    problem : str
        What is wrong, with the offending value in quotes.
    fix : str
        What to do about it. Commands are named as magics, options as in Python:
        ``%runs``, ``port=``; each door says them in its own words.
    """

    status = 500

    def __init__(self, problem: str, *, fix: str) -> None:
        super().__init__(problem, fix)
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem} {self.fix}"

    @property
    def summary(self) -> str:
        """Both sentences, for a record that is read at every door."""
        return f"{self.problem} {in_words(self.fix)}"

    def __reduce__(self) -> tuple[object, ...]:
        state = self.__dict__.copy()
        return copyreg.__newobj__, (type(self), *self.args), state  # type: ignore[attr-defined]

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints instead of a stack of frames."""
        lines = [f"{type(self).__name__}: {self.problem}", self.fix]
        if self.__cause__ is not None:
            cause = self.__cause__
            lines.append(f"Caused by {type(cause).__name__}: {cause}")
        return lines


class UsageError(NbmlopsError, ValueError):
    """A magic line, an option, a file or a request asks for what cannot be done.

    Attributes
    ----------
    faults : list of dict
        Of a request for predictions: ``row``, ``column`` and ``problem`` of each
        value or column that is refused, 1000 at most; else empty.
    """

    status = 400
    faults: Sequence[Mapping[str, object]] = ()


class NotFoundError(NbmlopsError, LookupError):
    """No such run, registered model, version, alias or endpoint."""

    status = 404


class ConflictError(NbmlopsError):
    """The name, alias, port or endpoint is taken or has moved."""

    status = 409


class NotebookError(NbmlopsError):
    """A notebook's cell failed.

    Parameters
    ----------
    problem : str
        What is wrong.
    fix : str
        How to fix it.
    notebook : str
        Path of the notebook that was run.
    cell_index : int or None, default=None
        Position of the failing cell, from 0; None when no cell was to blame.
    source : str, default=""
        The failing cell's source.
    traceback : str, default=""
        The cell's traceback as text, without colour codes.
    run_id : str or None, default=None
        The run that recorded the failure.
    how : str, default="raised"
        How it ended: ``raised``, ``exited``, ``timed out``, ``died``, ``not started``,
        ``interrupted`` or ``given up``.
    """

    status = 422

    def __init__(
        self,
        problem: str,
        *,
        fix: str,
        notebook: str,
        cell_index: int | None = None,
        source: str = "",
        traceback: str = "",
        run_id: str | None = None,
        how: str = "raised",
    ) -> None:
        super().__init__(problem, fix=fix)
        self.notebook = notebook
        self.cell_index = cell_index
        self.source = source
        self.traceback = traceback
        self.run_id = run_id
        self.how = how


class PipelineRunError(NbmlopsError):
    """Steps of a pipeline run failed.

    Parameters
    ----------
    problem : str
        Which, and why.
    fix : str
        How to go on.
    report : PipelineReport
        What became of each step.
    may_pass : bool, default=False
        Whether a step failed in a way after which it may be begun again.
    """

    status = 422

    def __init__(
        self, problem: str, *, fix: str, report: object, may_pass: bool = False
    ) -> None:
        super().__init__(problem, fix=fix)
        self.report: Any = report
        self.may_pass = may_pass


class DependencyError(NbmlopsError, ImportError):
    """A package outside the core is missing; the fix names the extra."""

    status = 501


class StoreError(NbmlopsError):
    """The tracking server or the store did not answer, or could not be written.

    Attributes
    ----------
    is_outage : bool
        Whether it may pass on its own, with nothing to fix on this side.
    is_doubtful : bool
        Whether the fault may lie in what was sent: the store did not say.
    """

    status = 502
    is_outage = True
    is_doubtful = False


class EngineError(NbmlopsError):
    """The cluster that was to run steps did not answer, or was lost."""

    status = 502


class DeployError(NbmlopsError):
    """The endpoint's process did not come up or did not answer."""

    status = 502


def in_words(fix: str, options: Mapping[str, str] | None = None) -> str:
    """Return a fix with options as a door names them; by default as in Python."""

    def said(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"] or ""
        if options is None:  # a value stays as it is: who masks reads it so
            return found[0] if value else name
        if name not in options:
            return found[0]
        given = "" if value in ("", "True") else f" {quote(literal_eval(value))}"
        return f"{options[name]}{given}"

    return _OPTION.sub(said, fix)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest other known name, else ``""``."""
    import difflib

    names = [each for each in known if each != name]
    same = [each for each in names if each.lower() == name.lower()]
    near = difflib.get_close_matches(name, names, n=1) or same[:1]
    return f" Did you mean {near[0]!r}?" if near else ""
