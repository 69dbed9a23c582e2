"""How the order of cells is judged, on notebooks of others, and what that costs.

Each notebook's cells count as run from the top to the bottom twice in one kernel: not a
single execution may be out of order. Then executions are planted that are: a name is
bound anew by a cell below, two such cells are swapped, a cell above is edited or taken
out; each must be found. No cell is run, so the notebooks need neither data nor
libraries. The cost is what the end of a tracked cell waits for, in a kernel whose cells
use a module of the project.

    python -m benchmarks.order FOLDER_OF_NOTEBOOKS [--most 100]
    python -m benchmarks.order --cost
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from nbmlops.tracking.provenance.dataflow.order import Execution, out_of_order
from nbmlops.tracking.provenance.dataflow.state import AnalysisState
from nbmlops.tracking.provenance.dataflow.syntax import parse

HELPERS = "def clean(rows, *more, size=1):\n    return [*rows, size]\n"
CELL = (
    "part_{i} = helpers.clean(part_{before}, part_{far}, size={i})\n"
    "sizes = [len(part) for part in (part_{i}, part_{before})]\n"
    "def report_{i}(rows):\n    return helpers.clean(rows, part_{i})\n"
    "report_{i}(part_{before})"
)
MOST_READERS = 20
_LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def codes_of(path: Path) -> list[str]:
    """Return the Python of a notebook's cells, as a kernel would run it."""
    manager = TransformerManager()
    document = json.loads(path.read_text(encoding="utf-8"))
    sources = [
        "".join(cell["source"])
        for cell in document["cells"]
        if cell["cell_type"] == "code"
    ]
    return [manager.transform_cell(source) for source in sources if source.strip()]


def history(codes: Sequence[str], order: Sequence[int]) -> list[Execution]:
    """Return what a kernel that ran the cells in an order is judged by."""
    state = AnalysisState()
    return [
        Execution(effects=state.read(codes[n]), code=codes[n], place=float(n))
        for n in order
    ]


def is_found(cells: Sequence[Execution]) -> bool:
    """Return whether the last execution is out of order."""
    return bool(out_of_order(cells, {len(cells) - 1}))


def names(code: str) -> tuple[set[str], set[str]]:
    """Return what a cell reads before it binds it, and what it binds for certain."""
    tree = parse(code)
    reads: set[str] = set()
    binds: set[str] = set()
    bound: set[str] = set()
    for statement in tree.body if tree else ():
        waiting: list[ast.AST] = [statement]
        stored: set[str] = set()
        aliases = getattr(statement, "names", [])
        loaded: set[str] = set()
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Name):
                (loaded if isinstance(node.ctx, ast.Load) else stored).add(node.id)
            if not isinstance(node, _LATER):
                waiting += ast.iter_child_nodes(node)
        reads |= loaded - bound - stored
        bound |= stored | {alias.asname or alias.name for alias in aliases}
        match statement:
            case ast.Assign(targets=targets):
                binds |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
    return reads, binds


def plants(codes: Sequence[str]) -> Iterator[tuple[str, list[Execution]]]:
    """Yield kinds and histories whose last execution is out of order."""
    facts = [names(code) for code in codes]
    whole = list(range(len(codes)))
    every = len(codes) // MOST_READERS + 1
    for reader in range(0, len(codes), every):
        reads = facts[reader][0]
        for name in sorted(reads):
            above = [n for n in range(reader) if name in facts[n][1]]
            below = [n for n in whole[reader + 1 :] if name in facts[n][1]]
            if not above:
                continue
            again = history(codes, [*whole, reader])
            for kind, change in (
                ("edited", {"is_edited": True}),
                ("taken out", {"place": None}),
            ):
                yield (
                    kind,
                    [
                        replace(cell, **change) if cell.place == above[-1] else cell
                        for cell in again
                    ],
                )
            if below and facts[below[-1]][1] - facts[reader][1]:
                yield "bound below", again
                swapped = [*whole[:reader], below[0], reader]
                yield "swapped", history(codes, swapped)
            break


def judge(folder: Path, most: int) -> None:
    """Print how many executions of whom are out of order, and plants found."""
    n_notebooks = n_cells = n_badges = n_marked = 0
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.ipynb"))[:most]:
        codes = codes_of(path)
        twice = history(codes, [*range(len(codes))] * 2)
        odd = [n for n in range(len(codes), len(twice)) if is_found(twice[: n + 1])]
        n_notebooks, n_cells = n_notebooks + 1, n_cells + len(codes)
        n_badges, n_marked = n_badges + len(odd), n_marked + bool(odd)
        if odd:
            print(f"{path.name}: out of order at {odd} of {len(twice)}")
        for kind, cells in plants(codes):
            planted[kind] += 1
            found[kind] += is_found(cells)
    print(f"{n_notebooks} notebooks, {n_cells} cells, each run twice:")
    print(f"  {n_badges} executions out of order, in {n_marked} notebooks")
    for kind, number in planted.items():
        print(f"  {kind}: {found[kind]} of {number} found")


def cost() -> None:
    """Print what the ends of tracked cells wait for the analysis."""
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.config import load_settings
    from nbmlops.tracking.provenance.cells import History
    from nbmlops.tracking.provenance.provenance import keep_cells

    os.chdir(tempfile.mkdtemp())
    Path("pyproject.toml").write_text("", encoding="utf-8")
    Path("helpers.py").write_text(HELPERS, encoding="utf-8")
    sys.path.insert(0, "")
    __import__("helpers")
    run: Any = SimpleNamespace(
        store=SimpleNamespace(settings=load_settings()),
        run_id="0" * 32,
        name="cost",
        log_bytes=lambda *_: None,
    )
    for size in (75, 150, 300, 500):
        kernel = History(InteractiveShell.instance())
        ends = []
        for i in range(size):
            source = "import helpers\npart_0 = helpers.clean([])"
            if i:
                source = CELL.format(i=i, before=i - 1, far=i // 2)
            kernel.begin(source, None, count=i + 1)
            began = time.perf_counter()
            kernel.read()
            if size - i <= 5:
                keep_cells(run, kernel, kind="cell")
                ends.append(time.perf_counter() - began)
            kernel.end(ending="finished")
        began = time.perf_counter()
        fresh = History(InteractiveShell.instance())
        for cell in kernel.cells:
            fresh.begin(cell.source, None, count=cell.count)
            fresh.end(ending="finished")
        fresh.read()
        whole = time.perf_counter() - began
        print(
            f"{size} cells: read in {whole:.2f} s, {1000 * whole / size:.2f} ms a cell"
            f"; a tracked cell's end waits {1000 * statistics.median(ends):.1f} ms"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--most", type=int, default=100)
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    if options.folder:
        judge(options.folder, options.most)
    if options.cost or not options.folder:
        cost()
