"""First page of the sidebar, and of a model's tab, against MLflow's own REST calls.

The store has 1,000 models and 10,000 versions. A Jupyter server with nbmlops and an
MLflow server answer from the same database, on this machine, warm, taking turns::

    python -m benchmarks.registry_sidebar [ROUNDS]

MLflow is asked for the registered models, and for the versions of each model shown; the
tab's rows are its versions with what their runs have. *Server* is what our route itself
takes, without HTTP.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import requests

from benchmarks.hanging_store import TOKEN, jupyter
from nbmlops.config import load_settings
from nbmlops.entities import to_json
from nbmlops.store import Store, connect
from nbmlops.store.registry.registered_models import list_models
from nbmlops.store.registry.versions import list_versions
from tests.big_registry import fill
from tests.servers import MlflowServer

N_MODELS, N_OF_ONE, PAGE, TAB_PAGE = 1000, 1009, 100, 200
SIZES = {"a-large-one": N_OF_ONE} | {f"model-{n:04}": 9 for n in range(1, N_MODELS)}


def main() -> None:
    """Measure and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / ".nbmlops").mkdir()
        store = connect(load_settings(project))
        fill(store, SIZES)
        server = MlflowServer(project, store.uri)
        server.start()
        try:
            with jupyter(project) as port:
                ours = f"http://127.0.0.1:{port}/nbmlops/api/"
                measure(store, ours, f"{server.url}/api/2.0/mlflow/", rounds)
        finally:
            server.stop()


def measure(store: Store, ours: str, theirs: str, rounds: int) -> None:
    """Ask in turns, and print medians and how many times ours fits into theirs."""
    session = requests.Session()
    session.headers["Authorization"] = f"token {TOKEN}"
    plain = requests.Session()
    large = f"{ours}models/a-large-one/versions"

    def ask(url: str, **query: object) -> dict:
        return session.get(url, params=query, timeout=60).json()

    def of_mlflow(path: str, **asked: object) -> dict:
        return plain.get(theirs + path, params=asked, timeout=60).json()

    def versions_of(name: str, n: int) -> list[dict]:
        given = {"filter": f"name = '{name}'", "max_results": n}
        order = {"order_by": "version_number DESC"}
        found = of_mlflow("model-versions/search", **given, **order)
        return found["model_versions"]

    def models() -> list[dict]:
        found = of_mlflow(
            "registered-models/search", max_results=PAGE, order_by="name ASC"
        )
        return found["registered_models"]

    def sidebar() -> None:
        for model in models():
            versions_of(model["name"], 25)

    def tab() -> None:
        runs = [each["run_id"] for each in versions_of("a-large-one", TAB_PAGE)]
        experiment = of_mlflow("experiments/get-by-name", experiment_name="made")
        listed = ", ".join(f"'{run}'" for run in runs)
        body = {
            "experiment_ids": [experiment["experiment"]["experiment_id"]],
            "filter": f"attributes.run_id IN ({listed})",
            "max_results": TAB_PAGE,
        }
        answer = plain.post(f"{theirs}runs/search", json=body, timeout=60)
        assert len(answer.json()["runs"]) == TAB_PAGE

    def written(page: object) -> str:
        return json.dumps(to_json(page))

    ways: dict[str, Callable[[], object]] = {
        "sidebar: nbmlops, server": lambda: written(list_models(store, limit=PAGE)),
        "sidebar: nbmlops, whole": lambda: ask(f"{ours}models", limit=PAGE),
        "sidebar: MLflow, models alone": models,
        "sidebar: MLflow, models and versions": sidebar,
        "tab: nbmlops, server": lambda: written(
            list_versions(store, "a-large-one", limit=TAB_PAGE)
        ),
        "tab: nbmlops, whole": lambda: ask(large, limit=TAB_PAGE),
        "tab: MLflow, versions and runs": tab,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 2):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if number >= 2:  # the first two warm the servers
                taken[name].append((time.perf_counter() - began) * 1000)
    n_versions = sum(SIZES.values())
    print(f"{len(SIZES)} models, {n_versions} versions, {rounds} rounds, medians")
    for name, values in taken.items():
        area = name.partition(":")[0]
        whole = statistics.median(taken[f"{area}: nbmlops, whole"])
        median = statistics.median(values)
        print(f"{name:38}{median:10.1f} ms {median / whole:8.1f}x")


if __name__ == "__main__":
    main()
