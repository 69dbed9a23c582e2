"""How far a notebook has come: reported, in a terminal, below a cell."""

import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from nbmlops.execution.run import run_notebook
from nbmlops.tracking.run import attempts
from tests.kernels import kernel
from tests.notebooks import write_notebook

CELLS = [
    "import time",
    "token = 'ghp_0123456789abcdefghijABCDEFGHIJ012345'\ntime.sleep(0.7)",
    "x = 1",
]


@pytest.fixture
def another_script(monkeypatch):
    """Return a function after which runs are as those of a script begun anew."""

    def begin():
        monkeypatch.setattr(attempts, "_execution", attempts._Execution())

    return begin


def test_each_cell_that_begins_is_reported_with_what_it_took_the_last_time(
    store, project, another_script
):
    path = write_notebook(project / "a.ipynb", CELLS)
    for attempt in (1, 2):
        another_script()
        reported = []
        run_notebook(path, store=store, on_progress=reported.append)
        assert [(p.n_done, p.n_cells) for p in reported] == [
            (n, 3) for n in (0, *range(4))
        ]
        assert [p.cell for p in reported] == [
            "",
            "import time",
            "token = '[masked]'",
            "x = 1",
            "",
        ]
        expected = {p.expected_s for p in reported}
        assert expected == {None} if attempt == 1 else expected.pop() > 0.7


def test_how_long_a_failed_attempt_took_tells_nothing(store, project, another_script):
    path = write_notebook(project / "a.ipynb", ["1 / 0"])
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run_notebook(path, store=store)
    write_notebook(path, ["1"])
    another_script()
    reported = []
    run_notebook(path, store=store, on_progress=reported.append)
    assert {p.expected_s for p in reported} == {None}


def test_a_terminal_shows_a_bar_while_it_runs_and_a_pipe_does_not(project):
    write_notebook(project / "a.ipynb", CELLS)
    command = [sys.executable, "-m", "nbmlops.cli", "run", "a.ipynb"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # what Linux says when the other side is closed
            while read := os.read(ours, 10_000):
                seen += read
        result = process.stdout.read()
    os.close(ours)
    text = seen.decode()
    assert "1 of 3 cells" in text
    assert "█" in text
    assert text.endswith("\r\x1b[K")
    assert b"FINISHED" in result
    assert b"\r" not in result
    done = subprocess.run(command, cwd=project, capture_output=True, check=True)
    assert b"cells" not in done.stderr


@pytest.mark.kernel
def test_a_bar_stands_below_the_cell_that_runs_a_notebook(project):
    write_notebook(project / "a.ipynb", CELLS)
    with kernel(project) as k:
        reply = k.run("import nbmlops as nm\nstep = nm.run_notebook('a.ipynb')")
    assert reply.status == "ok", reply.text
    shown = [
        message["content"]["data"]["text/html"]
        for message in reply.outputs
        if message["msg_type"] in ("display_data", "update_display_data")
    ]
    assert reply.count("display_data") == 1
    assert shown[0].startswith('<progress value="0" max="3">')
    assert shown[-1].startswith('<progress value="3" max="3">')
