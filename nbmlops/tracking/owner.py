"""Which process a run belongs to."""

from __future__ import annotations

import os
import socket

import psutil


def owner() -> str:
    """Return ``host:pid:start-time`` of this process.

    Returns
    -------
    str
        The start time in seconds since 1970 tells a reused process id apart.
    """
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{psutil.Process(pid).create_time():.2f}"
