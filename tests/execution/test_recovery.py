"""Notebooks whose runner is killed: complete to the last cell that had ended."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from nbmlops.execution.notebooks.autosave import Autosave, journal_beside
from nbmlops.execution.notebooks.output_file import write_whole
from nbmlops.execution.recovery import JOURNAL, recover_beside
from nbmlops.execution.run import run_notebook
from nbmlops.lifecycle.doctor import doctor
from nbmlops.store.runs import queries
from tests.forkserver.runs import made, own_parents, wait_until

__all__ = ["own_parents"]
ROOT = Path(__file__).parents[2]
CELLS = (
    "key = 'AKIAIOSFODNN7EXAMPLE'\nprint('first')",
    "print('second', key)",
    "import time\nprint('third')\ntime.sleep(600)",
    "never",
)


def states(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    return [
        (cell.metadata.papermill.status, cell.outputs[0].text if cell.outputs else "")
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


ENDED = [
    ("completed", "first\n"),
    ("completed", "second [masked]\n"),
    ("failed", ""),
    ("pending", ""),
]


def start(code, folder):
    """Start Python in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def has_cells(journal, n_cells):
    """Return whether a journal holds the ends of so many code cells."""
    try:
        lines = journal.read_text("utf-8").splitlines()
    except OSError:
        return False
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    ended = [each for each in whole if each.get("cell", {}).get("cell_type") == "code"]
    return len(ended) >= n_cells


@pytest.fixture
def killed(store, write, project):
    """Return the path and the output of a notebook killed in its third cell."""
    path, out = write(*CELLS), project / "out.ipynb"
    out.write_text("what an earlier run left")
    process = start(
        "import nbmlops as nm; nm.run_notebook('train.ipynb', output='out.ipynb')",
        project,
    )
    journals = store.settings.home / "journal"
    wait_until(lambda: any(has_cells(j, 2) for j in journals.glob(f"*/{JOURNAL}")), 120)
    kill(process)
    return path, out


@pytest.mark.kernel
def test_the_doctor_completes_the_notebook_of_a_killed_step(store, killed, executed):
    _, out = killed
    assert [state for state, _ in states(out)] == ["pending"] * 4
    reported = repr(doctor(fix=True, store=store))
    assert "out.ipynb has all cells that had ended" in reported
    assert states(out) == ENDED
    (run,) = queries.list_runs(store, limit=10)
    assert (run.status, run.tags["nbmlops.kind"]) == ("KILLED", "step")
    assert executed(run.run_id) == nbformat.read(out, 4)
    notebook = nbformat.read(out, 4)
    assert notebook.metadata.papermill.exception is True
    assert notebook.metadata.papermill.duration > 0
    assert "AKIA" not in out.read_text()
    assert doctor(fix=True, store=store).fixed == ()


@pytest.mark.kernel
def test_the_next_step_completes_it_and_leaves_what_others_wrote(
    store, killed, write, executed
):
    _, out = killed
    content = out.read_bytes()
    write_whole(out, content)  # somebody has saved it: it is theirs now
    other = write("1", name="other.ipynb")
    run_notebook(other, store=store)
    assert out.read_bytes() == content
    doctor(fix=True, store=store)
    (run,) = (r for r in queries.list_runs(store, limit=10) if r.status == "KILLED")
    found = [
        cell.metadata.papermill.status
        for cell in executed(run.run_id).cells
        if cell.cell_type == "code"
    ]
    assert found == [state for state, _ in ENDED]


@pytest.mark.kernel
def test_papermill_by_our_engine_is_completed_by_its_next_run(tmp_path):
    nbformat.write(made(*CELLS), tmp_path / "in.ipynb")
    process = start(
        "import papermill as pm\n"
        "from nbmlops.execution.papermill_engine import Engine\n"
        "pm.engines.papermill_engines.register('nbmlops', Engine)\n"
        "pm.execute_notebook('in.ipynb', 'out.ipynb',"
        " engine_name='nbmlops', progress_bar=False)",
        tmp_path,
    )
    out = tmp_path / "out.ipynb"
    wait_until(lambda: has_cells(journal_beside(out), 2), 120)
    assert recover_beside(tmp_path) == ()  # it lives
    kill(process)
    assert recover_beside(tmp_path) == (out,)
    assert [state for state, _ in states(out)] == [state for state, _ in ENDED]
    assert (
        states(out)[1][1] == "second AKIAIOSFODNN7EXAMPLE\n"
    )  # papermill's own output
    assert not journal_beside(out).exists()


def saved_by_another_process(folder, n_cells, *, whole_after):
    """Return the output that a process left which died with ``n_cells`` ended."""
    out = folder / "out.ipynb"
    pid = os.fork()
    if pid == 0:
        notebook = made(*(f"print({n})" for n in range(4)))
        saver = Autosave(
            notebook, out, journal=journal_beside(out), masked=lambda node: node
        )
        for cell in notebook.cells:
            cell.metadata["papermill"] = {"status": "pending"}
        saver.on_start()
        for index in range(n_cells):
            cell = notebook.cells[index]
            cell.outputs = [nbformat.v4.new_output("stream", text=f"{index}\n")]
            cell.metadata.papermill["status"] = "completed"
            saver.on_cell_end(index)
            if index == whole_after:
                saver.write()
        os._exit(9)
    os.waitpid(pid, 0)
    return out


@pytest.mark.parametrize("n_cells", range(5))
@pytest.mark.parametrize("whole_after", [None, 1])
def test_a_death_after_any_cell_keeps_the_cells_before(tmp_path, n_cells, whole_after):
    out = saved_by_another_process(tmp_path, n_cells, whole_after=whole_after)
    with journal_beside(out).open("a") as journal:
        journal.write('{"index": 3, "ce')  # as a kill leaves it
    assert recover_beside(tmp_path) == (out,)
    failed = ["failed"] if n_cells < 4 else []
    assert [state for state, _ in states(out)] == (
        ["completed"] * n_cells + failed + ["pending"] * (3 - n_cells)
    )
    assert [text for _, text in states(out)[:n_cells]] == [
        f"{n}\n" for n in range(n_cells)
    ]
    assert recover_beside(tmp_path) == ()


def test_a_journal_that_cannot_be_read_is_left_alone(tmp_path):
    for name, text in (
        ("a", ""),
        ("b", "[]\n"),
        ("c", '{"kernel": "x"}\n'),
        ("d", "{"),
    ):
        (tmp_path / f".{name}.ipynb.cells.jsonl").write_text(text)
    before = sorted(tmp_path.iterdir())
    assert recover_beside(tmp_path) == ()
    assert sorted(tmp_path.iterdir()) == before
