"""The Jupyter server extension: nbmlops over REST, below ``nbmlops/api/``.

Routes parse, call and answer; events say what has changed. Nothing here unpickles or
runs code of the project.
"""

from nbmlops.server.extension import Extension

__all__ = ["Extension"]
