"""What `import nbmlops` and `%load_ext nbmlops` cost beside a bare IPython cell.

Each is a fresh Python that starts IPython's shell and runs one cell; interleaved,
medians of wall time.

    python benchmarks/loading.py [ROUNDS]
"""

import statistics
import subprocess
import sys
import time

CELL = """
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_cell({cell!r}, silent=True).raise_error()
"""
CELLS = {
    "bare IPython cell": "1 + 1",
    "import nbmlops": "import nbmlops",
    "%load_ext nbmlops": "%load_ext nbmlops",
    "import mlflow (for scale)": "import mlflow",
}


def main() -> None:
    """Measure and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    taken: dict[str, list[float]] = {name: [] for name in CELLS}
    for _ in range(rounds + 1):
        for name, cell in CELLS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", CELL.format(cell=cell)], check=True)
            taken[name].append(time.perf_counter() - began)
    bare = statistics.median(taken["bare IPython cell"][1:])
    print(f"{'cell':28}{'ms':>8}{'ratio':>8}   ({rounds} rounds, medians)")
    for name, values in taken.items():
        median = statistics.median(values[1:])  # the first round fills the page cache
        print(f"{name:28}{median * 1000:8.0f}{median / bare:8.2f}")


if __name__ == "__main__":
    main()
