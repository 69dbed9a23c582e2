"""Local endpoints: processes that serve model versions.

Starts, lists, calls and stops them, and keeps their records. What runs inside such a
process is `nbmlops.serving`; registering and aliases meet them in `nbmlops.lifecycle`.
"""

from nbmlops.deployment.handle import EndpointHandle

__all__ = ["EndpointHandle"]
