import os
import subprocess
import sys

import pytest

from nbmlops.errors import UsageError
from nbmlops.execution.notebooks.output_file import check_output, write_whole


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "train.ipynb"
    path.write_bytes(b"{}" * 5000)
    return path


def test_folders_above_the_output_are_made_and_no_draft_is_left(source, tmp_path):
    target = check_output(tmp_path / "a {b}" / "c d" / "out.ipynb", source)
    assert target == tmp_path / "a {b}" / "c d" / "out.ipynb"
    write_whole(target, b"new")
    assert [file.name for file in target.parent.iterdir()] == ["out.ipynb"]
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("how", ["same", "relative", "symlink", "hardlink"])
def test_the_notebook_itself_is_never_an_output(source, tmp_path, how, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = {"same": source, "relative": "x/../train.ipynb"}.get(how, tmp_path / "l")
    if how == "symlink":
        output.symlink_to(source)
    if how == "hardlink":
        os.link(source, output)
    with pytest.raises(UsageError, match="never written"):
        check_output(output, source)
    assert source.read_bytes() == b"{}" * 5000


def test_an_output_that_cannot_be_is_refused(source, tmp_path):
    with pytest.raises(UsageError, match="is a URL"):
        check_output("https://example.org/out.ipynb", source)
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path, source)
    with pytest.raises(UsageError, match=r"Cannot write .*train\.ipynb/out"):
        check_output(source / "out.ipynb", source)
    with pytest.raises(UsageError, match="Cannot write /proc/nbmlops"):
        check_output("/proc/nbmlops/out.ipynb", source)


_LIMITED = """
import resource, sys
from pathlib import Path
from nbmlops.errors import StoreError
from nbmlops.execution.notebooks.output_file import check_output, write_whole
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for attempt in (
    lambda: check_output(folder / "out.ipynb", folder / "train.ipynb"),
    lambda: write_whole(folder / "old.ipynb", b"x" * 10_000),
):
    try:
        attempt()
    except StoreError as error:
        print(error)
"""


def test_without_room_the_old_file_stays_and_the_message_has_the_bytes(
    source, tmp_path
):
    (tmp_path / "old.ipynb").write_text("old")
    command = [sys.executable, "-c", _LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    early, late = done.stdout.splitlines()
    assert f"No room for {tmp_path}/out.ipynb: 10000 bytes are needed" in early
    assert f"No room for {tmp_path}/old.ipynb: 10000 bytes are needed" in late
    assert (tmp_path / "old.ipynb").read_text() == "old"
    assert {file.name for file in tmp_path.iterdir()} == {"old.ipynb", "train.ipynb"}


def test_a_writer_killed_at_any_time_leaves_one_whole_file(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from nbmlops.execution.notebooks.output_file import write_whole\n"
        "path, n = Path(sys.argv[1]), 0\n"
        "while True:\n"
        "    n += 1; write_whole(path, str(n % 10).encode() * 500_000)\n"
        "    if n == 2: print('ready', flush=True)\n"
    )
    path = tmp_path / "out.ipynb"
    for _ in range(8):
        command = [sys.executable, "-c", code, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            writer.kill()
        content = path.read_bytes()
        assert len(content) == 500_000
        assert len(set(content)) == 1
