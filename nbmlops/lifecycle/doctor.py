"""Examine a project: its settings, its store, and what killed processes left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nbmlops.config import explain_settings
from nbmlops.errors import NbmlopsError
from nbmlops.execution.recovery import recover_beside, recover_steps
from nbmlops.render.tables import Renderable, table_text
from nbmlops.store import Store, connect
from nbmlops.store.runs.queries import list_runs
from nbmlops.tracking.journal.reader import list_quarantined, list_unreadable
from nbmlops.tracking.provenance.source import relative
from nbmlops.tracking.sync.recovery import find_dead, reap
from nbmlops.tracking.sync.sync import journals_of, sync


@dataclass(frozen=True, kw_only=True, repr=False)
class DoctorReport(Renderable):
    """The state of a project.

    Attributes
    ----------
    settings : tuple of (str, str, str)
        Name, value and origin of each setting.
    problems : tuple of (str, str)
        What is wrong, and how to fix it.
    fixed : tuple of str
        What was wrong and no longer is.
    """

    settings: tuple[tuple[str, str, str], ...]
    problems: tuple[tuple[str, str], ...]
    fixed: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def __repr__(self) -> str:
        lines = [
            table_text(["setting", "value", "from"], self.settings),
            "",
            *(f"fixed: {each}" for each in self.fixed),
            *(f"problem: {what}\n  fix: {fix}" for what, fix in self.problems),
            *(["All is well."] if self.is_well else []),
        ]
        return "\n".join(lines)


def doctor(*, fix: bool = False, store: Store | None = None) -> DoctorReport:
    """Examine a project, and fix what needs no decision.

    Parameters
    ----------
    fix : bool, default=False
        End the runs whose process is gone, put together the notebooks whose runner is
        gone, and send what journals still hold.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    DoctorReport
        Settings with their origins, problems with their fixes, and what was fixed.

    Raises
    ------
    UsageError
        A setting is unknown or cannot be read.
    """
    problems: list[tuple[str, str]] = []
    fixed: list[str] = []
    try:
        store = store or connect(must_answer=False)
        shown = store.shown_uri
        list_runs(store, limit=1)
    except NbmlopsError as error:
        problems.append((error.problem, error.fix))
        shown = "" if store is None else store.shown_uri
    else:
        if fix:
            found = {*recover_steps(store.settings), *recover_beside(Path.cwd())}
            fixed += [
                f"{relative(path, store.settings.project)} has all cells that had ended"
                for path in sorted(found)
            ]
            try:
                fixed += [
                    f"run {each.name} ({each.run_id[:8]}) is KILLED: {each.reason}"
                    for each in reap(store)
                    if each.is_ended
                ]
            except NbmlopsError as error:
                problems.append((error.problem, error.fix))
            fixed += [
                f"run {each.name} ({each.run_id[:8]}): {each.n_sent} entries sent"
                for each in sync(store).runs
                if each.n_sent
            ]
    if store is not None:
        problems += _left_behind(store)
    rows = explain_settings(None if store is None else store.settings.project)
    settings = tuple(
        (name, shown if name == "tracking_uri" else str(value), origin)
        for name, value, origin in rows
    )
    return DoctorReport(settings=settings, problems=tuple(problems), fixed=tuple(fixed))


def _left_behind(store: Store) -> list[tuple[str, str]]:
    dead = {reader.key for reader in find_dead(store.settings)}
    found = []
    for reader in journals_of(store):
        header, entries = reader.header(), list(reader.unsent())
        if reader.key in dead:
            rest = f", and {len(entries)} entries are not in the store"
            what = f"Run {header.name!r} lost its process{rest if entries else ''}."
            found.append((what, "Run: nbmlops doctor --fix"))
        elif any(entry[0] == "end" for entry in entries):
            n = len(entries)
            what = f"{n} entries of run {header.name!r} are not in the store."
            found.append((what, "Run: nbmlops sync"))
    project = store.settings.project
    for folder, reason in list_unreadable(store.settings.home):
        what = f"The journal {relative(folder, project)} cannot be read: {reason}."
        found.append((what, "Move it away, or delete it."))
    for kept in list_quarantined(store.settings.home):
        where = relative(kept.folder, project)
        if kept.n_damaged:
            what = f"{kept.n_damaged} records of run {kept.name!r} were damaged."
            found.append((what, f"Look at them in {where}, then delete that folder."))
        if kept.refused:
            more = f" and {len(kept.refused) - 1} more" if kept.refused[1:] else ""
            what = f"The store refused of run {kept.name!r} {kept.refused[0]}{more}"
            found.append((what, f"Look at it in {where}, then delete that folder."))
    return found
