"""A way to write notebooks, and to see that no kernel is left."""

import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbmlops.store import artifacts
from tests.pipeline.pipelines import is_sender

_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


@pytest.fixture
def write(project):
    """Return a function that writes a notebook and returns its path."""

    def write(*sources, name="train.ipynb", parameters=None, tags=(), kernel=_KERNEL):
        cells = [new_markdown_cell("# Train")]
        if parameters is not None:
            cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        cells += [new_code_cell(source) for source in sources]
        for cell in cells[-1:]:
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), *tags]
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"kernelspec": kernel} if kernel else {}
        nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
        return path

    return write


@pytest.fixture
def executed(store):
    """Return a function that reads the executed notebook from a run's artifacts."""

    def read(run_id):
        content = artifacts.read_file(store, run_id, "nbmlops/notebook.ipynb")
        notebook = nbformat.reads(content.decode(), 4)
        nbformat.validate(notebook)
        return notebook

    return read


@pytest.fixture(autouse=True)
def _no_kernel_is_left():
    """Fail a test that leaves a process behind."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    started = time.monotonic()
    while True:
        left = [
            process
            for process in psutil.Process().children(recursive=True)
            if process.pid not in before and is_alive(process)
        ]
        # Journals are sent by a process that outlives who asked for it.
        limit_s = 60 if any(map(is_sender, left)) else 2
        if not left or time.monotonic() > started + limit_s:
            break
        time.sleep(0.05)
    assert not left


def is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
