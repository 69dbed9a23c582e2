"""Environments made of pins, without any index but a folder of wheels."""

import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from nbmlops.errors import DependencyError
from nbmlops.execution.environments import make_environment
from tests.wheels import plant


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Return a folder of wheels that is all there is to install from."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for tool in ("UV", "PIP"):
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    return folder


def without_uv(monkeypatch):
    folders = os.environ["PATH"].split(os.pathsep)
    kept = [folder for folder in folders if not Path(folder, "uv").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))


@pytest.mark.parametrize("has_uv", [True, False])
def test_environment_has_its_pins_and_what_is_only_here(
    wheels, tmp_path, monkeypatch, has_uv
):
    plant(wheels, "ipykernel", "99.0")
    if not has_uv:
        without_uv(monkeypatch)
    own = f"nbmlops=={version('nbmlops')}"
    home = tmp_path / "home"
    place = make_environment(home, ["ipykernel==99.0", own], python="")
    spec = json.loads((place.kernels / "python3" / "kernel.json").read_text())
    code = (
        "from importlib.metadata import version\n"
        "print(version('ipykernel'), version('nbmlops'))"
    )
    done = subprocess.run(
        [spec["argv"][0], "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={name: v for name, v in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.stdout.split() == ["99.0", version("nbmlops")]
    made = place.kernels.stat().st_mtime_ns
    again = make_environment(home, [own, "ipykernel==99.0"], python="")
    assert again.kernels.stat().st_mtime_ns == made


def test_package_that_cannot_be_had_is_named_and_nothing_is_left(wheels, tmp_path):
    with pytest.raises(DependencyError, match=r"ipykernel"):
        make_environment(tmp_path / "home", ["ipykernel==98.0"], python="")
    left = [path for path in (tmp_path / "home" / "envs").iterdir() if path.is_dir()]
    assert left == []


def test_environment_without_a_kernel_is_refused(tmp_path):
    with pytest.raises(DependencyError, match="no ipykernel"):
        make_environment(tmp_path, ["numpy==2.0"], python="")


def test_other_python_needs_uv(wheels, tmp_path, monkeypatch):
    without_uv(monkeypatch)
    with pytest.raises(DependencyError, match="The run had Python 2"):
        make_environment(tmp_path, ["ipykernel==99.0"], python="2.7.18")
