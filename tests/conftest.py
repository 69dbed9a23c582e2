"""Fixtures for every test: a project of its own, a store of its own."""

import os
import signal

import pytest
from hypothesis import settings

from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.tracking.sync import sender
from tests.environment import hide_environment

_FLUSH_TIMEOUT_S = 60.0  # a loaded machine is slow, not silent

# Several tests share few cores: threads of one that wait for a core burn another's.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

pytest_plugins = ["pytest_jupyter.jupyter_server", "tests.postgres", "tests.servers"]


def pytest_configure():
    """Have Ctrl-C interrupt the processes, which a background job ignores."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The same examples every time: what passes here passes there.
    settings.register_profile("repeatable", derandomize=True)
    settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    hide_environment(monkeypatch)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return an empty project; the working folder is there."""
    folder = tmp_path / "my project"
    (folder / ".nbmlops").mkdir(parents=True)
    monkeypatch.chdir(folder)
    yield folder
    _forget_mlflow_state()


@pytest.fixture
def store(project, monkeypatch):
    """Return the embedded store of the project."""
    monkeypatch.setattr(sender, "_FLUSH_TIMEOUT_S", _FLUSH_TIMEOUT_S)
    return connect(load_settings(project))


def _forget_mlflow_state():
    import sys

    if "mlflow" not in sys.modules:
        return
    import mlflow
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking import fluent

    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose()  # or each test's store holds five open files to the end
    fluent._active_run_stack.get().clear()
    fluent._active_experiment_id = None
    mlflow.set_tracking_uri(None)
    os.environ.pop("_MLFLOW_SERVER_ARTIFACT_ROOT", None)
