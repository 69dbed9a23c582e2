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

    def run(self, ledger, *, name, logger, n, kill_after_s=None, on_line=None):
        """Have one logger do its work or die, and take down what it says."""
        order = {"name": name, "logger": logger, "n": n, "kill_after_s": kill_after_s}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            word, *rest = line.split()
            if word == "end":
                return int(rest[0])
            ledger.note(name, word, *rest)
            if on_line is not None:
                on_line(word)
        raise AssertionError("the nursery ended")


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
    source = random.Random(seed)  # noqa: S311
    ledger, label = Ledger(), f"{logger} {secrets.token_hex(4)}"
    with nursery(project, uri) as forks:
        for name in ("warm", "whole"):  # the second tells how long a life is
            began = time.monotonic()
            forks.run(ledger, name=f"{label} {name}", logger=logger, n=N_VALUES)
            life_s = time.monotonic() - began
        for i in range(n):
            forks.run(
                ledger,
                name=f"{label} {i}",
                logger=logger,
                n=N_VALUES,
                kill_after_s=source.uniform(0, life_s),
                on_line=on_line,
            )
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


def sync_and_reap(project, uri=None):
    """Do from outside what a user does once the fault is over."""
    for command in (("sync",), ("doctor", "--fix")):
        done = nbmlops(project, *command, uri=uri)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
