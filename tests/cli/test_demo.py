import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import nbmlops as nm
from nbmlops.cli import demo
from nbmlops.cli.main import invoke
from nbmlops.errors import UsageError
from nbmlops.store import connect
from nbmlops.store.registry.versions import list_versions
from nbmlops.store.runs.queries import list_runs

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


def python(code):
    """Return a command line that runs the code."""
    return shlex.join([sys.executable, "-c", code])


@pytest.mark.kernel
@pytest.mark.server
def test_demo_does_the_main_job_and_a_second_one_says_what_it_reused(
    project, capsys, monkeypatch
):
    (project / "notebooks").mkdir()
    shutil.copy(QUICKSTART, project / "notebooks")
    assert invoke(["demo", "--no-lab"]) == 0
    reported = capsys.readouterr().out
    assert re.findall(r"\[(\d)/4\]", reported) == ["1", "2", "3", "4"]
    assert "(new)" in reported
    assert "endpoint credit stopped" in reported
    right, n_rows = map(int, re.search(r"(\d+) of (\d+) right", reported).groups())
    assert n_rows == 891
    assert right > 0.75 * n_rows  # 641 are good: better than saying so of everyone
    runs = list_runs(connect())
    assert {run.name: run.status for run in runs} == dict.fromkeys(
        ("quickstart", "linear", "forest", "boosting"), "FINISHED"
    )
    cells = [run for run in runs if run.parent_run_id]
    assert {run.source for run in cells} == {"notebooks/quickstart.ipynb"}
    assert all(run.model_id and run.params["seed"] == "7" for run in cells)
    assert nm.endpoints() == ()

    opened = []
    monkeypatch.setattr(
        demo, "_open_lab", lambda _: opened.append(Path("built").read_text())
    )
    build = python("open('built', 'w').write('yes')")
    assert invoke(["demo", "--lab", "--before-lab", build]) == 0
    assert opened == ["yes"]
    again = capsys.readouterr().out
    assert "(reused, 4 runs)" in again
    assert "registered model credit reused: it had 1 before" in again
    versions = list_versions(connect(), "credit")
    assert [(v.version, v.aliases) for v in versions] == [(2, ("champion",)), (1, ())]


def test_demo_outside_of_a_clone_says_what_is_missing(project, capsys):
    # An editable install has no notebooks in the package; a wheel brings them.
    assert not (Path(nm.__file__).parent / "notebooks").exists()
    assert invoke(["demo", "--no-lab"]) == 2
    assert "quickstart.ipynb is missing" in capsys.readouterr().err


def test_failure_of_the_command_before_jupyterlab_is_shown(capfd):
    command = python("print('no such package'); raise SystemExit(3)")
    with (
        demo._in_background(command) as wait,
        pytest.raises(UsageError, match="failed"),
    ):
        wait()
    assert "no such package" in capfd.readouterr().err


def test_command_before_jupyterlab_ends_with_a_demo_that_fails(tmp_path):
    code = f"import time; time.sleep(60); open({str(tmp_path / 'late')!r}, 'w')"
    with pytest.raises(ZeroDivisionError), demo._in_background(python(code)):
        raise ZeroDivisionError
    assert not (tmp_path / "late").exists()
