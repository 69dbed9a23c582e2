"""The Jupyter server extension: nbmlops over REST, below ``nbmlops/api/``."""

from nbmlops.server.extension import Extension

__all__ = ["Extension"]
