"""Steps in forks against papermill: one notebook, and a batch of parameter sets.

Each round runs every contestant once, one after the other; times are medians of the
rounds, the ratio is papermill's time to ours. ``engine`` is papermill by our engine,
``tracked`` is `nm.run_notebook`: with a run, and notebook and page in the store.
``sweep`` is `nm.sweep`, which also looks for kept results and keeps its own.
``command`` is each as typed in a shell, with all that it has to import.
The floor forks a process that has imported and executes the bare cells, two at a time.
Parents, the store and papermill itself are warm: a first round is not counted.

    python -m benchmarks.warm [--rounds 3] [--sets 20] [--only batch]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
IMPORTS = "import pandas as pd\nfrom sklearn.linear_model import LogisticRegression"
FIT = """
from sklearn.datasets import make_classification
X, y = make_classification(2000, 20, random_state=seed)
frame = pd.DataFrame(X)
model = LogisticRegression(C=C).fit(frame, y)
model.score(frame, y)
"""
LINES = (
    "for i in range(1250):\n"
    "    print(f'epoch {i:4} loss {1 / (i + 1):.6f} accuracy 0.91')"
)
NOTEBOOKS = {
    "trivial": ["1 + 1"],
    "imports": [IMPORTS, "pd.__name__"],
    "30 cells": [f"x = {n}\nx" for n in range(30)],
    "200 cells": [LINES] * 200,
}
BATCH = [IMPORTS, FIT]
DEFAULTS = "C = 1.0\nseed = 0"
WANTED = {"trivial": 15, "imports": 50, "30 cells": 10, "200 cells": 20}
FLOOR = """
import json, os, sys, time
import pandas, sklearn.linear_model, sklearn.datasets
cells, sets = json.loads(sys.argv[1]), json.loads(sys.argv[2])
def run(values):
    pid = os.fork()
    if pid == 0:
        space = {}
        given = [f"{name} = {value!r}" for name, value in values.items()]
        for cell in [*cells[:1], *given, *cells[1:]]:
            exec(cell, space)
        os._exit(0)
    return pid
for _ in range(2):
    began = time.perf_counter()
    waiting, running = list(sets), 0
    while waiting or running:
        while waiting and running < 2:
            run(waiting.pop())
            running += 1
        os.wait()
        running -= 1
    took = time.perf_counter() - began
print(took)
"""


def write(path: Path, sources: list[str], parameters: str = "") -> None:
    """Write a notebook of these cells."""
    cells = [new_code_cell(source) for source in sources]
    if parameters:
        tags = {"tags": ["parameters"]}
        cells.insert(0, new_code_cell(parameters, metadata=tags))
    notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, path)


def papermill(path: str, output: str, values: dict[str, float], engine: str) -> None:
    """Run a notebook by papermill, with its own engine or ours."""
    import papermill as pm
    from papermill.engines import papermill_engines

    from nbmlops.execution.papermill_engine import Engine

    papermill_engines.register("nbmlops", Engine)
    pm.execute_notebook(
        path,
        output,
        parameters=values,
        engine_name=engine or None,
        progress_bar=False,
    )


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show(name: str, times: dict[str, list[float]], wanted: dict[str, float]) -> None:
    """Print medians, and the ratio of papermill's to each."""
    medians = {who: statistics.median(found) for who, found in times.items()}
    base = medians["papermill"]
    for who, median in medians.items():
        goal = f"  wanted {wanted[who]:g}x" if who in wanted else ""
        ratio = f"{base / median:6.1f}x"
        print(f"{name:10} {who:16} {median * 1000:9.1f} ms {ratio}{goal}", flush=True)


def single(rounds: int, names: list[str]) -> None:
    """Compare one run of each notebook."""
    from nbmlops.execution.run import run_notebook

    for name in names:
        path = Path(f"{name.replace(' ', '')}.ipynb")
        write(path, NOTEBOOKS[name])
        contestants: dict[str, Callable[[], object]] = {
            "papermill": lambda p=str(path): papermill(p, "pm.ipynb", {}, ""),
            "engine": lambda p=str(path): papermill(p, "ours.ipynb", {}, "nbmlops"),
            "tracked": lambda p=path: run_notebook(p, output="tracked.ipynb"),
        }
        times: dict[str, list[float]] = {who: [] for who in contestants}
        for turn in range(rounds + 1):
            for who, work in contestants.items():
                took = timed(work)
                if turn:
                    times[who].append(took)
        show(name, times, {"engine": WANTED[name], "tracked": WANTED[name]})


def commands(rounds: int) -> None:
    """Compare the commands for the trivial notebook."""
    write(Path("trivial.ipynb"), NOTEBOOKS["trivial"])
    words = {
        "papermill": ["papermill", "trivial.ipynb", "pm.ipynb"],
        "engine": ["papermill", "--engine", "nbmlops", "trivial.ipynb", "ours.ipynb"],
        "tracked": ["nbmlops", "run", "trivial.ipynb", "tracked.ipynb"],
    }
    times: dict[str, list[float]] = {who: [] for who in words}
    for turn in range(rounds + 1):
        for who, (name, *rest) in words.items():
            line = [str(Path(sys.executable).with_name(name)), *rest]
            run = partial(subprocess.run, line, check=True, capture_output=True)
            took = timed(run)
            if turn:
                times[who].append(took)
    show("command", times, {})


def batch(rounds: int, n_sets: int) -> None:
    """Compare a batch of parameter sets, two at a time."""
    from nbmlops.execution.run import run_notebook
    from nbmlops.pipeline.sweeps.sweep import sweep

    path = Path("train.ipynb")
    write(path, BATCH, DEFAULTS)
    sets = [{"C": 0.1 * (n + 1), "seed": n} for n in range(n_sets)]

    def loop() -> None:
        for n, values in enumerate(sets):
            papermill(str(path), f"pm{n}.ipynb", values, "")

    def both(pool: ProcessPoolExecutor) -> None:
        found = [
            pool.submit(papermill, str(path), f"pm{n}.ipynb", values, "")
            for n, values in enumerate(sets)
        ]
        for future in found:
            future.result()

    def tracked() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(lambda values: run_notebook(path, params=values, jobs=2), sets)
            )

    def swept() -> None:
        sweep(path, sets=sets, jobs=2, force=True, say=lambda _line: None)

    times: dict[str, list[float]] = {
        "papermill": [],
        "papermill, 2": [],
        "tracked, 2 jobs": [],
        "sweep, 2 jobs": [],
        "floor, 2": [],
    }
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        both(pool)
        tracked()
        swept()
        for _ in range(rounds):
            times["papermill"].append(timed(loop))
            times["papermill, 2"].append(timed(lambda: both(pool)))
            times["tracked, 2 jobs"].append(timed(tracked))
            times["sweep, 2 jobs"].append(timed(swept))
            told = subprocess.run(
                [sys.executable, "-c", FLOOR, json.dumps(BATCH), json.dumps(sets)],
                env=one_thread,
                capture_output=True,
                text=True,
                check=True,
            )
            times["floor, 2"].append(float(told.stdout))
    ours = ("tracked, 2 jobs", "sweep, 2 jobs")
    show("batch", times, dict.fromkeys(ours, 20))
    medians = {who: statistics.median(found) for who, found in times.items()}
    for who in ours:
        in_pool = medians["papermill, 2"] / medians[who]
        above = medians[who] / medians["floor, 2"]
        print(
            f"batch      {who}: {in_pool:.1f}x as fast as papermill, 2 (wanted 10x), "
            f"{above:.1f}x the floor (wanted below 2x)"
        )


def main() -> None:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--only", choices=[*NOTEBOOKS, "command", "batch"])
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path(".nbmlops").mkdir()
        names = [name for name in NOTEBOOKS if asked.only in (None, name)]
        single(asked.rounds, names)
        if asked.only in (None, "command"):
            commands(asked.rounds)
        if asked.only in (None, "batch"):
            batch(asked.rounds, asked.sets)
        os.chdir("/")


if __name__ == "__main__":
    main()
