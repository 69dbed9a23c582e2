"""A virtual environment with the very packages that a run had."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from filelock import FileLock

from nbmlops._hashing import set_hash
from nbmlops.errors import DependencyError
from nbmlops.execution.kernels import KernelEnvironment

_FIX = "Replay it without its environment, or make the packages available."
_INSTALL_S = 3600


def make_environment(
    home: Path, pins: Sequence[str], *, python: str
) -> KernelEnvironment:
    """Return where kernels run with given packages; made once and kept.

    ``uv`` makes the environment when it is on the ``PATH``, else Python's own ``venv``
    and pip. What is installed here in the same version, but not from an index (this
    package itself in a clone of it, say), is copied from here as it is installed.
    """
    if not any(pin.startswith("ipykernel==") for pin in pins):
        raise DependencyError(
            "The run's environment had no ipykernel to run a notebook with.", fix=_FIX
        )
    folder = home / "envs" / set_hash([*pins, f"python=={python}"])[:16]
    done = folder / "nbmlops-made"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                _make(folder, pins, ".".join(python.split(".")[:2]))
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            done.touch()
    path = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", "")])
    return KernelEnvironment(
        kernels=folder / "kernels", env={"PATH": path, "VIRTUAL_ENV": str(folder)}
    )


def _make(folder: Path, pins: Sequence[str], python: str) -> None:
    local = _not_from_an_index(pins)
    wanted = [pin for pin in pins if pin not in local]
    uv = shutil.which("uv")
    own = "{}.{}".format(*sys.version_info)
    interpreter = folder / "bin" / "python"
    if uv:
        _run([uv, "venv", "--quiet", "--python", python or own, str(folder)])
        install = [uv, "pip", "install", "--quiet", "--python", str(interpreter)]
    elif python in ("", own):
        _run([sys.executable, "-I", "-m", "venv", str(folder)])
        install = [str(interpreter), "-I", "-m", "pip", "install", "--quiet"]
    else:
        raise DependencyError(
            f"The run had Python {python}, and this is Python {own}.",
            fix="Install uv, which brings Pythons along.",
        )
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(wanted), encoding="utf-8")
    _run([*install, "--no-deps", "--requirement", str(requirements)])
    for distribution in local.values():
        _copy(distribution, _site_packages(interpreter))
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    command = [str(interpreter), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    text = json.dumps({"argv": command, "display_name": "replay", "language": "python"})
    (spec / "kernel.json").write_text(text, encoding="utf-8")


def _not_from_an_index(pins: Iterable[str]) -> dict[str, Distribution]:
    """Return what is installed here from elsewhere than an index, by its pin."""
    wanted = set(pins)
    return {
        pin: distribution
        for distribution in distributions()
        for pin in [f"{distribution.metadata['Name']}=={distribution.version}"]
        if pin in wanted and distribution.read_text("direct_url.json")
    }


def _copy(distribution: Distribution, target: Path) -> None:
    """Copy the files of an installed package; of an editable one, what points to it."""
    for file in distribution.files or ():
        source = Path(str(distribution.locate_file(file)))
        if ".." not in file.parts and source.is_file():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / file)


def _site_packages(interpreter: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(_run([str(interpreter), "-I", "-c", code]).strip())


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(  # noqa: S603 - our own words and paths
        command, capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    if done.returncode:
        lines = [line.strip(" ×╰─▶│·") for line in done.stderr.splitlines()]  # noqa: RUF001
        said = " ".join(line for line in lines if line)
        said = re.sub(r"\s+", " ", said)[:400] or f"exit code {done.returncode}"
        raise DependencyError(
            f"The run's environment could not be made: {said}.", fix=_FIX
        )
    return done.stdout
