"""The installed packages of this process."""

from __future__ import annotations

from functools import cache
from importlib.metadata import distributions


@cache
def installed() -> tuple[str, ...]:
    """Return ``name==version`` of every installed distribution, sorted."""
    read = (dist.metadata for dist in distributions())  # each look parses the file
    found = {each["Name"]: each["Version"] for each in read if each["Name"]}
    return tuple(sorted(f"{name}=={version}" for name, version in found.items()))
