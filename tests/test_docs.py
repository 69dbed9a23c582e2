"""Every page of the documentation runs, top to bottom."""

import re
import shlex
from pathlib import Path

import pytest

from nbmlops.cli.main import invoke
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
                _run_commands(block["code"])
            else:
                reply = k.run(block["code"] or block["hidden"], timeout=120)
                assert reply.status == "ok", f"{block[0]}\n{reply.text}"


def _run_commands(block):
    for line in block.splitlines():
        if not line.startswith("$ nbmlops "):
            continue
        words = shlex.split(line)[2:]
        assert invoke(words) == 0, line
