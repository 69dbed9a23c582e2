import os
import subprocess
import sys
import time

import pytest

import nbmlops as nm
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


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    import fsspec

    if request.param == "file":
        return f"file://{tmp_path}/their cache"
    fsspec.filesystem("memory").store.clear()
    return "memory://cache"


def other(tmp_path, name, url):
    """Return another machine's cache and its folder."""
    folder = tmp_path / name
    folder.mkdir()
    return Cache(folder / ".nbmlops", depot=url), folder


def test_a_result_is_kept_for_others_in_a_depot(project, tmp_path, url):
    mine = Cache(project / ".nbmlops", depot=url)
    outputs = make(project, "a.txt", "hello") | make(project, "b.txt", "there")
    kept = mine.keep(key(1), body(), outputs)
    theirs, folder = other(tmp_path, "theirs", url)
    assert theirs.find(key(1)) == kept
    assert theirs.find(key(2)) is None
    assert theirs.restore(kept, folder, ("a.txt", "b.txt"))
    assert (folder / "a.txt").read_text() == "hello"
    assert Cache(folder / ".nbmlops").find(key(1)) == kept
    assert mine.keep(key(2), body(), outputs)["outputs"] == kept["outputs"]


def test_what_is_damaged_in_a_depot_is_a_miss_until_it_is_made_again(
    project, tmp_path, url
):
    from fsspec.core import url_to_fs

    mine = Cache(project / ".nbmlops", depot=url)
    outputs = make(project, "a.txt", "hello")
    kept = mine.keep(key(1), body(), outputs)
    fs, root = url_to_fs(url)
    (blob,) = fs.glob(f"{root}/blobs/*/*")
    (entry,) = fs.glob(f"{root}/entries/*/*")
    fs.pipe_file(blob, b"hellO")
    theirs, folder = other(tmp_path, "theirs", url)
    assert not theirs.restore(theirs.find(key(1)), folder, ("a.txt",))
    mine.keep(key(1), body(), outputs)
    assert theirs.restore(kept, folder, ("a.txt",))
    for spoiled in (b"", b"no JSON", fs.cat_file(entry).replace(b'"a"', b'"b"')):
        fs.pipe_file(entry, spoiled)
        cache, _ = other(tmp_path, f"theirs {len(spoiled)}", url)
        assert cache.find(key(1)) is None


def test_a_depot_that_does_not_answer_is_left_out(project, caplog):
    (project / "taken").write_text("a file")
    cache = Cache(project / ".nbmlops", depot=f"file://{project}/taken")
    outputs = make(project, "a.txt", "hello")
    kept = cache.keep(key(1), body(), outputs)
    assert cache.find(key(1)) == kept
    assert cache.find(key(2)) is None
    assert len(caplog.records) == 1
    assert "is left out" in caplog.text
    with pytest.raises(nm.UsageError, match="Protocol not known"):
        Cache(project, depot="cloud9://bucket")


def test_processes_that_share_a_depot_keep_whole_results(project, tmp_path):
    url = f"file://{tmp_path}/shared"
    script = tmp_path / "keep.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from nbmlops.pipeline.cache import Cache\n"
        "folder = Path(sys.argv[1])\nfolder.mkdir()\n"
        "cache = Cache(folder / '.nbmlops', depot=sys.argv[2])\n"
        "for n in range(40):\n"
        "    path = folder / 'out.txt'\n"
        "    path.write_text(f'{n % 5}' * 50_000)\n"
        "    cache.keep(f'{n % 5:064x}', {'run_id': 'r'}, {'out.txt': path})\n"
        "    found = cache.find(f'{n % 5:064x}')\n"
        "    assert cache.restore(found, folder, ('out.txt',))\n",
        encoding="utf-8",
    )
    words = [sys.executable, str(script)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen([*words, str(tmp_path / f"{n}"), url], env=env)
        for n in range(3)
    ]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    reader, folder = other(tmp_path, "reader", url)
    for n in range(5):
        assert reader.restore(reader.find(key(n)), folder, ("out.txt",))
        assert (folder / "out.txt").read_text() == f"{n}" * 50_000
