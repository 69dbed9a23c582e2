"""A request log on a disk that is full for a while; run where mounting is allowed."""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from nbmlops.deployment.request_log import read_log
from nbmlops.serving.request_log.requests import RequestLog
from tests.faults.full_disk import Ballast
from tests.serving.logged import BOUNDS, COLUMNS, request


def main():
    """Log ten requests, fifty on a full disk, ten more; print what became of them."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], check=True
        )
        root = Path(folder) / "requests"
        ballast = Ballast(Path(folder) / "ballast")
        dropped = 0
        for n, is_full in ((10, False), (50, True), (10, False)):
            if is_full:
                ballast.fill()
            log = RequestLog(root, COLUMNS, **BOUNDS)
            for _ in range(n):
                log.append(request(np.random.rand(1, 2), [0.5]))
            log.close()
            dropped += log.dropped
            ballast.remove()
        said = {
            "dropped": dropped,
            "logged": len(read_log(root)),
            "left": len(list(root.rglob("*.tmp"))),
        }
        subprocess.run(["umount", "--lazy", folder], check=True)
    print(json.dumps(said))  # noqa: T201


if __name__ == "__main__":
    main()
