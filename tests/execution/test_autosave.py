import json
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbmlops.execution.notebooks.autosave import Autosave, version_of
from nbmlops.execution.recovery import JOURNAL


def notebook_of(n_cells):
    cells = [new_code_cell(f"print({n})") for n in range(n_cells)]
    return new_notebook(cells=cells)


def end(notebook, index, saver):
    output = new_output("stream", text=f"{index}\n")
    notebook.cells[index].outputs = [output]
    saver.on_cell_end(index)


def lines(journal):
    return [json.loads(line) for line in journal.read_text().splitlines()]


def test_a_finished_cell_is_on_disk_at_once_and_the_rest_when_it_is_time(tmp_path):
    path, journal = tmp_path / "out.ipynb", tmp_path / "journal"
    notebook = notebook_of(3)
    saver = Autosave(notebook, path, journal=journal, masked=lambda node: node)
    saver.on_start()
    whole = path.read_bytes()
    for index in range(2):
        end(notebook, index, saver)
    assert path.read_bytes() == whole
    head, written, *ended = lines(journal)
    assert len(head["notebook"]["cells"]) == 3
    assert written == {"written": version_of(path)}
    assert [each["index"] for each in ended] == [0, 1]
    saver.write()
    assert nbformat.read(path, 4).cells[1].outputs[0].text == "1\n"
    assert lines(journal)[-1] == {"written": version_of(path)}
    assert len([*tmp_path.iterdir()]) == 2


def test_the_whole_is_written_no_more_often_than_it_should_be(tmp_path):
    path = tmp_path / "out.ipynb"
    notebook = notebook_of(50)
    written = []

    def masked(node):
        written.append("cells" in node)
        return node

    journal = tmp_path / "journal"
    saver = Autosave(notebook, path, journal=journal, masked=masked, every_s=3600)
    saver.on_start()
    for index in range(50):
        end(notebook, index, saver)
        saver.on_output(None)
    assert written == [True] + [False] * 50
    assert len(lines(journal)) == 52
    saver.close()
    assert not journal.exists()
    eager = Autosave(
        notebook, path, journal=journal, masked=lambda node: node, every_s=0.0
    )
    end(notebook, 0, eager)
    assert json.loads(path.read_text())["cells"][0]["outputs"]


def test_without_an_output_file_the_journal_is_all(tmp_path):
    journal = tmp_path / "journal"
    saver = Autosave(
        notebook_of(2), None, journal=journal, masked=lambda node: node, every_s=0.0
    )
    saver.on_start()
    saver.on_output(None)
    assert [*tmp_path.iterdir()] == [journal]


@pytest.mark.kernel
def test_the_output_of_a_step_grows_without_its_secrets(
    store, write, project, monkeypatch
):
    from nbmlops.execution.run import run_notebook

    monkeypatch.setenv("PLAIN_WORD", "abracadabra")

    path = write(
        "import nbmlops as nm\nkey = 'AKIAIOSFODNN7EXAMPLE'\nprint('first')\n"
        "print(str(nm.secret('PLAIN_WORD')))",
        "from pathlib import Path\nimport time\n"
        "while not Path('go').exists():\n    time.sleep(0.01)",
    )
    out = project / "out.ipynb"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run_notebook, path, output=out, store=store)
        journals = store.settings.home / "journal"
        reported = ""
        while not future.done() and "first\\n" not in reported:
            for journal in journals.glob(f"*/{JOURNAL}"):
                reported = journal.read_text()
        (project / "go").touch()
        future.result(60)
    assert "first" in reported
    assert "AKIAIOSFODNN7EXAMPLE" not in reported
    assert "abracadabra" not in reported
    assert not [*journals.glob(f"*/{JOURNAL}")]
    assert nbformat.read(out, 4).cells[1].outputs[0].text == "first\n[masked]\n"
