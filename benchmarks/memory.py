"""Peak memory of the whole demo: JupyterLab's server, kernel, runner and endpoint.

The proportional set size of the processes is summed five times a second while the
server answers the sidebar and `nbmlops demo` runs beside it.

    python benchmarks/memory.py
"""

import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "quickstart.ipynb"


def main() -> None:
    """Run the demo beside a server and print the peak."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "project")
        (root / ".nbmlops").mkdir(parents=True)
        (root / "notebooks").mkdir()
        shutil.copy(NOTEBOOK, root / "notebooks")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        token = secrets.token_hex(16)
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *(f"--port={port}", f"--IdentityProvider.token={token}"),
            ],
            cwd=root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            ask(port, token)
            demo = subprocess.Popen(
                [sys.executable, "-m", "nbmlops.cli", "demo", "--no-lab"],
                cwd=root,
                stdout=subprocess.DEVNULL,
            )
            peak = 0
            while demo.poll() is None:
                ask(port, token)  # the store is there soon, and MLflow comes in
                endpoints = [
                    p.pid
                    for p in psutil.process_iter(["cmdline"])
                    if "nbmlops.deployment.supervisor"
                    in " ".join(p.info["cmdline"] or [])
                ]
                peak = max(peak, pss(server.pid, demo.pid, *endpoints))
                time.sleep(0.2)
            loaded = pss(server.pid)
        finally:
            server.terminate()
            server.wait(30)
        print(f"the server, MLflow loaded  {loaded / 2**20:6.0f} MiB")
        print(f"peak of all processes      {peak / 2**20:6.0f} MiB")
        sys.exit(demo.returncode)


def ask(port: int, token: str) -> None:
    """Ask the server for the models, until it answers."""
    url = f"http://127.0.0.1:{port}/nbmlops/api/models?token={token}"
    for _ in range(300):
        with suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(url, timeout=60).close()
            return
        time.sleep(0.2)
    sys.exit("the server did not answer")


def pss(*roots: int) -> int:
    """Return the memory of processes and their children, shared pages split."""
    total, seen = 0, set()
    for root in roots:
        with suppress(psutil.Error):
            process = psutil.Process(root)
            for each in (process, *process.children(recursive=True)):
                if each.pid not in seen:
                    seen.add(each.pid)
                    with suppress(psutil.Error):
                        total += each.memory_full_info().pss
    return total


if __name__ == "__main__":
    main()
