"""What `%%track` adds to a cell that fits, beside the bare cell and autologging.

Three IPython shells, each a process of its own, run the same cells in turn: one bare,
one with nbmlops, one with `mlflow.sklearn.autolog()` on the same kind of store. Times
are of the whole cell, medians; the ratio is the peer's cell to ours. Linear algebra has
one thread in each: threads that wait for a busy machine would drown the difference.

    python -m benchmarks.tracked_cell [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.stores import prepare, versions

COMMON = """
import numpy as np, warnings
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
warnings.simplefilter("ignore")
X, y = make_classification(7000, 20, random_state=7)
X, y, large, target = X[:2000], y[:2000], X[2000:], y[2000:].astype(float)
model = LogisticRegression().fit(X, y)
"""
THEIRS = """
import logging, mlflow
from pathlib import Path
from nbmlops.store import embedded
embedded.ensure(Path(".nbmlops").absolute())
mlflow.set_tracking_uri(embedded.tracking_uri(Path(".nbmlops").absolute()))
logging.getLogger("mlflow").setLevel(logging.ERROR)
mlflow.sklearn.autolog()
"""
SHELLS = {"bare": "", "ours": "%load_ext nbmlops", "theirs": THEIRS}
FIT = "model = LogisticRegression().fit(X, y)"
SEARCH = """
grid = {"C": [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]}
search = GridSearchCV(LogisticRegression(), grid, cv=3).fit(X, y)
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
MANY = "for _ in range(1000):\n    ridge = Ridge().fit(large, target)"


def work() -> None:
    """Run the cells that come in on stdin, and tell the seconds of each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what cells print is no answer
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    for line in sys.stdin:
        cell = json.loads(line)
        began = time.perf_counter()
        result = shell.run_cell(cell, store_history=True)
        taken = time.perf_counter() - began
        result.raise_error()
        answers.write(f"{taken}\n")
        answers.flush()


class Shell:
    """An IPython shell in a process and a project of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, cell: str) -> float:
        """Return the seconds that a cell took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(cell) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    """Give a shell that works in a new project."""
    (folder / ".nbmlops").mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.tracked_cell", "--work"],
        cwd=folder,
        env=os.environ | ONE_THREAD | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield Shell(process)


def measure(shells: dict[str, Shell], cell: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of a cell in each shell, taken in turn."""
    taken: dict[str, list[float]] = {name: [] for name in shells}
    for _ in range(rounds + 1):
        for name, running in shells.items():
            tracked = f"%%track\n{cell}" if name == "ours" else cell
            taken[name].append(running.run(tracked))
    return {name: values[1:] for name, values in taken.items()}  # the first warms up


def main() -> None:
    """Print a line a figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", action="store_true")
    options = parser.parse_args()
    if options.work:
        work()
        return
    prepare()
    print(f"{versions()}; rounds={options.rounds}, random_state=7")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        shells = {}
        for name, before in SHELLS.items():
            shells[name] = stack.enter_context(shell(Path(folder, name)))
            for cell in (COMMON, before):
                shells[name].run(cell)
        for told, cell, wanted in (("one fit", FIT, 50), ("search 8 x 3", SEARCH, 20)):
            taken = measure(shells, cell, options.rounds)
            bare, ours, theirs = (statistics.median(taken[name]) for name in SHELLS)
            print(
                f"{told}: bare {bare * 1e3:.1f} ms, %%track {ours * 1e3:.1f} ms, "
                f"autolog {theirs * 1e3:.1f} ms, ratio {theirs / ours:.1f}x "
                f"(wanted {wanted}x)"
            )
        del shells["theirs"]
        taken = measure(shells, MANY, options.rounds * 2)
        bare, ours = (statistics.median(taken[name]) for name in ("bare", "ours"))
        pairs = zip(taken["ours"], taken["bare"], strict=True)
        paired = statistics.median(mine / plain - 1 for mine, plain in pairs)
        print(
            f"1,000 fits of {bare:.2f} ms: bare {bare:.3f} s, %%track {ours:.3f} s, "
            f"{ours / bare - 1:+.1%} (pairwise {paired:+.1%}; wanted below +5 %)"
        )


if __name__ == "__main__":
    main()
