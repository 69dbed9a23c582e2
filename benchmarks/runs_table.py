"""First rows of `%runs`, and all runs as a frame, against `mlflow.search_runs`.

The runs (8 params, 6 metrics, 3 tags each) are written straight into the database. Each
measurement is a fresh Python with everything imported and the store open; the ways take
turns. Printed: medians of the first call, of five more in the same Python (unless the
first took ten seconds), peak memory, what the call added to it, and how many times the
first call fits into that of `mlflow.search_runs` for all runs, a later one into that
for 20 rows.

    python benchmarks/runs_table.py [RUNS] [ROUNDS]
"""

import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from nbmlops.config import load_settings
from nbmlops.store import connect

# What a kernel has done before its user lists runs, and then what is measured.
PROCESS = """
import json, resource, sys, time
import mlflow, pandas
import nbmlops as nm
from nbmlops.store import connect
store = connect()
store.load()
mlflow.set_tracking_uri(store.uri)
store.client.get_experiment_by_name("big")
nm.runs
import nbmlops.render.runs.table, nbmlops.render.runs.frame
import nbmlops.store.runs.table_reader
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
{code}
took = time.perf_counter() - began
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
again = [took] if took > 10 else []
while len(again) < 5 and took <= 10:
    began = time.perf_counter()
    {code}
    again.append(time.perf_counter() - began)
again.sort()
print(json.dumps([took, again[len(again) // 2], after / 1024, (after - before) / 1024]))
"""
NAMES = 'experiment_names=["big"]'
FIRST = {
    "mlflow.search_runs, all": f"mlflow.search_runs({NAMES})._repr_html_()",
    "mlflow.search_runs, 20 rows": f"mlflow.search_runs({NAMES}, max_results=20)"
    "._repr_html_()",
    "%runs": 'nm.runs("big")._repr_html_()',
    "%runs --by m1": 'nm.runs("big", by="m1")._repr_html_()',
    "%runs --columns m1,p0": 'nm.runs("big", columns="m1,p0")._repr_html_()',
}
FRAMES = {
    "frame, all columns": 'nm.runs("big", limit=100_000, all=True).frame()',
    "frame, one metric, one param": 'nm.runs("big", limit=100_000, all=True, '
    'columns="metrics.m1,params.p0").frame()',
}


def main() -> None:
    """Measure and print the table."""
    n_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), n_runs)
        ways = FIRST | FRAMES
        taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, code in ways.items():
                taken[name].append(measure(code, folder))
    medians = {
        name: [statistics.median(column) for column in zip(*values, strict=True)]
        for name, values in taken.items()
    }
    whole = medians["mlflow.search_runs, all"][0]
    few = medians["mlflow.search_runs, 20 rows"][1]
    print(f"{n_runs} runs, {rounds} rounds, medians, each in a fresh Python")
    titles = ("first s", "again s", "peak MiB", "added MiB", "all", "20 rows")
    print(" " * 30 + "".join(f"{title:>11}" for title in titles))
    for name, (first, again, peak, added) in medians.items():
        print(
            f"{name:30}{first:11.3f}{again:11.3f}{peak:11.0f}{added:11.0f}"
            f"{whole / first:10.1f}x{few / again:10.1f}x"
        )


def measure(code: str, folder: str) -> tuple[float, ...]:
    """Return seconds of the first call and the later ones, MiB at most and added."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS.format(code=code)],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def fill(project: Path, n_runs: int) -> None:
    """Make a store with so many runs in experiment ``big``."""
    (project / ".nbmlops").mkdir()
    store = connect(load_settings(project))
    experiment = int(store.client.create_experiment("big"))
    draw = random.Random(0)  # noqa: S311 - numbers to look at
    with closing(sqlite3.connect(project / ".nbmlops" / "mlflow.db")) as database:
        for number in range(n_runs):
            run_id = f"{draw.getrandbits(128):032x}"
            insert_run(database, draw, number, run_id, experiment)
        database.commit()


def insert_run(
    database: sqlite3.Connection,
    draw: random.Random,
    number: int,
    run_id: str,
    experiment: int,
) -> None:
    """Insert one run: four params differ, four do not; every third run is a group."""
    began = 1_700_000_000_000 + number * 1000
    database.execute(
        "INSERT INTO runs (run_uuid, name, user_id, source_type, status, start_time, "
        "end_time, lifecycle_stage, artifact_uri, experiment_id) "
        "VALUES (?, ?, 'me', 'LOCAL', 'FINISHED', ?, ?, 'active', '', ?)",
        (run_id, f"run {number}", began, began + 500, experiment),
    )
    database.executemany(
        "INSERT INTO params (key, value, run_uuid) VALUES (?,?,?)",
        [(f"p{n}", str(draw.randint(1, 9) if n < 4 else n), run_id) for n in range(8)],
    )
    values = [(f"m{n}", draw.random(), began, run_id) for n in range(6)]
    for table in ("metrics", "latest_metrics"):
        database.executemany(
            f"INSERT INTO {table} (key, value, timestamp, run_uuid, step, is_nan) "  # noqa: S608
            "VALUES (?,?,?,?,0,0)",
            values,
        )
    tags = {
        "mlflow.runName": f"run {number}",
        "nbmlops.attempt_of": f"cell {number // 3}",
        "nbmlops.attempt": str(number % 3 + 1),
    }
    database.executemany(
        "INSERT INTO tags (key, value, run_uuid) VALUES (?,?,?)",
        [(key, value, run_id) for key, value in tags.items()],
    )


if __name__ == "__main__":
    main()
