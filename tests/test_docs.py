"""Every page of the documentation runs, top to bottom."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels import kernel

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
# ```python is a cell, ```console has lines "$ nbmlops ...", and a comment that begins
# with "run" is a cell the reader is spared.
_BLOCK = re.compile(
    r"^```(?P<kind>python|console)\n(?P<code>.*?)^```$|^<!-- run\n(?P<hidden>.*?)^-->$",
    re.DOTALL | re.MULTILINE,
)


@pytest.mark.kernel
@pytest.mark.server
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_page_runs(page, project, monkeypatch):
    monkeypatch.setenv("NBMLOPS_EXPERIMENT", f"docs {page.stem}")
    blocks = list(_BLOCK.finditer(page.read_text(encoding="utf-8")))
    with kernel(project) as k:
        for block in blocks:
            if block["kind"] == "console":
                _run_commands(block["code"], project)
            else:
                reply = k.run(block["code"] or block["hidden"], timeout=120)
                assert reply.status == "ok", f"{block[0]}\n{reply.text}"


def _run_commands(block, project):
    for line in block.splitlines():
        if not line.startswith("$ nbmlops "):
            continue
        words = shlex.split(line)[2:]
        done = subprocess.run(
            [sys.executable, "-m", "nbmlops.cli", *words],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
