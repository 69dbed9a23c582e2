import json
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbmlops.pipeline.saving import Saver, journal_of, recover


def notebook_of(n_cells):
    cells = [new_code_cell(f"print({n})") for n in range(n_cells)]
    return new_notebook(cells=cells)


def end(notebook, index, saver):
    output = new_output("stream", text=f"{index}\n")
    notebook.cells[index].outputs = [output]
    saver.keep_cell(index)


def test_a_finished_cell_is_on_disk_at_once_and_the_rest_when_it_is_time(tmp_path):
    path = tmp_path / "out.ipynb"
    notebook = notebook_of(3)
    saver = Saver(notebook, path, masked=lambda node: node)
    saver.write()
    whole = path.read_bytes()
    for index in range(2):
        end(notebook, index, saver)
    assert path.read_bytes() == whole
    with journal_of(path).open("a") as journal:
        journal.write('{"index": 2, "ce')  # as a kill leaves it
    found = nbformat.from_dict(recover(path))
    nbformat.validate(found)
    assert [len(cell.outputs) for cell in found.cells] == [1, 1, 0]
    saver.write()
    assert not journal_of(path).exists()
    assert nbformat.read(path, 4).cells[1].outputs[0].text == "1\n"


def test_the_whole_is_written_no_more_often_than_it_should_be(tmp_path):
    path = tmp_path / "out.ipynb"
    notebook = notebook_of(50)
    written = []

    def masked(node):
        written.append("cells" in node)
        return node

    saver = Saver(notebook, path, masked=masked, every_s=3600)
    for index in range(50):
        end(notebook, index, saver)
        saver.keep()
    assert written == [False] * 50
    assert len(journal_of(path).read_text().splitlines()) == 50
    saver.close()
    assert not journal_of(path).exists()
    eager = Saver(notebook, path, masked=lambda node: node, every_s=0.0)
    end(notebook, 0, eager)
    assert json.loads(path.read_text())["cells"][0]["outputs"]


def test_there_is_nothing_to_recover_where_nothing_was_left(tmp_path):
    assert recover(tmp_path / "none.ipynb") is None


@pytest.mark.kernel
def test_the_output_of_a_step_grows_without_its_secrets(store, write, project):
    from nbmlops.pipeline import run_notebook

    path = write(
        "key = 'AKIAIOSFODNN7EXAMPLE'\nprint('first')",
        "from pathlib import Path\nimport time\n"
        "while not Path('go').exists():\n    time.sleep(0.01)",
    )
    out = project / "out.ipynb"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run_notebook, path, output=out, store=store)
        journal = journal_of(out)
        while not future.done() and not journal.exists():
            pass
        told = journal.read_text() if journal.exists() else ""
        (project / "go").touch()
        future.result(60)
    assert "first" in told
    assert "AKIAIOSFODNN7EXAMPLE" not in told
    assert not journal.exists()
    assert nbformat.read(out, 4).cells[1].outputs[0].text == "first\n"
