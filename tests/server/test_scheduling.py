"""Jobs of a real jupyter-scheduler, which is installed for these tests alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbmlops.errors import DependencyError
from nbmlops.server.scheduling import ExecutionManager
from nbmlops.store import artifacts, connect
from nbmlops.store.runs.queries import list_runs
from tests.notebooks import write_notebook

ROOT = Path(__file__).parents[2]
NEEDED = ("jupyter-scheduler>=2.12,<3", "croniter>=1.4,<2", "pytz<=2024.2")
JOB = """
import json, sys, time
from jupyter_scheduler.environments import StaticEnvironmentManager
from jupyter_scheduler.models import CreateJob
from jupyter_scheduler.orm import create_tables
from jupyter_scheduler.scheduler import Scheduler
from nbmlops.server.scheduling import ExecutionManager

class Plain(Scheduler):
    task_runner_class = None

if __name__ == "__main__":
    root, database = sys.argv[1:3]
    create_tables(f"sqlite:///{database}")
    scheduler = Plain(
        root_dir=root,
        environments_manager=StaticEnvironmentManager(),
        db_url=f"sqlite:///{database}",
        staging_path=f"{root}/staging",
        execution_manager_class=ExecutionManager,
    )
    reported = []
    for given in json.loads(sys.argv[3]):
        job = CreateJob(
            input_uri="notebooks/train.ipynb", runtime_environment_name="here",
            runtime_environment_parameters={}, output_formats=["ipynb", "html"],
            name="nightly", parameters=given,
        )
        job_id = scheduler.create_job(job)
        deadline = time.monotonic() + 240
        while True:
            found = scheduler.get_job(job_id, False)
            if found.status in ("COMPLETED", "FAILED"):  # at first it is STOPPED
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        paths = scheduler.get_staging_paths(found)
        reported.append([found.status, found.status_message, found.end_time, paths])
    print(json.dumps(reported, default=str))
"""


def test_without_it_the_extra_is_named(monkeypatch):
    if ExecutionManager.__mro__[1].__module__.startswith("jupyter_scheduler"):
        pytest.skip("jupyter-scheduler is installed")
    with pytest.raises(DependencyError, match="nbmlops\\[scheduler\\]"):
        ExecutionManager("id", "", "", {})


@pytest.mark.slow
def test_a_job_is_a_tracked_step_with_checked_parameters(project, tmp_path):
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--target", site, *NEEDED], check=True)
    (tmp_path / "job.py").write_text(JOB)
    write_notebook(
        project / "notebooks/train.ipynb",
        ["print(C, kind)", "1 / C"],
        parameters="C: float = 1.0\nkind: str = 'a'",
    )
    given = json.dumps(
        [{"C": "0.5", "kind": "5; import os"}, {"C": "much"}, {"C": "0"}]
    )
    path = os.pathsep.join(map(str, (ROOT, site, os.environ.get("PYTHONPATH", ""))))
    done = subprocess.run(
        [sys.executable, tmp_path / "job.py", project, tmp_path / "jobs.db", given],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    good, bad, failed = json.loads(done.stdout.splitlines()[-1])
    assert good[0] == "COMPLETED", (good, done.stderr)
    assert "0.5 5; import os" in Path(good[3]["ipynb"]).read_text()
    assert "<html" in Path(good[3]["html"]).read_text()
    assert (bad[0], failed[0]) == ("FAILED", "FAILED")
    assert "Parameter 'C' is 'much' (str), not float." in bad[1]
    assert "ZeroDivisionError" in failed[1]
    assert failed[2] is not None
    assert "ZeroDivisionError" in Path(failed[3]["ipynb"]).read_text()

    newest, oldest = list_runs(connect()).items
    assert [newest.status, oldest.status] == ["FAILED", "FINISHED"]
    assert (oldest.name, oldest.source) == ("nightly", "train.ipynb")
    assert oldest.params == {"C": "0.5", "kind": "5; import os"}
    assert artifacts.read_file(connect(), oldest.run_id, "nbmlops/notebook.html")
