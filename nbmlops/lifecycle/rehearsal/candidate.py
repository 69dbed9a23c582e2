"""A model version that answers rows in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pandas as pd

from nbmlops.entities import ModelVersion
from nbmlops.errors import DeployError, UsageError
from nbmlops.processes import python_command, python_environ
from nbmlops.serving.offline import Answers
from nbmlops.store import Store
from nbmlops.store.models.models import download_model
from nbmlops.store.models.own_code import Trust


def answer_rows_with(
    store: Store, version: ModelVersion, rows: pd.DataFrame, *, trust: Trust
) -> Answers:
    """Return what a model version answers for rows; no model is loaded here."""
    with tempfile.TemporaryDirectory(prefix="nbmlops-rehearsal-") as scratch:
        folder = Path(scratch)
        download_model(store, version, folder / "model")
        rows.to_parquet(folder / "rows.parquet")
        options = {"model": version.model, "version": version.version}
        options |= {"trust": [*trust]}
        (folder / "options.json").write_text(json.dumps(options), "utf-8")
        done = subprocess.run(  # noqa: S603 - our own module
            python_command("nbmlops.serving.offline", scratch),
            cwd=folder,
            env=python_environ(os.environ, store.settings.project),
            capture_output=True,
            text=True,
            check=False,
        )
        if (refusal := folder / "refusal.json").exists():
            raise UsageError(**json.loads(refusal.read_text("utf-8")))
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["It said nothing."])[-1]
            raise DeployError(
                f"{version.model}/{version.version} ended its process "
                f"(code {done.returncode}): {last[:300]}",
                fix="See that it predicts rows as it was logged with.",
            )
        found = json.loads((folder / "answers.json").read_text("utf-8"))
    errors = {int(row): message for row, message in found.pop("errors").items()}
    return Answers(errors=errors, **found)
