"""Local endpoints: processes that serve model versions."""

from nbmlops.deployment.handle import EndpointHandle

__all__ = ["EndpointHandle"]
