"""Which notebook runs this code, by the path it has now."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

_SERVER_TIMEOUT_S = 0.25
_FRESH_S = 1.0
_ASK_AGAIN_S = 60.0  # a server that does not answer is left alone so long
_RUNS_NOTEBOOKS = frozenset(
    {"papermill", "nbconvert", "jupyter-nbconvert", "execute", "jupyter-execute"}
)
"""Words of a command that runs the notebooks it names."""
_CONNECTION_FILE = re.compile(r"kernel-(?P<id>[\w-]+)\.json")


def kernel_id() -> str | None:
    """Return the id that the Jupyter server knows this kernel by."""
    launched = sys.argv[0] if sys.argv else ""
    if "ipykernel" not in sys.modules or "ipykernel_launcher" not in launched:
        return None
    found = (_CONNECTION_FILE.fullmatch(Path(word).name) for word in sys.argv)
    return next((match["id"] for match in found if match), None)


class NotebookPath:
    """Finds the notebook of this process, which may be renamed while it is open."""

    def __init__(self) -> None:
        self._found: str | None = None
        self._ask_at = 0.0

    def find(self, environ: Mapping[str, str]) -> str | None:
        """Return the notebook's path, or None where nothing tells it."""
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None else None
        known = environ.get("JPY_SESSION_NAME")
        if shell is None:
            return known
        known = shell.user_ns.get("__vsc_ipynb_file__") or known
        if not known:
            if self._found is None:
                self._found = _of_parent() or ""
            return self._found or None
        now = time.monotonic()
        if "JPY_PARENT_PID" in environ and now >= self._ask_at:
            path = _of_session(environ["JPY_PARENT_PID"])
            self._ask_at = now + (_FRESH_S if path else _ASK_AGAIN_S)
            self._found = path or self._found
        return self._found or str(known)


def _of_session(server_pid: str) -> str | None:
    """Ask the Jupyter server that started this kernel for the path of its session."""
    import http.client

    from jupyter_core.paths import jupyter_runtime_dir

    own = kernel_id()
    if own is None or not server_pid.isdecimal():
        return None
    try:
        text = Path(jupyter_runtime_dir(), f"jpserver-{server_pid}.json").read_text()
        server: dict[str, Any] = json.loads(text)
        url = urlsplit(server["url"])
        if url.scheme != "http":
            return None
        connection = http.client.HTTPConnection(
            url.hostname or "", url.port, timeout=_SERVER_TIMEOUT_S
        )
        headers = {"Authorization": f"token {server['token']}"}
        connection.request("GET", f"{url.path}api/sessions", headers=headers)
        sessions: Any = json.loads(connection.getresponse().read())
        for session in sessions:
            if session["kernel"]["id"] == own and session["type"] == "notebook":
                return str(Path(server["root_dir"], session["path"]))
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        pass  # the name from the start of the kernel is what is left
    return None


def _of_parent() -> str | None:
    """Return the one notebook that the command of the parent process names."""
    try:
        parent = psutil.Process(os.getppid())
        words, folder = parent.cmdline(), parent.cwd()
    except psutil.Error:
        return None
    names = {Path(word).name for word in words}
    if not names & _RUNS_NOTEBOOKS:
        return None
    named = [Path(folder, word) for word in words if word.endswith(".ipynb")]
    found = [path for path in named if path.is_file()]
    # papermill is given the notebook and where to write its outputs
    is_sure = len(found) == 1 or (found and "papermill" in names)
    return str(found[0]) if is_sure else None


NOTEBOOK = NotebookPath()
"""That of this process."""
