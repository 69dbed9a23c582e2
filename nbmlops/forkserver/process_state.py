"""What a process has from the one that started it, for a fork to take on."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from typing import Any

_LIMITS = tuple(
    getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")
)


def process_state(env: Mapping[str, str], folder: str) -> dict[str, Any]:
    """Return what a process would have that this one starts, as JSON takes it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "env": dict(env),
        "folder": folder,
        "umask": umask,
        "cpus": sorted(os.sched_getaffinity(0)),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "limits": [(kind, resource.getrlimit(kind)) for kind in _LIMITS],
    }
