"""Every page of the documentation runs, top to bottom."""

import re
import shlex
from pathlib import Path

import pytest

from nbmlops.cli.main import invoke
from nbmlops.store import fluent
from tests.environment import hide_environment
from tests.kernels import kernel

ROOT = Path(__file__).parents[1]
REPLAY = ROOT / "docs" / "replay.md"
PAGES = sorted({*(ROOT / "docs").glob("*.md"), ROOT / "README.md"} - {REPLAY})
_NEXT_PAGE = (
    "%reset_selective -f ^(?!_|In$|Out$|exit$|quit$|open$|get_ipython$)\n"
    "import os\n"
    "os.environ['NBMLOPS_EXPERIMENT'] = {experiment!r}\n"
    "os.chdir({folder!r})"
)
# ```python is a cell, ```console has lines "$ nbmlops ...", and a comment that begins
# with "run" is a cell the reader is spared.
_BLOCK = re.compile(
    r"^```(?P<kind>python|console)\n(?P<code>.*?)^```$|^<!-- run\n(?P<hidden>.*?)^-->$",
    re.DOTALL | re.MULTILINE,
)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Give the project and the kernel of somebody who reads one page after another."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / ".nbmlops").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        hide_environment(patch)  # it begins before a test's own environment
        with kernel(folder) as k:
            yield folder, k


@pytest.mark.kernel
@pytest.mark.server
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_page_runs(page, reader, monkeypatch):
    project, k = reader
    folder = project / page.stem
    folder.mkdir()
    experiment = f"docs {page.stem}"
    monkeypatch.setenv("NBMLOPS_EXPERIMENT", experiment)
    monkeypatch.chdir(folder)
    begin = _NEXT_PAGE.format(experiment=experiment, folder=str(folder))
    assert k.run(begin).status == "ok"
    _read(page, k, monkeypatch)


@pytest.mark.slow
@pytest.mark.kernel
def test_the_page_on_replays_runs_in_a_kernel_of_its_own(project, monkeypatch):
    monkeypatch.setenv("NBMLOPS_EXPERIMENT", "docs replay")
    with kernel(project) as k:
        _read(REPLAY, k, monkeypatch)


def _read(page, k, monkeypatch):
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["kind"] == "console":
            _run_commands(block["code"], monkeypatch)
        else:
            reply = k.run(block["code"] or block["hidden"], timeout=120)
            assert reply.status == "ok", f"{block[0]}\n{reply.text}"


def _run_commands(block, monkeypatch):
    for line in block.splitlines():
        if not line.startswith("$ nbmlops "):
            continue
        words = shlex.split(line)[2:]
        monkeypatch.setattr(fluent, "_tracked_into", {})  # as in a new process
        assert invoke(words) == 0, line
