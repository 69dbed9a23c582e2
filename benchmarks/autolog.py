"""What recording a fit costs: a tracked cell against MLflow's own autolog.

    python benchmarks/autolog.py [REPEATS]

Three kernels take turns cell by cell, so that what else the machine does falls on all:
bare, with ``mlflow.sklearn.autolog()`` as it comes, and with ``%%track``. A cell is
timed from its sending to its end, and in it the call of ``fit``. Linear algebra has one
thread, for its pools stall each other where cores are shared.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.kernels import Kernel, kernel

_DATA = """
import time
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
X, y = make_classification(n_samples=500, n_features=20, random_state=0)
X_few, y_few = X[:100, :5], y[:100]
grid = {"C": [10.0**n for n in range(-4, 4)]}
"""
_FIT = """
model = {make}
start = time.perf_counter()
model.fit(X, y)
print("s", time.perf_counter() - start)
"""
_MANY = """
model = LogisticRegression()
for _ in range(1000):
    model.fit(X_few, y_few)
"""
_MLFLOW = """
import logging, os
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow
logging.getLogger("mlflow").setLevel(logging.ERROR)
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.sklearn.autolog()
"""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_JOBS = {
    "a fit": _FIT.format(make="LogisticRegression()"),
    "a search of 8 x 3": _FIT.format(
        make="GridSearchCV(LogisticRegression(), grid, cv=3)"
    ),
}


def timed(k: Kernel, source: str) -> tuple[float, float]:
    """Return the seconds of a cell, and those of the fit in it."""
    start = time.perf_counter()
    reply = k.run(source, timeout=600)
    seconds = time.perf_counter() - start
    assert reply.status == "ok", reply.text
    told = [line for line in reply.text.splitlines() if line.startswith("s ")]
    return seconds, float(told[0][2:]) if told else 0.0


def main() -> None:
    """Print medians and their ratios."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with ExitStack() as stack:
        kernels = {}
        for name, setup in (
            ("bare", "0"),
            ("mlflow", _MLFLOW),
            ("nbmlops", "%load_ext nbmlops"),
        ):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (folder / ".nbmlops").mkdir()
            kernels[name] = stack.enter_context(kernel(folder, _ONE_THREAD))
            for source in (_DATA, setup):
                timed(kernels[name], source)
        for job, source in _JOBS.items():
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in kernels}
            for _ in range(repeats + 1):
                for name, k in kernels.items():
                    line = "%%track job\n" if name == "nbmlops" else ""
                    found[name].append(timed(k, line + source))
            cell = {
                name: statistics.median(s for s, _ in times[1:])
                for name, times in found.items()
            }
            fit = {
                name: statistics.median(s for _, s in times[1:])
                for name, times in found.items()
            }
            for what, s in (("cell", cell), ("call", fit)):
                print(
                    f"{job}, the {what}: bare {s['bare'] * 1e3:.1f} ms, "
                    f"mlflow {s['mlflow'] * 1e3:.1f} ms, "
                    f"nbmlops {s['nbmlops'] * 1e3:.1f} ms: "
                    f"{s['mlflow'] / s['nbmlops']:.0f}x"
                )
        del kernels["mlflow"]
        many: dict[str, list[float]] = {name: [] for name in kernels}
        loops: dict[str, list[float]] = {name: [] for name in kernels}
        inner = "start = time.perf_counter()\n" + _MANY
        inner += "print('s', time.perf_counter() - start)\n"
        for _ in range(repeats + 1):
            for name, k in kernels.items():
                line = "%%track many\n" if name == "nbmlops" else ""
                seconds, loop = timed(k, line + inner)
                many[name].append(seconds)
                loops[name].append(loop)
        for what, times in (("cell", many), ("loop", loops)):
            bare, ours = (statistics.median(times[n][1:]) for n in ("bare", "nbmlops"))
            print(
                f"1,000 fits, the {what}: bare {bare:.3f} s, nbmlops {ours:.3f} s: "
                f"{100 * (ours / bare - 1):+.1f} %"
            )


if __name__ == "__main__":
    main()
