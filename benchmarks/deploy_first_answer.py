"""From deploy to the first answer: nbmlops against `mlflow models serve`.

The same registered model and input rows, in turn. Ours is the call `deploy` in a
process that has mlflow loaded, as a notebook that logged the model has, with the
project's supervisor running; with `--fresh` ours is a new Python that opens the store
and makes that call, and no supervisor runs.

    python benchmarks/deploy_first_answer.py [--rounds 7] [--fresh]
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import mlflow
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nbmlops.config import Settings
from nbmlops.deployment import actions, control, records
from nbmlops.deployment.supervisor.local import listen
from nbmlops.entities import ModelVersion
from nbmlops.store import Store, connect
from nbmlops.store.models.models import download_model, log_model
from nbmlops.store.registry.versions import create_version
from nbmlops.store.runs.queries import get_run
from nbmlops.store.runs.runs import create_run

ENVIRON = {
    **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "PYTHONPATH": str(Path(__file__).parents[1]),
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
FRESH = """
import sys
from pathlib import Path
from nbmlops.config import Settings
from nbmlops.deployment import actions
from nbmlops.store import connect
from nbmlops.store.registry.versions import get_version
store = connect(Settings(project=Path(sys.argv[1])))
actions.deploy(store, get_version(store, "credit", 1), name="credit")
"""


def register(store: Store) -> ModelVersion:
    """Return a version of a pipeline: imputation, encoding, logistic regression."""
    rng = np.random.default_rng(0)
    n = 2000
    frame = pd.DataFrame(
        {
            "Age": rng.normal(40, 10, n),
            "Income": np.where(rng.random(n) < 0.1, np.nan, rng.normal(100, 30, n)),
            "Home": rng.choice(["rent", "own", "other"], n),
        }
    )
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["Age", "Income"]),
        (OneHotEncoder(handle_unknown="ignore"), ["Home"]),
    )
    model = make_pipeline(columns, LogisticRegression())
    model.fit(frame, np.where(frame.Age > 40, "good", "bad"))
    mlflow.set_tracking_uri(store.uri)
    run_id = create_run(store, name="fit", experiment="bench")
    log_model(store, run_id, model, frame)
    return create_version(store, "credit", get_run(store, run_id))


def time_ours(store: Store, version: ModelVersion, *, is_fresh: bool) -> float:
    """Return the seconds until our endpoint has answered its input example."""
    started_at = time.perf_counter()
    if is_fresh:
        command = [sys.executable, "-c", FRESH, str(store.settings.project)]
        subprocess.run(command, check=True, env=ENVIRON)
    else:
        actions.deploy(store, version, name="credit")
    seconds = time.perf_counter() - started_at
    actions.undeploy(store.settings, "credit")
    if is_fresh:  # nothing is left that had the imports
        control.request(records.root(store.settings), {"type": "stop"})
    return seconds


def time_mlflow(model_folder: Path) -> float:
    """Return the seconds until MLflow's server has answered the same rows."""
    with listen(0) as free:
        port = free.getsockname()[1]
    body = (model_folder / "serving_input_example.json").read_bytes()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model_folder]
    command += ["--env-manager", "local", "-p", str(port)]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    started_at = time.perf_counter()
    server = subprocess.Popen(
        command,
        env=ENVIRON,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while server.poll() is None:
            try:
                with urllib.request.urlopen(request) as answer:  # noqa: S310
                    assert answer.status == 200
                    return time.perf_counter() - started_at
            except urllib.error.URLError:
                time.sleep(0.01)
        raise SystemExit("mlflow models serve ended before it answered")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def main() -> None:
    """Print the seconds of each round, the medians and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--fresh", action="store_true", help="ours from a new Python")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        store = connect(Settings(project=Path(folder)))
        version = register(store)
        model_folder = Path(folder, "model")
        download_model(store, version, model_folder)
        time_ours(store, version, is_fresh=options.fresh)  # both have their bytecode
        time_mlflow(model_folder)
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(time_ours(store, version, is_fresh=options.fresh))
            theirs.append(time_mlflow(model_folder))
            print(f"nbmlops {ours[-1]:.2f} s   mlflow {theirs[-1]:.2f} s", flush=True)
    medians = statistics.median(ours), statistics.median(theirs)
    print(
        f"median of {options.rounds}: nbmlops {medians[0]:.2f} s, "
        f"mlflow {medians[1]:.2f} s, ratio {medians[0] / medians[1]:.2f}"
    )


if __name__ == "__main__":
    main()
