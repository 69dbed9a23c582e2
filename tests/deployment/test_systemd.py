"""The systemd unit that starts a project's endpoints."""

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbmlops.cli.main import invoke
from nbmlops.deployment.systemd import endpoints_unit
from nbmlops.errors import UsageError


def parsed(unit):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(unit)
    return parser


def test_the_unit_runs_endpoints_up_in_the_project(project, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hush@tracking.example")
    monkeypatch.setenv("NBMLOPS_SECRET", "hush")
    assert invoke(["endpoints", "systemd", "--output", "my.service"]) == 0
    assert f"'{project / 'my.service'}'" in capsys.readouterr().out
    assert invoke(["endpoints", "systemd"]) == 0
    unit = (project / "my.service").read_text("utf-8")
    assert capsys.readouterr().out == unit
    assert "hush" not in unit
    service = parsed(unit)["Service"]
    assert (service["Type"], service["RemainAfterExit"]) == ("oneshot", "yes")
    assert service["WorkingDirectory"] == str(project)
    words = shlex.split(service["ExecStart"].removeprefix(":"))
    assert Path(words[0]).is_absolute()
    assert words[1:] == ["-P", "-m", "nbmlops.cli", "endpoints", "up"]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_takes_the_unit_of_a_folder_with_odd_characters(tmp_path, monkeypatch):
    folder = tmp_path / "50% $HOME's"
    folder.mkdir()
    python = tmp_path / "100% $HOME" / "py thon"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    path = tmp_path / "odd.service"
    path.write_text(endpoints_unit(folder), "utf-8")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", path],
        capture_output=True,
        text=True,
    )
    assert "odd.service" not in found.stderr, found.stderr
    assert found.returncode == 0, found.stderr
    path.write_text(path.read_text("utf-8").replace("py thon", "python"), "utf-8")
    wrong = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", path],
        capture_output=True,
        text=True,
    )
    assert "python" in wrong.stderr


def test_a_path_that_systemd_cannot_have_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="systemd takes no path"):
        endpoints_unit(tmp_path / "two\nlines")
    monkeypatch.setattr(sys, "executable", "/home/o'hara/bin/python")
    with pytest.raises(UsageError, match="o'hara"):
        endpoints_unit(tmp_path)
