"""JupyterLab as the whole MLOps desk: track, run, register and deploy.

``import nbmlops as nm`` loads nothing heavy: each name below is imported from its
place when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.errors import (
        ConflictError,
        DependencyError,
        DeployError,
        EngineError,
        NbmlopsError,
        NotebookError,
        NotFoundError,
        PipelineRunError,
        StoreError,
        UsageError,
    )
    from nbmlops.execution.run import run_notebook
    from nbmlops.execution.values import emit
    from nbmlops.lifecycle.card import card
    from nbmlops.lifecycle.compare import compare
    from nbmlops.lifecycle.deploy import deploy, endpoint, endpoints, undeploy
    from nbmlops.lifecycle.doctor import doctor
    from nbmlops.lifecycle.explain import explain
    from nbmlops.lifecycle.export import export_endpoint
    from nbmlops.lifecycle.history import history
    from nbmlops.lifecycle.pipelines import Pipeline
    from nbmlops.lifecycle.promote import delete_version, promote, rollback
    from nbmlops.lifecycle.register import register
    from nbmlops.lifecycle.rehearsal.rehearse import rehearse
    from nbmlops.lifecycle.replay.replay import replay
    from nbmlops.lifecycle.runs import runs
    from nbmlops.pipeline.sweeps.sweep import sweep
    from nbmlops.secrets import secret
    from nbmlops.tracking.run.context import track
    from nbmlops.tracking.sync.sync import sync

__version__: str

_HOMES = {
    "nbmlops.errors": "ConflictError DependencyError DeployError EngineError "
    "NbmlopsError NotFoundError NotebookError PipelineRunError StoreError UsageError",
    "nbmlops.lifecycle.card": "card",
    "nbmlops.lifecycle.compare": "compare",
    "nbmlops.lifecycle.deploy": "deploy endpoint endpoints undeploy",
    "nbmlops.lifecycle.doctor": "doctor",
    "nbmlops.lifecycle.explain": "explain",
    "nbmlops.lifecycle.export": "export_endpoint",
    "nbmlops.lifecycle.history": "history",
    "nbmlops.lifecycle.pipelines": "Pipeline",
    "nbmlops.lifecycle.promote": "delete_version promote rollback",
    "nbmlops.lifecycle.register": "register",
    "nbmlops.lifecycle.rehearsal.rehearse": "rehearse",
    "nbmlops.lifecycle.replay.replay": "replay",
    "nbmlops.lifecycle.runs": "runs",
    "nbmlops.execution.run": "run_notebook",
    "nbmlops.execution.values": "emit",
    "nbmlops.pipeline.sweeps.sweep": "sweep",
    "nbmlops.secrets": "secret",
    "nbmlops.tracking.run.context": "track",
    "nbmlops.tracking.sync.sync": "sync",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "ConflictError",
    "DependencyError",
    "DeployError",
    "EngineError",
    "NbmlopsError",
    "NotFoundError",
    "NotebookError",
    "Pipeline",
    "PipelineRunError",
    "StoreError",
    "UsageError",
    "card",
    "compare",
    "delete_version",
    "deploy",
    "doctor",
    "emit",
    "endpoint",
    "endpoints",
    "explain",
    "export_endpoint",
    "history",
    "promote",
    "register",
    "rehearse",
    "replay",
    "rollback",
    "run_notebook",
    "runs",
    "secret",
    "sweep",
    "sync",
    "track",
    "undeploy",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name == "__version__":
        from importlib.metadata import version

        return version("nbmlops")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nbmlops' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Add the magics to a shell: ``%load_ext nbmlops``."""
    from nbmlops.notebook.extension import load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take the magics away: ``%unload_ext nbmlops``."""
    from nbmlops.notebook.extension import unload

    unload(ipython)


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    from nbmlops.server import Extension

    return [{"module": "nbmlops.server", "app": Extension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "nbmlops"}]
