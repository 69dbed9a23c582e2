"""The files that a run opened: which are reported, and which are copied."""

# ruff: noqa: PTH123, SIM115 - as users open them

import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

import nbmlops as nm
from nbmlops.store import artifacts
from nbmlops.store.runs.queries import list_runs
from nbmlops.tracking.provenance import files
from nbmlops.tracking.provenance import opened_files as opened
from nbmlops.tracking.provenance.files import (
    keep,
    kept_copy,
    opened_files,
    wait_for_copies,
)

BEFORE = (1_000_000_000, 1_000_000_000)


def put(path, text="a,b\n1,2\n", mode=0o644):
    """Write a file as it was long before the run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    os.utime(path, BEFORE)
    return path


@pytest.fixture
def heard(project):
    """Return a function that opens things, and returns what is reported it by path."""

    def run(work):
        noted = {}
        opened.listen(noted)
        try:
            work()
        finally:
            opened.listen(None)
        found = opened_files([noted], project=project)
        keep(found, project=project, home=project / ".nbmlops")
        wait_for_copies()
        return {file.path: file for file in found if file.role != "code"}

    return run


def copies(project):
    """Return the contents that were copied."""
    found = (project / ".nbmlops" / "data").rglob("*")
    return sorted(path.read_text() for path in found if path.is_file())


def test_what_is_read_is_reported_and_kept_and_what_is_written_is_reported(
    heard, project
):
    for name in ("read.csv", "binary.bin", "low.txt", "thread.txt", "below/it.txt"):
        put(project / name, name)
    put(project / "changed.txt")
    put(project / "never opened.csv", "never")

    def work():
        assert (project / "read.csv").read_text() == "read.csv"
        open(b"binary.bin", "rb").close()
        os.close(os.open(project / "low.txt", os.O_RDONLY))
        reader = threading.Thread(target=open("thread.txt").close)
        reader.start()
        reader.join()
        os.chdir("below")
        open("it.txt").close()
        os.chdir("..")
        (project / "made.txt").write_text("made")
        open("made.txt").close()
        (project / "changed.txt").read_text()
        (project / "changed.txt").write_text("another")
        (project / "gone.txt").write_text("gone")
        (project / "gone.txt").unlink()
        with pytest.raises(FileNotFoundError):
            open("not there.txt")

    reported = heard(work)
    assert {path: file.role for path, file in reported.items()} == {
        "below/it.txt": "data",
        "binary.bin": "data",
        "changed.txt": "made",
        "low.txt": "data",
        "made.txt": "made",
        "read.csv": "data",
        "thread.txt": "data",
    }
    assert reported["read.csv"].sha256 == hashlib.sha256(b"read.csv").hexdigest()
    assert copies(project) == sorted(
        ["below/it.txt", "binary.bin", "low.txt", "read.csv", "thread.txt"]
    )


def test_readers_of_tables_and_arrays_are_heard(heard, project):
    import numpy as np
    import pandas as pd

    put(project / "table.csv")
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    frame.to_parquet("whole.parquet")
    frame.to_parquet("parts", partition_cols=["a"])
    parts = [str(path) for path in Path("parts").rglob("*.parquet")]
    for path in ("whole.parquet", *parts):
        os.utime(path, BEFORE)
    np.save(project / "array.npy", np.arange(3))
    os.utime(project / "array.npy", BEFORE)

    def work():
        assert len(pd.read_csv("table.csv")) == 1
        assert len(np.load("array.npy")) == 3
        assert len(pd.read_parquet("whole.parquet")) == 2
        assert len(pd.read_parquet("parts")) == 2
        with pytest.raises(FileNotFoundError) as failure:
            pd.read_parquet("nowhere.parquet")
        assert "opened.py" not in str(failure.getrepr())

    reported = heard(work)
    assert sorted(reported) == [
        "array.npy",
        *sorted(parts),
        "table.csv",
        "whole.parquet",
    ]
    assert {file.role for file in reported.values()} == {"data"}
    assert len(parts) == 2


SECRETS = (
    *(".env", ".ssh/config", "deploy/.netrc", "server.pem", "tls.key", "id_rsa"),
    *("id_ed25519.pub", "credentials.json", "my-secrets.yaml", "token.json"),
    *("client_secret_1.json", "db_password.txt", "store.p12", "service-account.json"),
)


def test_secrets_are_neither_reported_nor_copied(heard, project):
    for name in SECRETS:
        put(project / name, name, mode=0o600)
    put(project / "notes.txt", "\n-----BEGIN OPENSSH PRIVATE KEY-----\nx", mode=0o600)
    (project / "plain.txt").symlink_to(project / ".env")
    put(project / "tokens.csv", "tokens")
    put(project / "monkey.keys.txt", "monkeys")

    def work():
        for name in (*SECRETS, "notes.txt", "plain.txt"):
            open(name).close()
        for name in ("tokens.csv", "monkey.keys.txt"):
            open(name).close()

    assert sorted(heard(work)) == ["monkey.keys.txt", "tokens.csv"]
    assert copies(project) == ["monkeys", "tokens"]


def test_what_git_ignores_is_reported_by_its_digest_and_not_copied(heard, project):
    (project / ".gitignore").write_text("data/\n*.tmp\nlinked\n")
    subprocess.run(["git", "init", "-q"], check=True)
    elsewhere = put(project.parent / "elsewhere" / "far.csv", "far").parent
    (project / "linked").symlink_to(elsewhere)
    (project / "shared").symlink_to(elsewhere)
    names = ("data/a.csv", "b.tmp", "c.csv", "linked/far.csv", "shared/far.csv")
    for name in names[:3]:
        put(project / name, name)

    def work():
        for name in names:
            open(name).close()

    reported = heard(work)
    assert sorted(reported) == sorted(names)
    assert all(file.sha256 for file in reported.values())
    assert copies(project) == ["c.csv", "far"]


def test_nothing_is_copied_where_git_cannot_be_asked(heard, project, monkeypatch):
    put(project / "a.csv")
    (project / ".git").write_text("gitdir: /nowhere\n")
    assert sorted(heard(open("a.csv").close)) == []
    assert sorted(heard(lambda: open("a.csv").close())) == ["a.csv"]
    assert copies(project) == []


def test_a_copy_is_readable_by_no_more_people_than_the_file(heard, project):
    put(project / "mine.csv", "mine", mode=0o600)
    put(project / "ours.csv", "ours", mode=0o640)
    reported = heard(lambda: [open(f"{name}.csv").close() for name in ("mine", "ours")])
    modes = {
        name: stat.S_IMODE(kept_copy(project / ".nbmlops", file.sha256).stat().st_mode)
        for name, file in reported.items()
    }
    assert modes == {"mine.csv": 0o600, "ours.csv": 0o640}


def test_only_regular_files_below_a_size_are_read(heard, project, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_BYTES", 10)
    put(project / "small.csv", "small")
    put(project / "large.csv", "x" * 11)
    os.mkfifo(project / "pipe")
    pipe = os.open(project / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    os.close(pipe)

    def work():
        for path in ("small.csv", "large.csv", "/proc/self/status", "/dev/null"):
            open(path).close()
        os.close(os.open("pipe", os.O_RDONLY | os.O_NONBLOCK))
        os.close(os.open(".", os.O_RDONLY))

    reported = heard(work)
    assert sorted(reported) == ["large.csv", "small.csv"]
    assert (reported["large.csv"].sha256, reported["large.csv"].size_bytes) == (
        None,
        11,
    )
    assert copies(project) == ["small"]


def test_more_than_can_be_hashed_is_named(heard, project, monkeypatch):
    monkeypatch.setattr(files, "_MOST_BYTES", 10)
    for name in "abc":
        put(project / name, name * 4)
    reported = heard(lambda: [open(name).close() for name in "abc"])
    assert [bool(reported[name].sha256) for name in "abc"] == [True, True, False]


def test_a_file_outside_has_a_digest_alone(heard, project):
    path = put(project.parent / "outside.csv", "outside")
    reported = heard(lambda: open(path).close())
    assert reported[str(path)].sha256 == hashlib.sha256(b"outside").hexdigest()
    assert copies(project) == []


def test_a_file_that_changes_before_it_is_copied_is_not_kept(heard, project):
    path = put(project / "a.csv", "then")
    noted = {}
    opened.listen(noted)
    open(path).close()
    opened.listen(None)
    found = opened_files([noted], project=project)
    path.write_text("now")
    keep(found, project=project, home=project / ".nbmlops")
    wait_for_copies()
    assert copies(project) == []


def test_odd_paths_disturb_nobody(heard, project):
    def work():
        for path in (b"\xff\xfe", "\udcff", "x" * 5000):
            with pytest.raises((OSError, ValueError, UnicodeError)):
                open(path)
        with pytest.raises(ValueError, match="null"):
            open("a\0b")

    put(project / "fine.csv")
    assert heard(work) == {}
    assert sorted(heard(lambda: open("fine.csv").close())) == ["fine.csv"]


@pytest.fixture
def shell(project):
    """Return a shell whose first cell has loaded nbmlops, and read a file."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    put(project / "loaded.csv", "loaded")
    cell = "%load_ext nbmlops\nloaded = open('loaded.csv').read()"
    shell.run_cell(cell, store_history=True).raise_error()
    yield shell
    shell.run_line_magic("unload_ext", "nbmlops")
    shell.reset()
    InteractiveShell.clear_instance()


def recorded_files(store, name):
    """Return what the newest run of a name tells of files, by path."""
    run = next(run for run in list_runs(store) if run.name == name)
    document = json.loads(
        artifacts.read_file(store, run.run_id, "nbmlops/replay.ipynb")
    )
    return {f["path"]: f["role"] for f in document["metadata"]["nbmlops"]["files"]}


def test_texts_in_a_cell_are_no_files(store, shell, project):
    put(project / ".env")
    put(project / "t")
    for name in "ab":
        put(project / f"k{name}.csv")
    shell.run_cell("%%track texts\nquery, folder = 'SELECT * FROM t k* *.csv', '/proc'")
    nm.sync()
    assert recorded_files(store, "texts") == {"loaded.csv": "data"}
    assert copies(project) == ["loaded"]


def test_a_run_has_the_files_of_the_cells_it_needs(store, shell, project):
    for name in ("first", "second", "block", "between"):
        put(project / f"{name}.csv", name)
    for cell in (
        "first = open('first.csv').read()",
        "%%track cell\nall_three = loaded + first + open('second.csv').read()",
        "import nbmlops as nm\nwith nm.track('block'):\n    open('block.csv').close()",
    ):
        shell.run_cell(cell, store_history=True).raise_error()
    open(project / "between.csv").close()
    shell.run_cell("%%track later\n1", store_history=True)
    nm.sync()
    assert recorded_files(store, "cell") == {
        "first.csv": "data",
        "loaded.csv": "data",
        "second.csv": "data",
    }
    assert recorded_files(store, "block")["block.csv"] == "data"
    assert "between.csv" not in recorded_files(store, "later")


def test_a_script_has_the_files_of_its_blocks(store, project):
    for name in ("inside", "between"):
        put(project / f"{name}.csv", name)
    (project / "train.py").write_text(
        "import nbmlops as nm\nfor name in 'ab':\n"
        "    with nm.track(name):\n        open('inside.csv').close()\n"
        "        open('made.txt', 'w').close()\n    open('between.csv').close()\n"
    )
    subprocess.run([sys.executable, "train.py"], check=True)
    reported = recorded_files(store, "b")
    assert reported.pop("train.py") == "code"
    assert reported == {"inside.csv": "data", "made.txt": "made"}
    assert copies(project) == sorted(["inside", (project / "train.py").read_text()])
