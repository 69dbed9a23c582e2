"""An endpoint whose store and artifacts are gone and whose disk is full goes back.

Run as a script in a mount namespace of its own (``unshare -rm``). Prints what came of
it as JSON.
"""

import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier

from nbmlops.config import Settings
from nbmlops.deployment import actions, endpoints
from nbmlops.deployment.handle import EndpointHandle
from nbmlops.store import connect
from nbmlops.store.models.models import log_model
from nbmlops.store.registry.versions import create_version
from nbmlops.store.runs.queries import get_run
from nbmlops.store.runs.runs import create_run
from tests.deployment.conftest import stop_endpoints
from tests.faults.full_disk import Ballast

DEAD = "http://127.0.0.1:9"  # where nobody listens


def main() -> None:
    """Print the answers before, after the roll-back, and what it took."""
    frame = pd.DataFrame({"a": np.arange(9.0)})
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder]
        subprocess.run(mount, check=True)
        settings = Settings(project=Path(folder))
        store = connect(settings)
        import mlflow

        mlflow.set_tracking_uri(store.uri)
        for answer in "12":
            run_id = create_run(store, name="fit", experiment="e")
            model = DummyClassifier().fit(frame, [answer] * 9)
            log_model(store, run_id, model, frame)
            version = create_version(store, "m", get_run(store, run_id))
            # The first one is loaded from a copy, for which there is no room later.
            trust = ("own",) if answer == "1" else ()
            actions.deploy(store, version, name="m", trust=trust)
        store_files = Path(folder, ".nbmlops")
        for path in store_files.iterdir():
            if path.name.startswith("mlflow.db"):
                path.unlink()
            elif path.is_dir() and path.name != "endpoints":
                shutil.rmtree(path)
        Ballast(Path(folder, "ballast")).fill()
        gone = replace(settings, tracking_uri=DEAD)
        rows = frame.head(1)
        answers = [
            EndpointHandle(gone, endpoints.get_endpoint(gone, "m")).predict(rows)[0]
        ]
        begun = time.monotonic()
        back = actions.roll_back(gone, "m")
        seconds = time.monotonic() - begun
        answers.append(EndpointHandle(gone, back).predict(rows)[0])
        stop_endpoints(settings)
        shutil.rmtree(f"/dev/shm/nbmlops-loaded-{back.pid}")  # noqa: S108
        subprocess.run(["umount", "--lazy", folder], check=True)
    found = {"answers": answers, "version": back.version, "seconds": seconds}
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
