import os
import subprocess
import sys
import time

import pytest

from nbmlops.cli.main import invoke
from nbmlops.pipeline.cache import Cache
from nbmlops.pipeline.collecting import collect
from tests.pipeline.pipelines import ROOT

DAY_S = 86400.0


def body(step="a"):
    return {"pipeline": "p", "step": step, "run_id": "r", "values": {"x": 1}}


def key(number):
    return f"{number:064x}"


@pytest.fixture
def cache(project):
    return Cache(project / ".nbmlops")


def make(project, name, text):
    path = project / name
    path.write_text(text, encoding="utf-8")
    return {name: path}


def test_a_result_is_found_as_it_was_kept(cache, project):
    outputs = make(project, "a.txt", "hello")
    kept = cache.keep(key(1), body(), outputs)
    assert Cache(project / ".nbmlops").find(key(1)) == kept
    assert kept["values"] == {"x": 1}
    assert kept["outputs"]["a.txt"]["size"] == 5
    assert cache.find(key(2)) is None


def test_outputs_are_put_back_and_strays_of_a_folder_removed(cache, project):
    (project / "out").mkdir()
    outputs = make(project, "out/a.txt", "hello") | make(project, "out/b.txt", "there")
    kept = cache.keep(key(1), body(), outputs)
    (project / "out" / "a.txt").unlink()
    (project / "out" / "b.txt").write_text("other")
    make(project, "out/stray.txt", "x")
    assert cache.restore(kept, project, ("out",))
    files = {path.name: path.read_text() for path in (project / "out").iterdir()}
    assert files == {"a.txt": "hello", "b.txt": "there"}


def test_a_damaged_file_is_not_put_back_and_not_used_again(cache, project):
    outputs = make(project, "a.txt", "hello")
    kept = cache.keep(key(1), body(), outputs)
    (blob,) = (project / ".nbmlops" / "cache" / "blobs").glob("??/*")
    blob.write_text("hellO")
    (project / "a.txt").write_text("mine")
    assert not cache.restore(kept, project, ("a.txt",))
    assert (project / "a.txt").read_text() == "mine"
    cache.keep(key(2), body(), make(project, "a.txt", "hello"))
    (project / "a.txt").unlink()
    assert cache.restore(kept, project, ("a.txt",))


def test_equal_files_are_kept_once(cache, project):
    cache.keep(key(1), body(), make(project, "a.txt", "same"))
    cache.keep(key(2), body(), make(project, "b.txt", "same"))
    assert len(list((project / ".nbmlops" / "cache" / "blobs").glob("??/*"))) == 1


def fill(cache, project, *, ages):
    now = time.time()
    for n, age_days in enumerate(ages):
        cache.keep(key(n), body(f"s{n}"), make(project, f"{n}.txt", str(n) * 1000))
        path = project / ".nbmlops" / "cache" / "entries" / "00" / key(n)
        used_at = now - age_days * DAY_S
        os.utime(path, (used_at, used_at))


def test_what_was_not_used_for_longest_goes_first(cache, project):
    fill(cache, project, ages=[3, 1, 2])
    done = collect(cache, max_bytes=2000)
    assert (done.n_entries, done.n_files, done.freed_bytes, done.left_bytes) == (
        1,
        1,
        1000,
        2000,
    )
    assert [cache.find(key(n)) is None for n in range(3)] == [True, False, False]
    assert collect(cache, older_than_s=1.5 * DAY_S).n_entries == 0  # it was just used
    assert collect(cache, max_bytes=0).left_bytes == 0


def test_what_is_old_goes_and_what_another_shares_stays(cache, project):
    fill(cache, project, ages=[3, 1])
    cache.keep(key(7), body(), make(project, "shared.txt", "0" * 1000))
    done = collect(cache, older_than_s=2 * DAY_S)
    assert (done.n_entries, done.n_files) == (1, 0)
    assert cache.restore(cache.find(key(7)), project, ("shared.txt",))


def test_leftovers_of_a_kill_go_when_they_are_old(cache, project):
    cache.keep(key(1), body(), make(project, "a.txt", "x"))
    folder = project / ".nbmlops" / "cache"
    lost = [folder / "blobs" / "ab" / ("ab" * 32), folder / "entries" / "ab" / "cd"]
    lost.append(folder / "entries" / "ab" / ".tmp-1")
    for path in lost:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    collect(cache)
    assert all(path.exists() for path in lost)
    collect(cache, now=time.time() + 2 * 3600)
    assert not any(path.exists() for path in lost)
    assert cache.restore(cache.find(key(1)), project, ("a.txt",))


SHARED = """
import sys, random
from pathlib import Path
from nbmlops.pipeline.cache import Cache
from nbmlops.pipeline.collecting import collect
cache, folder = Cache(Path("../.nbmlops")), Path(".")
source = random.Random(sys.argv[1])
for n in range(150):
    number = source.randrange(20)
    key = f"{number:064x}"
    found = cache.find(key)
    if source.random() < 0.1:
        collect(cache, max_bytes=5000)
    elif found is None:
        Path("a.txt").write_text(str(number) * 500)
        body = {"pipeline": "p", "step": "s", "run_id": "r", "values": number}
        cache.keep(key, body, {"a.txt": Path("a.txt")})
    else:
        assert found["values"] == number
        if cache.restore(found, folder, ("a.txt",)):
            assert Path("a.txt").read_text() == str(number) * 500
"""


def test_processes_share_a_cache_that_is_collected_meanwhile(project):
    running = []
    for n in range(3):
        folder = project / f"w{n}"
        folder.mkdir()
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", SHARED, str(n)],
                cwd=folder,
                env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err


def test_a_look_up_does_not_grow_with_what_is_kept(cache, project, monkeypatch):
    cache.keep(key(1), body(), {})
    seen = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", lambda *given: seen.append(given))
        patched.setattr(os, "listdir", lambda *given: seen.append(given))
        assert cache.find(key(1)) is not None
        assert cache.find(key(2)) is None
        assert cache.last("a") is None
    assert seen == []


def test_the_command_lists_and_collects(cache, project, capsys):
    assert invoke(["cache", "ls"]) == 0
    assert capsys.readouterr().out == "No results are kept.\n"
    fill(cache, project, ages=[3, 1])
    assert invoke(["cache", "ls"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["p", "s1"]
    assert invoke(["cache", "gc", "--older-than", "2d", "--max-size", "1.5kB"]) == 0
    assert capsys.readouterr().out.startswith("1 results and 1 files taken out: 1,000")
    for words in (["--max-size", "big"], ["--older-than", "3 parsecs"]):
        assert invoke(["cache", "gc", *words]) == 2
