"""Runs in forks for tests: parents of their own, and the same cells in a kernel."""

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbmlops.config import Warm
from nbmlops.execution.clients.choice import fork_client
from nbmlops.execution.clients.kernel import KernelClient
from nbmlops.execution.kernels import KernelEnvironment
from nbmlops.forkserver.registry import list_servers, stop_servers

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux"),
]
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


@pytest.fixture(scope="module", autouse=True)
def own_parents(tmp_path_factory):
    """Have parents of these tests' own, gone at the end."""
    runtime = tmp_path_factory.mktemp("runtime")
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_RUNTIME_DIR", str(runtime))
    yield runtime
    stop_servers()
    wait_until(lambda: not list_servers())
    patch.undo()


def wait_until(holds, limit_s=30):
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def made(*sources, tags=()):
    cells = [new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    notebook.metadata["papermill"] = {}
    return notebook


def warm(notebook, folder, *, settings=None, **options):
    options = {"timeout_s": None, "on_failure": lambda: None, **options}
    env = {**os.environ, **options.pop("env", {})}
    return fork_client(
        notebook, settings or Warm(), folder=Path(folder), env=env, **options
    )


def cold(notebook, folder):
    return KernelClient(
        notebook,
        kernel_name="python3",
        folder=folder,
        env=dict(os.environ),
        timeout_s=None,
        specs=KernelEnvironment().kernel_specs(),
        on_failure=lambda: None,
    )


def text(notebook, cell=-1):
    """Return all that a cell wrote and returned."""
    return "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for output in notebook.cells[cell].outputs
    )


def run(*sources, folder, **options):
    notebook = made(*sources)
    ending = warm(notebook, folder, **options).run()
    assert ending.how == "finished", ending
    return notebook


def seen(notebook):
    """Return what a reader sees of each cell, less what no two runs have in common."""
    cells = []
    for cell in notebook.cells:
        outputs = []
        for output in cell.outputs:
            if output.output_type == "stream" and outputs:
                last = outputs[-1]
                if (last["output_type"], last.get("name")) == ("stream", output.name):
                    last["text"] += output.text
                    continue
            outputs.append(output)
        outputs = json.loads(clean(json.dumps(outputs)))
        cells.append((outputs, cell.execution_count, cell.metadata.papermill.status))
    return cells


_VARYING = re.compile(
    r"ipykernel_\d+|0x[0-9a-f]+|inside-(fork|cold)|'[^']*/kernel.json'|/tmp/tmp\w+"
)


def clean(text):
    return _VARYING.sub("", text)


def assert_same(sources, folder, tags=()):
    """Check that a fork and a kernel come to the same, cell by cell."""
    forked, kernel = made(*sources, tags=tags), made(*sources, tags=tags)
    there = warm(forked, copied(folder, "inside-fork")).run()
    expected = cold(kernel, copied(folder, "inside-cold")).run()
    assert (there.how, there.cell_index) == (expected.how, expected.cell_index), (
        f"in a fork: {there}\nin a kernel: {expected}"
    )
    assert (clean(there.reason), clean(there.traceback)) == (
        clean(expected.reason),
        clean(expected.traceback),
    )
    for ours, theirs in zip(seen(forked), seen(kernel), strict=True):
        assert ours == theirs, f"in a fork:\n{ours}\nin a kernel:\n{theirs}"
    assert forked.metadata.language_info == kernel.metadata.language_info
    assert {*forked.metadata.papermill} == {*kernel.metadata.papermill}
    nbformat.validate(forked)


def copied(folder, name):
    """Return a new folder inside another that has the files of it."""
    made = folder / name
    made.mkdir()
    for file in folder.glob("*.py"):
        shutil.copy(file, made)
    return made
