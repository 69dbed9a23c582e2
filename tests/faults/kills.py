"""kill -9 at a random moment of a run: while it opens, logs, or ends."""

import json
import os
import random
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from tests.faults.ledger import Ledger

ROOT = Path(__file__).parents[2]
N_VALUES = 400


class Nursery:
    """A process that forks loggers in a project; see `tests.faults.nursery`."""

    def __init__(self, process):
        self._process = process

    def run(self, ledger, on_line=None, **order):
        """Have one logger do its work or die, and take down what it says.

        Returns
        -------
        tuple of float
            Seconds until its run was open, and from then on until it ended.
        """
        began = opened = time.monotonic()
        order = {"n": N_VALUES, "kill_after_s": None, **order}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            word, *rest = line.split()
            if word == "end":
                return opened - began, time.monotonic() - opened
            if word == "open":
                opened = time.monotonic()
            ledger.note(order["name"], word, *rest)
            if on_line is not None:
                on_line(word)
        raise AssertionError("the nursery ended")

    def kill_many(self, ledger, n, source, *, logger, on_line=None):
        """Kill loggers at random moments: one of four while it opens its run.

        What they say is taken down, and so are two whole lives before them: the first
        loads what all need, the second tells how long a life is.
        """
        label = f"{logger} {secrets.token_hex(4)}"
        for name in ("first", "whole"):
            reported = {"name": f"{label} {name}", "logger": logger}
            opening_s, rest_s = self.run(ledger, **reported)
        for i in range(n):
            is_late = i % 4 > 0
            self.run(
                ledger,
                on_line,
                name=f"{label} {i}",
                logger=logger,
                since="open" if is_late else "fork",
                kill_after_s=source.uniform(0, rest_s if is_late else opening_s),
            )


@contextmanager
def nursery(project, uri=None):
    """Give a nursery that works in a project, and tracks in ``uri`` when given."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    if uri is not None:
        env["MLFLOW_TRACKING_URI"] = uri
    with (
        (project / "nursery.log").open("ab") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=project,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Nursery(process)
        process.stdin.close()


def kill_loggers(n, seed, *, project, uri=None, logger="nbmlops", on_line=None):
    """Kill ``n`` loggers, each at a random moment of its life, and return the ledger.

    Parameters
    ----------
    n, seed : int
        How many, and where the moments come from.
    project : Path
        The folder they work in.
    uri : str, optional
        What they track in; the project's own store by default.
    logger : str, default="nbmlops"
        One that the nursery knows.
    on_line : callable, optional
        Called with the first word of each line a logger says.
    """
    ledger = Ledger()
    with nursery(project, uri) as forks:
        source = random.Random(seed)  # noqa: S311
        forks.kill_many(ledger, n, source, logger=logger, on_line=on_line)
    return ledger


def nbmlops(project, *arguments, uri=None, limit_s=300):
    """Run the command in a project, as a fresh process, and return its result."""
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    if uri is not None:
        env["MLFLOW_TRACKING_URI"] = uri
    return subprocess.run(
        [sys.executable, "-m", "nbmlops.cli", *arguments],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def sync_and_reap(project, uri=None, limit_s=120):
    """Do from outside what a user does once the fault is over.

    A living process may be sending its own journal, and sync then says so; it is asked
    until all is there.
    """
    deadline = time.monotonic() + limit_s
    while True:
        done = nbmlops(project, "sync", uri=uri)
        assert "Traceback" not in done.stderr, done.stderr
        if done.returncode == 0:
            break
        assert time.monotonic() < deadline, (done.stdout, done.stderr)
        time.sleep(0.5)
    done = nbmlops(project, "doctor", "--fix", uri=uri)
    assert done.returncode == 0, (done.stdout, done.stderr)
