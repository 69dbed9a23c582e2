"""An alias that moves while the disk of the project is full, the store elsewhere.

Run as a script in a mount namespace of its own (``unshare -rm``). Prints what came of
it as JSON.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import nbmlops as nm
from nbmlops.config import Settings
from nbmlops.governance.audit_log import AuditLog
from nbmlops.store import connect
from nbmlops.store.registry.aliases import find_aliases
from tests.faults.full_disk import Ballast
from tests.registries import add_versions


def main() -> None:
    """Print the alias and the log on the full disk, and the log later."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as other,
    ):
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder]
        subprocess.run(mount, check=True)
        uri = f"sqlite:///{other}/mlflow.db"
        settings = Settings(project=Path(folder), tracking_uri=uri)
        store = connect(settings)
        add_versions("churn", 3, store=store)
        nm.promote("churn", 1, store=store)
        ballast = Ballast(Path(folder, "ballast"))
        ballast.fill()
        for number in range(20):  # the file's last block has room for some
            nm.promote("churn", 2 + number % 2, store=store)
        report = AuditLog(settings).verify()
        full = {
            **find_aliases(store, "churn"),
            "lines": report.n_lines,
            "faults": len(report.faults),
        }
        ballast.remove()
        nm.history("churn", store=store)
        later = [(event.what, event.after) for event in AuditLog(settings).read()[-2:]]
        subprocess.run(["umount", "--lazy", folder], check=True)
    print(json.dumps({"full": full, "later": later}))  # noqa: T201


if __name__ == "__main__":
    main()
