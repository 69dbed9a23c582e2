"""Processes that send a project's journals, many of them at once."""

import subprocess
import time

from filelock import FileLock

import nbmlops as nm
from nbmlops.processes import python_command
from nbmlops.tracking.journal.reader import list_journals
from nbmlops.tracking.run.deferred import DeferredRun


def test_one_sends_one_waits_and_the_others_leave_at_once(store, project):
    home = store.settings.home
    with FileLock(home / "sync.lock"):
        started = [
            subprocess.Popen(
                python_command("nbmlops.tracking.sync.worker"),
                cwd=project,
            )
            for _ in range(4)
        ]
        deadline = time.monotonic() + 60
        while sum(each.poll() is None for each in started) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run = DeferredRun(
            store, name="late", experiment="main", kind="step", source="a.ipynb"
        )
        run.log(loss=0.5)
        run.end("FINISHED")
        assert list_journals(home)
    assert [each.wait(timeout=60) for each in started] == [0] * 4
    assert not list_journals(home)
    (found,) = nm.runs(experiment="main").page.items
    assert (found.name, found.status, found.metrics) == (
        "late",
        "FINISHED",
        {"loss": 0.5},
    )
