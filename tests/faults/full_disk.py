"""A disk that is full while a run logs, with room again later.

Run as a script in a mount namespace of its own (``unshare -rm``): it mounts a small
file system, fills it while a logger is at work, kills the logger at a random moment,
makes room again, and prints the tally as JSON.
"""

import errno
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from nbmlops.store import embedded
from tests.faults.kills import ROOT, nursery, sync_and_reap
from tests.faults.ledger import Ledger, Tally

SIZE_MB = 64
FULL_FROM = 100


class Ballast:
    """A file that takes all the room there is."""

    def __init__(self, path):
        self._path = path
        self._n_acknowledged = 0

    def on_line(self, word):
        """Fill the disk once a logger has logged enough; the next one finds room."""
        if word == "open":
            self.remove()
        self._n_acknowledged += word == "ack"
        if self._n_acknowledged == FULL_FROM:
            self.fill()

    def fill(self):
        """Write until not one byte is left."""
        with self._path.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def remove(self):
        """Make room again."""
        self._path.unlink(missing_ok=True)
        self._n_acknowledged = 0


def fill_disks(n, seed):
    """Return the tally of ``n`` loggers that are killed, most on a full disk."""
    source, ledger = random.Random(seed), Ledger()  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "none", folder],
            check=True,
        )
        (project / ".nbmlops").mkdir()
        embedded.ensure(project / ".nbmlops")
        ballast = Ballast(project / "ballast")
        with nursery(project) as forks:
            forks.kill_many(
                ledger, n, source, logger="nbmlops", on_line=ballast.on_line
            )
            ballast.remove()
        sync_and_reap(project)
        tally = ledger.compare(embedded.tracking_uri(project / ".nbmlops"))
        subprocess.run(["umount", "--lazy", folder], check=True)
    return tally


def in_namespace(n, seed):
    """Return the tally of `fill_disks`, done where mounting is allowed."""
    done = subprocess.run(
        [
            *("unshare", "-rm"),
            *(sys.executable, "-m", "tests.faults.full_disk", str(n), str(seed)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Tally(**json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(asdict(fill_disks(int(sys.argv[1]), int(sys.argv[2])))))  # noqa: T201
