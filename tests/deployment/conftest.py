from __future__ import annotations

import importlib
import os
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from nbmlops._hashing import folder_digest
from nbmlops.config import Settings
from nbmlops.deployment import control, records
from nbmlops.errors import NbmlopsError
from nbmlops.processes.process_id import start_of
from nbmlops.store import connect
from nbmlops.store.models.files import save_model
from nbmlops.store.models.models import log_model, send_model
from nbmlops.store.registry.versions import create_version
from nbmlops.store.runs.fields import FILES_DIGEST
from nbmlops.store.runs.queries import get_run
from nbmlops.store.runs.runs import create_run

from .people import CITIES


@pytest.fixture(scope="session")
def frame():
    rng = np.random.default_rng(3)
    return pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """Return a store that the tests of this folder share, each from its own project."""
    return connect(Settings(project=tmp_path_factory.mktemp("registry")))


@pytest.fixture(scope="session")
def models(frame):
    low, high = (frame.a > 0).to_numpy(), (frame.b > 0).to_numpy()
    return (
        LogisticRegression().fit(frame, np.where(low, "good", "bad")),
        LogisticRegression().fit(frame, np.where(high, "yes", "no")),
    )


@pytest.fixture(scope="session")
def register(registry, frame):
    def add(name, model, example=frame):
        import mlflow

        mlflow.set_tracking_uri(registry.uri)
        run_id = create_run(registry, name="fit", experiment="e")
        log_model(registry, run_id, model, example)
        version = create_version(registry, name, get_run(registry, run_id))
        mlflow.set_tracking_uri(None)
        return version

    return add


@pytest.fixture(scope="session")
def register_own(registry, frame, tmp_path_factory):
    """Register a model of a class ``Own`` in a module of the user's."""

    def add(name, module, source):
        import mlflow

        folder = tmp_path_factory.mktemp(module)
        (folder / f"{module}.py").write_text(source)
        (folder / "model").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(folder)
            mlflow.set_tracking_uri(registry.uri)
            model = importlib.import_module(module).Own().fit(frame, frame.a)
            run_id = create_run(registry, name="fit", experiment="e")
            save_model(model, folder / "model", frame, trust=(module,))
            send_model(registry, run_id, folder / "model", name="model", key=module)
            version = create_version(registry, name, get_run(registry, run_id))
            mlflow.set_tracking_uri(None)
        return version

    return add


@pytest.fixture(scope="session")
def versions(register, models):
    """Return two versions of one model."""
    return tuple(register("credit", model) for model in models)


@pytest.fixture(scope="session")
def people():
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {"city": rng.choice(CITIES, 90), "age": rng.integers(20, 60, 90)}
    )


@pytest.fixture(scope="session")
def rollout_versions(register, people):
    """Return a champion, its equal, and ones that raise for Chur, are flipped, slow."""
    target = np.where(people.age > 40, "old", "young")
    known = people[people.city != "Chur"]

    def fit(rows, target, **options):
        encoder = OneHotEncoder(**options)
        return make_pipeline(encoder, LogisticRegression(C=1e3)).fit(rows, target)

    good = fit(people, target, handle_unknown="ignore")
    raising = fit(known, target[people.city != "Chur"], handle_unknown="error")
    flipped = fit(
        people, np.where(target == "old", "young", "old"), handle_unknown="ignore"
    )
    slow = make_pipeline(
        OneHotEncoder(handle_unknown="ignore"),
        RandomForestClassifier(n_estimators=600, random_state=0),
    ).fit(people, target)
    return {
        name: register("people", model, rows)
        for name, model, rows in (
            ("champion", good, people),
            ("equal", good, people),
            ("raising", raising, known),
            ("flipped", flipped, people),
            ("slow", slow, people),
        )
    }


@pytest.fixture(scope="session")
def shared_project(registry, tmp_path_factory):
    """Return the settings of a project whose supervisor serves test after test."""
    project = tmp_path_factory.mktemp("served") / "a project"
    project.mkdir()
    settings = Settings(project=project, tracking_uri=registry.uri)
    yield settings
    stop_endpoints(settings)


@pytest.fixture
def store(registry, shared_project):
    """Return the shared store as a project sees it that has no endpoint yet."""
    yield replace(registry, settings=shared_project)
    folder = records.root(shared_project)
    try:
        for name in records.list_names(folder):
            control.request(folder, {"type": "undeploy", "name": name}, starts=False)
        for path in folder.glob(".*.lock"):
            if path.name != ".supervisor.lock":
                path.unlink()
    except (OSError, NbmlopsError):
        stop_endpoints(shared_project)
        shutil.rmtree(shared_project.home, ignore_errors=True)


@pytest.fixture
def lone_store(registry, tmp_path):
    """Return the shared store as another project sees it."""
    settings = Settings(project=tmp_path, tracking_uri=registry.uri)
    yield replace(registry, settings=settings)
    stop_endpoints(settings)


@pytest.fixture
def files_of(registry):
    """Return the folder a version's files are stored in, to damage them."""

    def find(version):
        logged = registry.client.get_logged_model(version.model_id)
        return Path(logged.artifact_location.removeprefix("file://"))

    return find


@pytest.fixture
def as_logged(registry, files_of):
    """Have a version's files, damaged as they are, count as those that were logged."""

    def relabel(version):
        registry.client.set_model_version_tag(
            version.model,
            str(version.version),
            FILES_DIGEST,
            folder_digest(files_of(version)),
        )

    return relabel


@pytest.fixture
def left_behind(store):
    """Return what there is of endpoints: workers, and files below their folder."""

    def find():
        folder = records.root(store.settings)
        files = [str(path) for path in folder.rglob("*") if _is_endpoints(path)]
        pids = [process.pid for process in endpoint_processes(store.settings)]
        return sorted(pids) + sorted(files)

    return find


def _is_endpoints(path):
    return not path.name.startswith(("supervisor.", ".supervisor.", "aliases."))


def endpoint_processes(settings):
    """Return the workers of a project's endpoints."""
    others = ("python", "nbmlops aliases")  # the supervisor, and its follower
    return [p for p in _processes(settings) if p.name() not in others]


def _processes(settings):
    home = str(settings.home) + os.sep
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        is_ours = any(part.startswith("nbmlops.deployment.") for part in line)
        is_ours = is_ours and any(home in part for part in line)
        if is_ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def stop_endpoints(settings):
    """Kill the supervisor and the workers, one of which may be starting another."""
    killed = set()
    while found := _processes(settings):
        for process in found:
            killed.add(process.pid)
            with suppress(psutil.NoSuchProcess):
                process.kill()
    while any(start_of(pid) for pid in killed):  # it has no command line as it ends
        time.sleep(0.01)
