"""The environment of a test: without what the machine or an earlier test says."""

import os

_HIDDEN = ("MLFLOW_", "_MLFLOW_", "NBMLOPS_", "JPY_SESSION", "PYTHONHASHSEED")


def hide_environment(monkeypatch):
    """Hide what is said about tracking."""
    for name in list(os.environ):
        if name.startswith(_HIDDEN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
