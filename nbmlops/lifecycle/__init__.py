"""Compositions: the only place where areas meet. Doors call these."""

from nbmlops.lifecycle.compare import compare
from nbmlops.lifecycle.deploy import deploy, endpoint, endpoints, undeploy
from nbmlops.lifecycle.doctor import doctor
from nbmlops.lifecycle.explain import explain
from nbmlops.lifecycle.register import register
from nbmlops.lifecycle.replay import replay
from nbmlops.lifecycle.runs import runs

__all__ = [
    "compare",
    "deploy",
    "doctor",
    "endpoint",
    "endpoints",
    "explain",
    "register",
    "replay",
    "runs",
    "undeploy",
]
