import json

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbmlops.cli.main import invoke
from tests.pipeline.test_warm import wait_until


@pytest.mark.kernel
def test_status_names_the_parent_of_a_run_and_stop_ends_it(
    project, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert invoke(["warm", "status"]) == 0
    assert "No process is warm" in capfd.readouterr().out
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), project / "a.ipynb")
    assert invoke(["run", "a.ipynb", "--cold"]) == 0
    capfd.readouterr()
    assert invoke(["warm", "status", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == []
    assert invoke(["run", "a.ipynb"]) == 0
    capfd.readouterr()
    assert invoke(["warm", "status", "--json"]) == 0
    parents = json.loads(capfd.readouterr().out)  # of the command, and of the notebook
    assert [each["n_runs"] for each in parents] == [1, 1]
    assert all(psutil.pid_exists(each["pid"]) for each in parents)
    assert invoke(["warm", "stop"]) == 0
    told = capfd.readouterr().out
    assert all(str(each["pid"]) in told for each in parents)
    wait_until(lambda: not any(psutil.pid_exists(each["pid"]) for each in parents))
    assert invoke(["warm", "stop"]) == 0
    assert "No process is warm" in capfd.readouterr().out
