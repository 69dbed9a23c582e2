"""Where model versions answer: local endpoints, each a process of its own."""

from nbmlops.deployment.handle import EndpointHandle
from nbmlops.deployment.local import (
    deploy,
    example,
    get_endpoint,
    list_endpoints,
    predict,
    read_token,
    undeploy,
)

__all__ = [
    "EndpointHandle",
    "deploy",
    "example",
    "get_endpoint",
    "list_endpoints",
    "predict",
    "read_token",
    "undeploy",
]
