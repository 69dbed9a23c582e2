import json
import os
import subprocess
import sys
import threading
import time

import pytest

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.config import Shared, explain_settings, load_settings
from nbmlops.entities import Step
from nbmlops.pipeline.cache.gc import collect
from nbmlops.pipeline.cache.step_cache import Cache
from tests.pipeline.pipelines import ROOT

DAY_S = 86400.0
KEY = "secret:CACHE_TEST_KEY"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("CACHE_TEST_KEY", "correct horse battery staple")


def body(step="a"):
    return {
        "pipeline": "p",
        "step": step,
        "run_id": "r",
        "duration_s": 1.0,
        "values": {"x": 1},
        "metrics": {"auc": 0.5},
    }


def outputs(cache, folder, *declared):
    """Return what a step declares; it is named ``a``."""
    step = Step(name="a", line=1, notebook="a.ipynb", outputs=declared)
    return cache.outputs(step, folder)


def find(cache, folder, key, *declared):
    return cache.find(key, outputs(cache, folder, *declared))


def restore(cache, folder, entry, *declared):
    """Return whether the files of a result are back."""
    return cache.restore(entry, outputs(cache, folder, *declared)) is not None


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
    kept = cache.keep(key(1), body(), make(project, "a.txt", "hello"))
    assert find(Cache(project / ".nbmlops"), project, key(1), "a.txt") == kept
    assert kept["values"] == {"x": 1}
    assert kept["outputs"]["a.txt"]["size"] == 5
    assert find(cache, project, key(2), "a.txt") is None


def test_a_damaged_file_is_not_put_back_and_not_used_again(cache, project):
    kept = cache.keep(key(1), body(), make(project, "a.txt", "hello"))
    (blob,) = (project / ".nbmlops" / "cache" / "blobs").glob("??/*")
    blob.write_text("hellO")
    (project / "a.txt").unlink()
    assert not restore(cache, project, kept, "a.txt")
    assert not (project / "a.txt").exists()
    cache.keep(key(2), body(), make(project, "a.txt", "hello"))
    (project / "a.txt").unlink()
    assert restore(cache, project, kept, "a.txt")


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
    assert [find(cache, project, key(n), f"{n}.txt") is None for n in range(3)] == [
        True,
        False,
        False,
    ]
    assert collect(cache, older_than_s=1.5 * DAY_S).n_entries == 0  # it was just used
    assert collect(cache, max_bytes=0).left_bytes == 0


def test_what_is_old_goes_and_what_another_shares_stays(cache, project):
    fill(cache, project, ages=[3, 1])
    cache.keep(key(7), body(), make(project, "shared.txt", "0" * 1000))
    done = collect(cache, older_than_s=2 * DAY_S)
    assert (done.n_entries, done.n_files) == (1, 0)
    kept = find(cache, project, key(7), "shared.txt")
    assert restore(cache, project, kept, "shared.txt")


def test_leftovers_of_a_kill_go(cache, project):
    cache.keep(key(1), body(), make(project, "a.txt", "x"))
    folder = project / ".nbmlops" / "cache"
    lost = [folder / "blobs" / "ab" / ("ab" * 32), folder / "entries" / "ab" / "cd"]
    draft = folder / "entries" / "ab" / ".tmp-1"
    for path in (*lost, draft):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    done = collect(cache)
    assert (done.n_entries, done.n_files) == (1, 1)
    assert not any(path.exists() for path in lost)
    assert draft.exists()  # it may still be written
    collect(cache, now=time.time() + 2 * 3600)
    assert not draft.exists()
    assert restore(cache, project, find(cache, project, key(1), "a.txt"), "a.txt")


class Watched(dict):
    """Files to keep, with a callback when the first one is kept."""

    def __init__(self, files, tell):
        super().__init__(files)
        self._tell = tell

    def items(self):
        for n, item in enumerate(super().items()):
            if n == 1:
                self._tell()
            yield item


def test_a_collector_waits_for_a_result_that_is_being_kept(cache, project):
    cache.keep(key(1), body(), make(project, "a.txt", "shared with what is old"))
    path = cache.entry_path(key(1))
    os.utime(path, (0, 0))
    done = []
    collector = threading.Thread(
        target=lambda: done.append(collect(cache, older_than_s=DAY_S))
    )

    def collect_now():
        collector.start()
        collector.join(0.5)  # long enough to take out what is in the way, if it could
        assert not done

    files = make(project, "a.txt", "shared with what is old")
    files = Watched(files | make(project, "b.txt", "new"), collect_now)
    cache.keep(key(2), body(), files)
    collector.join(60)
    assert (done[0].n_entries, done[0].n_files) == (1, 0)
    for name in files:
        (project / name).unlink()
    kept = find(cache, project, key(2), *files)
    assert restore(cache, project, kept, *files)


SHARED = """
import sys, random
from pathlib import Path
from nbmlops.entities import Step
from nbmlops.pipeline.cache.step_cache import Cache
from nbmlops.pipeline.cache.gc import collect
cache, folder = Cache(Path("../.nbmlops")), Path(".").absolute()
step = Step(name="s", line=1, notebook="s.ipynb", outputs=("a.txt",))
outputs = cache.outputs(step, folder)
source = random.Random(sys.argv[1])
for n in range(150):
    number = source.randrange(20)
    key = f"{number:064x}"
    found = cache.find(key, outputs)
    if source.random() < 0.1:
        collect(cache, max_bytes=5000)
    elif found is None:
        before = outputs.stamps()
        Path("a.txt").write_text(str(number) * 500)
        body = {"pipeline": "p", "step": "s", "run_id": "r", "values": {"n": number}}
        body |= {"metrics": {}, "duration_s": 0.0}
        cache.keep(key, body, {"a.txt": folder / "a.txt"})
        outputs.record(before)
    else:
        assert found["values"] == {"n": number}
        if cache.restore(found, outputs) is not None:
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
        assert find(cache, project, key(1)) is not None
        assert find(cache, project, key(2)) is None
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
    return Cache(folder / ".nbmlops", shared=Shared(url=url, key=KEY)), folder


def test_a_result_is_kept_for_others_in_a_remote_cache(project, tmp_path, url):
    mine = Cache(project / ".nbmlops", shared=Shared(url=url, key=KEY))
    files = make(project, "a.txt", "hello") | make(project, "b.txt", "there")
    (project / "b.txt").chmod(0o755)
    kept = mine.keep(key(1), body(), files)
    theirs, folder = other(tmp_path, "theirs", url)
    assert find(theirs, folder, key(1), *files) == kept
    assert find(theirs, folder, key(2), *files) is None
    assert restore(theirs, folder, kept, *files)
    assert (folder / "a.txt").read_text() == "hello"
    assert (folder / "b.txt").stat().st_mode & 0o777 == 0o755
    alone = Cache(folder / ".nbmlops", shared=Shared(key=KEY))
    assert find(alone, folder, key(1), *files) == kept
    assert mine.keep(key(2), body(), files)["outputs"] == kept["outputs"]


def test_what_is_damaged_in_a_remote_cache_is_a_miss_until_it_is_made_again(
    project, tmp_path, url
):
    from fsspec.core import url_to_fs

    mine = Cache(project / ".nbmlops", shared=Shared(url=url, key=KEY))
    files = make(project, "a.txt", "hello")
    kept = mine.keep(key(1), body(), files)
    fs, root = url_to_fs(url)
    (blob,) = fs.glob(f"{root}/blobs/*/*")
    (entry,) = fs.glob(f"{root}/entries/*/*")
    fs.pipe_file(blob, b"hellO")
    theirs, folder = other(tmp_path, "theirs", url)
    found = find(theirs, folder, key(1), "a.txt")
    assert not restore(theirs, folder, found, "a.txt")
    mine.keep(key(1), body(), files)
    assert restore(theirs, folder, kept, "a.txt")
    for spoiled in (b"", b"no JSON", fs.cat_file(entry).replace(b'"a"', b'"b"')):
        fs.pipe_file(entry, spoiled)
        cache, there = other(tmp_path, f"theirs {len(spoiled)}", url)
        assert find(cache, there, key(1), "a.txt") is None


def test_a_remote_cache_that_does_not_answer_is_left_out(project, caplog):
    (project / "taken").write_text("a file")
    shared = Shared(url=f"file://{project}/taken", key=KEY)
    cache = Cache(project / ".nbmlops", shared=shared)
    kept = cache.keep(key(1), body(), make(project, "a.txt", "hello"))
    assert find(cache, project, key(1), "a.txt") == kept
    assert find(cache, project, key(2), "a.txt") is None
    assert len(caplog.records) == 1
    assert "is left out" in caplog.text
    with pytest.raises(nm.UsageError, match="Protocol not known"):
        Cache(project, shared=Shared(url="cloud9://bucket", key=KEY))


def test_processes_that_share_a_remote_cache_keep_whole_results(project, tmp_path):
    url = f"file://{tmp_path}/shared"
    script = tmp_path / "keep.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from nbmlops.config import Shared\n"
        "from nbmlops.pipeline.cache.step_cache import Cache\n"
        "from tests.pipeline.test_cache import KEY, body, find, restore\n"
        "folder = Path(sys.argv[1])\nfolder.mkdir()\n"
        "shared = Shared(url=sys.argv[2], key=KEY)\n"
        "cache = Cache(folder / '.nbmlops', shared=shared)\n"
        "for n in range(40):\n"
        "    path = folder / 'out.txt'\n"
        "    path.write_text(f'{n % 5}' * 50_000)\n"
        "    cache.keep(f'{n % 5:064x}', body(), {'out.txt': path})\n"
        "    found = find(cache, folder, f'{n % 5:064x}', 'out.txt')\n"
        "    assert restore(cache, folder, found, 'out.txt')\n",
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
        found = find(reader, folder, key(n), "out.txt")
        assert restore(reader, folder, found, "out.txt")
        assert (folder / "out.txt").read_text() == f"{n}" * 50_000


STRANGE = {
    "above": "../escaped.txt",
    "absolute": "/escaped.txt",
    "round about": "out/../../escaped.txt",
    "beside": "other.txt",
    "of nbmlops": ".nbmlops/cache/key",
    "not plain": "out/./a.txt",
    "longer": "output/a.txt",
}


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE)
def test_an_entry_that_names_a_file_outside_of_its_outputs_is_a_miss(
    project, tmp_path, name
):
    url = f"file://{tmp_path}/theirs"
    mine = Cache(project / ".nbmlops", shared=Shared(url=url, key=KEY))
    mine.keep(key(1), body(), {name: make(project, "a.txt", "x")["a.txt"]})
    for cache, folder in ((mine, project), other(tmp_path, "clone", url)):
        assert find(cache, folder, key(1), "out") is None
        assert cache.refused[key(1)] == f"has {name!r}, which is none of its outputs"


def rewrite(change):
    """Return what changes the body of an entry, and seals it again."""

    def spoil(cache, path):
        entry = cache._signer.verify(path.read_bytes())
        change(entry)
        path.write_bytes(cache._signer.sign(entry))

    return spoil


FORMS = {
    "no digest": lambda e: e["outputs"]["a.txt"].update(sha256="../../../key"),
    "no mode": lambda e: e["outputs"]["a.txt"].pop("mode"),
    "setuid": lambda e: e["outputs"]["a.txt"].update(mode=0o4755),
    "values": lambda e: e.update(values=[1]),
    "metrics": lambda e: e.update(metrics={"auc": "high"}),
    "a metric": lambda e: e.update(metrics={"auc": True}),
    "run": lambda e: e.update(run_id=None),
    "model": lambda e: e.update(model_id=["m"]),
    "another key": lambda e: e.update(key=key(2)),
    "time": lambda e: e.update(duration_s=float("nan")),
}


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS)
def test_an_entry_of_another_form_is_a_miss(cache, project, change):
    cache.keep(key(1), body(), make(project, "a.txt", "x"))
    rewrite(change)(cache, cache.entry_path(key(1)))
    assert find(cache, project, key(1), "a.txt") is None
    assert cache.refused[key(1)] == "is damaged"


def test_an_entry_signed_with_another_key_is_a_miss_and_not_lost(
    cache, project, monkeypatch
):
    files = make(project, "a.txt", "x")
    kept = cache.keep(key(1), body(), files)
    assert (project / ".nbmlops" / "cache" / "key").stat().st_mode & 0o777 == 0o600
    given = Cache(project / ".nbmlops", shared=Shared(key=KEY))
    assert find(given, project, key(1), "a.txt") is None
    assert "signed with a key of another project" in given.refused[key(1)]
    collect(given)
    assert find(cache, project, key(1), "a.txt") == kept
    monkeypatch.setenv("CACHE_TEST_KEY", "short")
    with pytest.raises(nm.UsageError, match="has 5 characters"):
        Cache(project / ".nbmlops", shared=Shared(key=KEY))
    with pytest.raises(nm.UsageError, match="has a url and no key"):
        Cache(project / ".nbmlops", shared=Shared(url="memory://x"))


@pytest.mark.parametrize("head", ['{"body": ', "nbmlops-sealed-1 0\n"])
def test_an_entry_of_another_format_is_a_miss_that_goes_with_gc(cache, project, head):
    path = cache.entry_path(key(1))
    path.parent.mkdir(parents=True)
    path.write_text(head + json.dumps({"key": key(1)}))
    assert find(cache, project, key(1)) is None
    words = "is of another format; remove such with: nbmlops cache gc"
    assert cache.refused[key(1)] == words
    assert invoke(["cache", "gc"]) == 0
    assert not path.exists()


def test_what_is_remembered_of_a_step_must_have_its_form(cache):
    cache.set_last("slot", key(1), {"code": {"": "a"}}, 1.0)
    assert cache.last("slot")["key"] == key(1)
    (path,) = (cache.home / "last").glob("??/*")
    for spoiled in (
        "[]",
        '{"key": 1, "parts": {}}',
        '{"key": "k", "parts": {"code": 1}}',
        '{"key": "k", "parts": {}, "duration_s": "x"}',
    ):
        path.write_text(spoiled)
        assert cache.last("slot") is None


def test_a_key_is_named_in_the_settings_and_never_shown(project, capsys):
    environ = {"NBMLOPS_CACHE_KEY": "correct horse battery staple"}
    assert (
        load_settings(project, environ=environ).cache.key == "secret:NBMLOPS_CACHE_KEY"
    )
    shown = explain_settings(project, environ=environ)
    assert ("cache.key", "secret:NBMLOPS_CACHE_KEY", "NBMLOPS_CACHE_KEY") in shown
    settings = project / "pyproject.toml"
    settings.write_text('[tool.nbmlops.cache]\nkey = "secret:TEAM"\n')
    assert load_settings(project, environ={}).cache.key == "secret:TEAM"
    settings.write_text('[tool.nbmlops.cache]\nkey = "correct horse"\n')
    with pytest.raises(nm.UsageError) as caught:
        load_settings(project, environ={})
    assert "is not the name of a secret" in str(caught.value)
    assert "horse" not in str(caught.value)
