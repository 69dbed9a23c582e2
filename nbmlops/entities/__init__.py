"""The nouns: frozen dataclasses, no I/O."""

from nbmlops.entities.dataset import DatasetVersion
from nbmlops.entities.endpoint import Endpoint, EndpointState
from nbmlops.entities.model import Column, ModelVersion, RegisteredModel, Signature
from nbmlops.entities.page import Page, to_json
from nbmlops.entities.replay import (
    Compared,
    Effect,
    Explanation,
    Factor,
    Replay,
    Verdict,
)
from nbmlops.entities.run import Run, RunStatus, check_key

__all__ = [
    "Column",
    "Compared",
    "DatasetVersion",
    "Effect",
    "Endpoint",
    "EndpointState",
    "Explanation",
    "Factor",
    "ModelVersion",
    "Page",
    "RegisteredModel",
    "Replay",
    "Run",
    "RunStatus",
    "Signature",
    "Verdict",
    "check_key",
    "to_json",
]
