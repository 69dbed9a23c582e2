"""Registries of any size, written straight into the database."""

import random
import sqlite3
from collections.abc import Mapping
from contextlib import closing

from nbmlops.store import Store, embedded

BEGAN_MS = 1_700_000_000_000


def fill(store: Store, sizes: Mapping[str, int]) -> None:
    """Register models, each with so many versions and a run for each of them."""
    draw = random.Random(0)  # noqa: S311 - numbers to look at
    experiment = int(store.client.create_experiment("made"))
    with closing(sqlite3.connect(embedded.database(store.settings.home))) as database:
        for place, (name, n_versions) in enumerate(sizes.items()):
            database.execute(
                "INSERT INTO registered_models (name, creation_time, "
                "last_updated_time, description) VALUES (?, ?, ?, ?)",
                (name, BEGAN_MS, BEGAN_MS, f"What {name} is for"),
            )
            database.execute(
                "INSERT INTO registered_model_tags (name, key, value) VALUES (?,?,?)",
                (name, "team", ("risk", "growth", "core")[place % 3]),
            )
            for version in range(1, n_versions + 1):
                add_version(database, draw, experiment, name, version)
            if n_versions:
                database.execute(
                    "INSERT INTO registered_model_aliases (name, alias, version) "
                    "VALUES (?, 'champion', ?)",
                    (name, max(1, n_versions - 1)),
                )
        database.commit()


def add_version(
    database: sqlite3.Connection,
    draw: random.Random,
    experiment: int,
    name: str,
    version: int,
) -> None:
    """Insert a version, and its run with six params and four metrics."""
    run_id = f"{draw.getrandbits(128):032x}"
    at = BEGAN_MS + version * 60_000
    database.execute(
        "INSERT INTO runs (run_uuid, name, user_id, source_type, status, start_time, "
        "end_time, lifecycle_stage, artifact_uri, experiment_id) "
        "VALUES (?, ?, ?, 'NOTEBOOK', 'FINISHED', ?, ?, 'active', '', ?)",
        (run_id, f"{name} {version}", ("ada", "bob")[version % 2], at, at, experiment),
    )
    database.executemany(
        "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
        [(f"p{n}", str(draw.randint(1, 9)), run_id) for n in range(6)],
    )
    names = ("accuracy", "log_loss", "rmse", "zeta")
    values = [(metric, draw.random(), at, run_id) for metric in names]
    for table in ("metrics", "latest_metrics"):
        database.executemany(
            f"INSERT INTO {table} (key, value, timestamp, run_uuid, step, is_nan) "  # noqa: S608
            "VALUES (?, ?, ?, ?, 0, 0)",
            values,
        )
    tags = {
        "mlflow.runName": f"{name} {version}",
        "mlflow.source.name": "notebooks/train.ipynb",
        "nbmlops.order": "clean",
    }
    database.executemany(
        "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
        [(key, value, run_id) for key, value in tags.items()],
    )
    database.execute(
        "INSERT INTO model_versions (name, version, creation_time, last_updated_time, "
        "current_stage, source, run_id, status) "
        "VALUES (?, ?, ?, ?, 'None', ?, ?, 'READY')",
        (name, version, at, at, f"models:/m-{run_id}", run_id),
    )
