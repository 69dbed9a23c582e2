"""How many of eight processes that use a fresh store at the same moment succeed.

nbmlops and plain MLflow on SQLite, interleaved; each process makes one run.

    python benchmarks/first_use.py [ROUNDS] [ROUNDS OF MLFLOW]
"""

import os
import subprocess
import sys
import tempfile
import time

N_PROCESSES = 8
OURS = """
import sys
from pathlib import Path
from nbmlops.config import load_settings
from nbmlops.store import connect, runs
import mlflow
print("ready", flush=True); sys.stdin.readline()
runs.create_run(connect(load_settings(Path.cwd())), name="one", experiment="race")
"""
THEIRS = """
import sys
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
print("ready", flush=True); sys.stdin.readline()
with mlflow.start_run(run_name="one"):
    pass
"""


def race(code: str) -> int:
    """Return how many of the processes ended well."""
    hidden = ("MLFLOW_", "NBMLOPS_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=folder,
                env=env | {"MLFLOW_DISABLE_TELEMETRY": "true"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for _ in range(N_PROCESSES)
        ]
        for process in processes:
            process.stdout.readline()
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            process.communicate(timeout=300)
        return sum(process.returncode == 0 for process in processes)


def main() -> None:
    """Race and print the counts."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    control = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    began = time.monotonic()
    ours = theirs = 0
    for position in range(rounds):
        ours += race(OURS)
        if position < control:
            theirs += race(THEIRS)
    print(f"nbmlops      {ours} of {rounds * N_PROCESSES} succeed")
    print(f"plain MLflow {theirs} of {control * N_PROCESSES} succeed")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
