"""The command `papermill --engine nbmlops`, found by its entry point."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


@pytest.fixture
def papermill(tmp_path):
    """Return a function that runs papermill with the entry points of this checkout."""
    about = tmp_path / "site" / "here-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: here\nVersion: 0\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["papermill.engine"]
    lines = [f"{name} = {value}" for name, value in points.items()]
    (about / "entry_points.txt").write_text(
        "\n".join(["[papermill.engine]", *lines, ""])
    )

    def run(*cells, options=()):
        notebook = new_notebook(
            cells=[
                new_code_cell("a = 1", metadata={"tags": ["parameters"]}),
                *map(new_code_cell, cells),
            ],
            metadata={"kernelspec": KERNEL},
        )
        nbformat.write(notebook, tmp_path / "in.ipynb")
        words = ["--engine", "nbmlops", "--no-progress-bar", "in.ipynb", "out.ipynb"]
        done = subprocess.run(
            [sys.executable, "-m", "papermill", *words, *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{about.parent}"},
            capture_output=True,
            text=True,
        )
        executed = nbformat.read(tmp_path / "out.ipynb", 4)
        code = [cell for cell in executed.cells if cell.cell_type == "code"]
        return done, code

    return run


def states(cells):
    return [cell.metadata.papermill.status for cell in cells if cell.source != "a = 1"]


@pytest.mark.kernel
def test_it_runs_with_parameters_and_shows_what_papermill_shows(papermill):
    done, cells = papermill(
        "print(a)", "import os; os.getcwd()", options=["-p", "a", "5", "--log-output"]
    )
    assert done.returncode == 0, done.stderr
    assert cells[2].outputs[0].text == "5\n"
    assert "\n5\n" in done.stderr
    assert states(cells)[-2:] == ["completed", "completed"]


@pytest.mark.kernel
def test_what_a_cell_says_is_passed_on_while_it_runs(papermill):
    waits = (
        "import time\nfrom pathlib import Path\nprint('first', flush=True)\n"
        "until = time.monotonic() + 20\n"
        "while not Path('said').exists() or 'first' not in Path('said').read_text():\n"
        "    assert time.monotonic() < until\n    time.sleep(0.05)\n"
        "print('last')"
    )
    options = ["--log-output", "--stdout-file", "said", "--cwd", "."]
    done, cells = papermill(waits, "print('end')", options=options)
    assert done.returncode == 0, done.stderr
    assert cells[-2].outputs[0].text == "first\nlast\n"
    reported = [line for line in done.stderr.splitlines() if line.strip()]
    heard = ["Executing Cell 2---", "first", "last", "Ending Cell 2---", "end"]
    places = [next(n for n, t in enumerate(reported) if t.startswith(x)) for x in heard]
    assert places == sorted(places)


@pytest.mark.kernel
def test_a_cell_that_raises_is_papermills_error(papermill):
    done, cells = papermill("1 / 0", "2")
    assert done.returncode == 1
    assert "PapermillExecutionError" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert states([cell for cell in cells if "papermill" in cell.metadata])[-2:] == [
        "failed",
        "pending",
    ]


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("cell", "options", "said"),
    [
        ("import os; os._exit(3)", (), "lost its process, exit code 3"),
        ("import time; time.sleep(99)", ("--execution-timeout", "1"), "took too long"),
    ],
)
def test_a_death_and_a_time_out_are_reported_and_written(
    papermill, cell, options, said
):
    done, cells = papermill(cell, "2", options=options)
    assert done.returncode == 1
    assert said in done.stderr
    assert states(cells)[-2:] == ["failed", "pending"]


def test_the_entry_point_imports_nothing_heavy():
    heavy = ("mlflow", "pandas", "nbformat", "papermill", "IPython", "sqlalchemy")
    code = (
        "import sys, nbmlops.execution.papermill_engine\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
