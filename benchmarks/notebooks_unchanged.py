"""Whether `%%track` changes what cells of real notebooks show, raise or leave behind.

    python benchmarks/notebooks_unchanged.py FOLDER [FOLDER ...]

Each notebook below the folders runs cell by cell in three fresh kernels: twice bare,
and once with every cell tracked. The global random generators are seeded once, so that
a notebook draws the same numbers unless someone else draws between. What differs
between the bare runs already is not judged (the clock); of the rest, all that a cell
shows, its error with the whole traceback, and a digest of each variable at the end must
be equal. The folders should be copies: notebooks run where they lie, and the runs are
kept there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.kernels import Kernel, Reply, kernel

CELL_LIMIT_S = 300
_PASSING = re.compile(r"ipykernel_\d+.\d+|0x[0-9a-f]+|In\[\d+\]")
_ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_SEED = "import random as _r, numpy as _n; _r.seed(0); _n.random.seed(0)"
_DIGESTS = """
def _digests():
    import json, types, warnings
    import joblib
    warnings.simplefilter("ignore")
    found = {}
    for name, value in list(globals().items()):
        is_ours = name.startswith("_") or name in ("In", "Out", "exit", "quit", "open")
        if is_ours or isinstance(value, types.ModuleType):
            continue
        try:
            found[name] = joblib.hash(value)
        except Exception:
            found[name] = str(type(value))
    return json.dumps(found)
print(_digests())
"""


def cells_of(path: Path) -> list[str]:
    """Return the sources of a notebook's code cells."""
    notebook = nbformat.read(path, as_version=4)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return [source for source in sources if source.strip()]


def shown(reply: Reply) -> tuple[str, ...]:
    """Return what a cell shows and raises, without what says of its run."""
    parts = {"stdout": "", "stderr": "", "shown": ""}
    for output in reply.outputs:
        content = output["content"]
        data = content.get("data", {})
        shown_as = str(content.get("transient", {}).get("display_id", ""))
        is_line = data.get("text/plain", "").startswith("run nb ")
        if is_line or shown_as.startswith("nbmlops-"):
            continue
        parts[content.get("name", "shown")] += content.get("text", "")
        parts["shown"] += "\n".join(content.get("traceback", []))
        for kind, value in sorted(data.items()):
            text = value if kind.startswith("text/") else _digest(str(value))
            parts["shown"] += f"[{kind}]\n{text}\n"
    texts = (_PASSING.sub("", text) for text in parts.values())
    return (reply.status, reply.error or "", *texts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def run(k: Kernel, sources: list[str], *, is_tracked: bool) -> Iterator[Reply]:
    """Yield the reply of each cell; bare cells get a comment in the magic's line."""
    k.run("%load_ext nbmlops" if is_tracked else "0")
    k.run(_SEED)
    for source in sources:
        if source.lstrip().startswith("%%"):
            line = ""
        else:
            line = "%%track nb\n" if is_tracked else "# %%track nb\n"
        yield k.run(f"{line}{source}", timeout=CELL_LIMIT_S)


def results(
    path: Path, *, is_tracked: bool
) -> tuple[list[tuple[str, ...]], dict[str, str], float]:
    """Return what each cell showed, the digests of the variables, and the seconds."""
    start = time.monotonic()
    with kernel(path.parent, _ENVIRONMENT) as k:
        cells = [
            shown(reply) for reply in run(k, cells_of(path), is_tracked=is_tracked)
        ]
        seconds = time.monotonic() - start
        return cells, json.loads(k.run(_DIGESTS, CELL_LIMIT_S).text), seconds


def compare(path: Path) -> tuple[int, int, int]:
    """Print how a notebook fared; return cells judged, cells and variables changed."""
    bare, variables, seconds = results(path, is_tracked=False)
    again, variables_again, _ = results(path, is_tracked=False)
    tracked, variables_tracked, _ = results(path, is_tracked=True)
    judged = [n for n, cell in enumerate(bare) if cell == again[n]]
    changed = [n for n in judged if tracked[n] != bare[n]]
    steady = [
        name for name in variables if variables_again.get(name) == variables[name]
    ]
    other = [name for name in steady if variables_tracked.get(name) != variables[name]]
    other += sorted(variables_tracked.keys() - variables.keys())
    errors = sum(cell[0] == "error" for cell in bare)
    print(
        f"{path.parent.parent.name}/{path.name}: {len(bare)} cells, {errors} raise, "
        f"{len(bare) - len(judged)} differ by themselves; {len(steady)} of "
        f"{len(variables)} variables steady; bare {seconds:.0f} s; "
        f"changed: {len(changed)} cells, {len(other)} variables",
        flush=True,
    )
    for n in changed:
        for before, after in zip(bare[n], tracked[n], strict=True):
            if before != after:
                print(f"  cell {n}:\n    {before[-600:]!r}\n    {after[-600:]!r}")
    if other:
        print(f"  variables: {', '.join(other)}")
    return len(judged), len(changed), len(other)


def main() -> None:
    """Compare all notebooks below the folders."""
    for name in [
        name for name in os.environ if name.startswith(("MLFLOW_", "NBMLOPS"))
    ]:
        del os.environ[name]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    paths = sorted(
        path.resolve()
        for folder in sys.argv[1:]
        for path in Path(folder).rglob("*.ipynb")
    )
    found = []
    for path in paths:
        try:
            found.append(compare(path))
        except Exception as error:  # noqa: BLE001 - the next one may run
            print(f"{path.name}: not compared: {type(error).__name__}: {error}")
    same = sum(changed == variables == 0 for _, changed, variables in found)
    cells = sum(judged for judged, _, _ in found)
    print(f"{same} of {len(found)} notebooks unchanged, {cells} cells judged")


if __name__ == "__main__":
    main()
