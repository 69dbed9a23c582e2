"""KServe's InferenceService of an exported version."""

from __future__ import annotations

import re
from typing import Any

import yaml

from nbmlops.entities import ModelVersion
from nbmlops.errors import UsageError


def inference_service(
    version: ModelVersion,
    *,
    name: str,
    image: str,
    no_auth: bool,
    canary: float | None,
) -> str:
    """Return the YAML of an InferenceService, or of a patch that adds a canary."""
    name = kubernetes_name(name)
    predictor = _predictor(name, image, no_auth=no_auth)
    if canary is not None:
        beside = {"predictor": predictor, "trafficPercent": _percent(canary)}
        return _yaml({"spec": {"canary": [beside]}})
    annotations = {"nbmlops/version": f"{version.model}/{version.version}"}
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"predictor": predictor},
    }
    return _yaml(document)


def _predictor(name: str, image: str, *, no_auth: bool) -> dict[str, Any]:
    environment: list[dict[str, Any]] = [{"name": "PROTOCOL", "value": "v2"}]
    if not no_auth:
        secret = {"secretKeyRef": {"name": f"{name}-token", "key": "token"}}
        environment.append({"name": "NBMLOPS_ENDPOINT_TOKEN", "valueFrom": secret})
    container = {
        "name": "kserve-container",
        "image": image,
        "env": environment,
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        # It listens once the model is loaded and has answered its input example.
        "readinessProbe": {"tcpSocket": {"port": 8080}},
    }
    return {"containers": [container]}


def kubernetes_name(name: str) -> str:
    """Return a name as Kubernetes takes it.

    >>> kubernetes_name("My_churn.v2")
    'my-churn-v2'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50] or "endpoint"


def _percent(share: float) -> int:
    percent = round(share * 100)
    if not 0 <= percent <= 100 or abs(percent - share * 100) > 1e-9:
        raise UsageError(
            f"KServe takes whole percents from 0 to 100, not a share of {share}.",
            fix="Give 10%, say.",
        )
    return percent


def _yaml(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
