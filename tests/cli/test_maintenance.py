import json
import os

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbmlops.cli.main import invoke
from nbmlops.forkserver import runtime_dir
from tests.forkserver.test_forks import wait_until


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
    reported = capfd.readouterr().out
    assert all(str(each["pid"]) in reported for each in parents)
    wait_until(lambda: not any(psutil.pid_exists(each["pid"]) for each in parents))
    assert invoke(["warm", "stop"]) == 0
    assert "No process is warm" in capfd.readouterr().out


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """Return the folder of a server that listens, and does not reply."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (folder := runtime_dir.home_of(os.environ) / "0123456789abcdef").mkdir()
    with runtime_dir.listen(folder):
        yield folder


def test_a_parent_that_imports_is_listed(parent, capfd):
    assert invoke(["warm", "status"]) == 0
    assert str(os.getpid()) in capfd.readouterr().out
    assert invoke(["warm", "status", "--json"]) == 0
    assert '"state": "importing"' in capfd.readouterr().out


def test_a_folder_that_others_can_write_to_is_refused_in_two_lines(parent, capfd):
    parent.parent.chmod(0o777)
    for word in ("status", "stop"):
        assert invoke(["warm", word]) == 2
        problem, fix = capfd.readouterr().err.splitlines()
        assert "is not a folder that only you can write to" in problem
        assert "XDG_RUNTIME_DIR" in fix


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "nbmlops").touch()
    assert invoke(["warm", "status"]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 2
