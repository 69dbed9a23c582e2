"""A run in a process of its own ends with the one that started it."""

import os
import signal
import subprocess
import sys

import pytest

from nbmlops.config import load_settings
from nbmlops.errors import ConflictError, NotFoundError
from nbmlops.execution.progress.reader import find_newest, get_live, owner_of
from nbmlops.pipeline.background import launch
from nbmlops.store import connect
from nbmlops.store.runs.queries import list_runs
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import ROOT, wait_until

STARTER = """
import sys
from pathlib import Path
from nbmlops.config import load_settings
from nbmlops.pipeline.background import launch
launch(load_settings(), "step", Path("wait.ipynb").resolve(), {})
sys.stdin.read()
"""


@pytest.mark.kernel
def test_it_does_not_go_on_when_its_starter_is_killed(project):
    write_notebook(
        project / "wait.ipynb",
        ["open('begun', 'w').close()", "import time\nwhile True: time.sleep(0.05)"],
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER],
        stdin=subprocess.PIPE,
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    wait_until((project / "begun").exists)
    settings = load_settings(project)
    run = find_newest(settings.home, "wait.ipynb", "step")
    assert run.status == "RUNNING"
    with pytest.raises(ConflictError, match="under way"):
        launch(settings, "step", project / "wait.ipynb", {})
    owner = owner_of(settings.home, run.id)
    starter.send_signal(signal.SIGKILL)
    starter.communicate()
    wait_until(lambda: owner.is_dead(last_heartbeat=None, now=0))
    assert get_live(settings.home, run.id).status == "KILLED"
    (recorded,) = list_runs(connect(settings)).items
    assert recorded.status == "KILLED"


def test_progress_of_another_format_is_named_and_says_how_to_be_rid_of_it(project):
    home = load_settings(project).home
    folder = home / "pipelines" / "live" / ("0" * 32)
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"format": 0, "steps": []}')
    with pytest.raises(NotFoundError) as caught:
        get_live(home, folder.name)
    assert "is damaged or of another format" in caught.value.problem
    assert str(folder) in caught.value.fix
    assert find_newest(home, "a.ipynb", "step") is None
