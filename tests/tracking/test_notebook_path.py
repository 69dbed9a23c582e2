"""Which notebook a run comes from, outside of JupyterLab."""

import subprocess
import sys
from pathlib import Path

import pytest

import nbmlops as nm
from tests.kernels import kernel
from tests.notebooks import write_notebook

_CELLS = ["%load_ext nbmlops", "%%track it -m z\nz = 1"]


@pytest.mark.kernel
def test_notebooks_that_nothing_tells_apart_are_not_attempts_of_one_another(project):
    for _ in range(2):
        with kernel(project) as running:
            for cell in _CELLS:
                assert running.run(cell).status == "ok"
            assert running.run(_CELLS[1]).status == "ok"
    runs = nm.runs(all=True).page.items
    assert {run.source for run in runs} == {"(unknown notebook)"}
    assert sorted(run.tags["nbmlops.attempt"] for run in runs) == ["1", "1", "2", "2"]


@pytest.mark.kernel
@pytest.mark.parametrize(
    "command",
    ["jupyter-execute IT", "papermill IT out.ipynb", "jupyter-nbconvert --execute IT"],
)
def test_command_that_runs_a_notebook_names_it(project, command):
    write_notebook(project / "deep/train.ipynb", _CELLS)
    words = command.replace("IT", "deep/train.ipynb").split()
    words[0] = str(Path(sys.executable).parent / words[0])
    if "nbconvert" in command:
        words[1:1] = ["--to", "notebook"]
    subprocess.run(words, cwd=project, check=True, capture_output=True)
    (run,) = nm.runs(all=True).page.items
    assert run.source == "deep/train.ipynb"
