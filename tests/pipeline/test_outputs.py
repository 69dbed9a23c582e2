"""What is put back of a kept result, and what of the user's is left alone."""

import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbmlops as nm
from nbmlops.entities import Step
from nbmlops.errors import ConflictError
from nbmlops.pipeline.cache.keys import Keys
from nbmlops.pipeline.cache.step_cache import Cache
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import write_pipeline
from tests.pipeline.test_cache import body, key


class Place:
    """A step with a folder as its output, run without a notebook."""

    def __init__(self, project, declared="out"):
        self.project, self.out = project, project / "out"
        self.cache = Cache(project / ".nbmlops")
        step = Step(name="s", line=1, notebook="s.ipynb", outputs=(declared,))
        self.outputs = self.cache.outputs(step, project)

    def run(self, number, files):
        """Write files as a run of the step does, and return its kept result."""
        before = self.outputs.stamps()
        for name, text in files.items():
            self.write(name, text)
        made = {self.outputs.name(path): path for path in self.outputs.record(before)}
        return self.cache.keep(key(number), body(), made)

    def write(self, name, text):
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        return path

    def restore(self, entry):
        """Return the names of what is left alone, or None when the step has to run."""
        others = self.cache.restore(entry, self.outputs)
        return others if others is None else [*map(self.outputs.name, others)]

    def files(self):
        found = [path for path in self.out.rglob("*") if path.is_file()]
        return {
            path.relative_to(self.out).as_posix(): path.read_text() for path in found
        }


@pytest.fixture
def place(project):
    return Place(project)


def test_what_the_step_made_goes_and_what_the_user_put_there_stays(place):
    first = place.run(1, {"a.txt": "1", "sub/old.txt": "old"})
    place.run(2, {"a.txt": "2", "b.txt": "2"})
    place.write("notes.txt", "three days of work")
    place.write("sub/mine.txt", "mine")
    (place.out / "b.txt").unlink()
    theirs = {"notes.txt": "three days of work", "sub/mine.txt": "mine"}
    for _ in range(2):
        assert place.restore(first) == ["out/notes.txt", "out/sub/mine.txt"]
        assert place.files() == {"a.txt": "1", "sub/old.txt": "old"} | theirs


def test_a_file_of_another_result_goes_with_the_folder_it_leaves_empty(place):
    first = place.run(1, {"a.txt": "1"})
    second = place.run(2, {"a.txt": "2", "deep/down/b.txt": "2"})
    assert place.restore(first) == []
    assert place.files() == {"a.txt": "1"}
    assert not (place.out / "deep").exists()
    assert place.restore(second) == []
    assert place.files() == {"a.txt": "2", "deep/down/b.txt": "2"}


def test_what_the_user_added_is_not_kept_with_the_result_of_the_next_run(place):
    place.write("notes.txt", "mine")
    entry = place.run(1, {"a.txt": "1"})
    assert list(entry["outputs"]) == ["out/a.txt"]
    place.write("notes.txt", "mine, too")
    assert place.restore(entry) == ["out/notes.txt"]
    (place.out / "notes.txt").unlink()
    assert place.restore(entry) == []
    assert place.files() == {"a.txt": "1"}


def test_what_an_earlier_run_made_and_nobody_changed_is_still_the_steps(place):
    place.run(1, {"a.txt": "1", "b.txt": "once"})
    second = place.run(2, {"a.txt": "2"})
    assert {*second["outputs"]} == {"out/a.txt", "out/b.txt"}
    place.write("b.txt", "edited")
    third = place.run(3, {"a.txt": "3"})
    assert {*third["outputs"]} == {"out/a.txt"}
    assert place.files() == {"a.txt": "3", "b.txt": "edited"}


def test_what_is_older_than_a_killed_run_is_not_of_it(place):
    os.utime(place.write("mine.txt", "mine"), (1000, 1000))
    os.utime(place.write("a.txt", "made"), (2000, 2000))
    made = place.outputs.record(place.outputs.stamps(before_s=1500))
    assert [*map(place.outputs.name, made)] == ["out/a.txt"]


def in_the_way(path, kind):
    """Put something of the user's at a path."""
    path.unlink()
    if kind == "edit":
        path.write_text("edited")
    elif kind == "link":
        far = path.parent.with_name("far.txt")
        far.write_text("1")
        path.symlink_to(far)
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
        if kind == "folder":
            (path / "mine.txt").write_text("mine")


@pytest.mark.parametrize(
    "kind", ["edit", "link", "dangling link", "pipe", "folder", "empty folder"]
)
def test_what_stands_where_a_file_must_go_is_named_and_nothing_is_done(place, kind):
    first = place.run(1, {"a.txt": "1", "b.txt": "1", "sub/c.txt": "1"})
    (place.out / "b.txt").unlink()
    shutil.rmtree(place.out / "sub")
    in_the_way(place.out / "a.txt", kind)
    before = {str(p): p.lstat() for p in place.out.rglob("*")}
    with pytest.raises(ConflictError, match=r"'out/a\.txt' is not as step 's' made"):
        place.restore(first)
    assert {str(p): p.lstat() for p in place.out.rglob("*")} == before


def test_no_link_is_followed(place, tmp_path):
    first = place.run(1, {"a.txt": "1", "sub/b.txt": "1"})
    far = tmp_path / "far"
    far.mkdir()
    there = dict.fromkeys(("a.txt", "b.txt", "other.txt"), "1")
    for name, text in there.items():
        (far / name).write_text(text)
    (place.out / "link").symlink_to(far)
    place.run(2, {"a.txt": "2"})
    assert place.restore(first) == ["out/link"]
    shutil.rmtree(place.out / "sub")
    (place.out / "sub").symlink_to(far)
    with pytest.raises(ConflictError, match="'out/sub' is not as step"):
        place.restore(first)
    shutil.rmtree(place.out)
    place.out.symlink_to(far)
    with pytest.raises(ConflictError, match="'out' is not as step"):
        place.restore(first)
    assert [*place.outputs.stamps()] == [place.out]
    assert {path.name: path.read_text() for path in far.iterdir()} == there


def test_what_lies_behind_a_folder_that_became_a_link_is_left_alone(project, tmp_path):
    place = Place(project, declared="out/deep/a.txt")
    first = place.run(1, {"deep/a.txt": "1"})
    place.run(2, {"deep/a.txt": "2"})
    (place.out / "deep").rename(tmp_path / "far")
    (place.out / "deep").symlink_to(tmp_path / "far")
    with pytest.raises(ConflictError, match="'out/deep' is not as step"):
        place.restore(first)
    assert place.outputs.record({}) == {}
    (fault,) = place.outputs.missing({})
    assert fault == "'out/deep/a.txt' is behind the link 'out/deep'"
    assert (tmp_path / "far" / "a.txt").read_text() == "2"


@pytest.mark.parametrize("mode", [0o755, 0o600, 0o444])
def test_permissions_are_as_the_step_made_them(place, mode):
    before = place.outputs.stamps()
    path = place.write("a.txt", "#!/bin/sh")
    path.chmod(mode)
    place.outputs.record(before)
    first = place.cache.keep(key(1), body(), {"out/a.txt": path})
    path.unlink()
    for _ in range(2):
        assert place.restore(first) == []
        assert path.stat().st_mode & 0o777 == mode
        path.chmod(0o640)
    (blob,) = (place.cache.home / "blobs").glob("??/*")
    assert not blob.stat().st_mode & 0o777 & ~(mode | 0o600)


def test_a_folder_may_become_a_file_and_a_file_a_folder(place):
    first = place.run(1, {"x": "file"})
    shutil.rmtree(place.out)
    second = place.run(2, {"x/a.txt": "below"})
    assert place.restore(first) == []
    assert place.files() == {"x": "file"}
    assert place.restore(second) == []
    assert place.files() == {"x/a.txt": "below"}


def test_a_clone_gets_all_and_then_knows_what_is_the_steps(project, tmp_path):
    place = Place(project)
    first = place.run(1, {"a.txt": "1", "b.txt": "1"})
    second = place.run(2, {"a.txt": "2"})
    clone = Place(tmp_path / "clone")
    shutil.copytree(place.cache.home, clone.cache.home)
    shutil.rmtree(clone.cache.home / "outputs")
    clone.write("a.txt", "theirs, from git")
    with pytest.raises(ConflictError):
        clone.restore(first)
    (clone.out / "a.txt").unlink()
    assert clone.restore(first) == []
    assert clone.restore(second) == []
    assert clone.files() == {"a.txt": "2", "b.txt": "1"}


def test_a_kill_while_files_are_put_back_is_no_harm(place, monkeypatch):
    first = place.run(1, {"a.txt": "1", "b.txt": "1"})
    second = place.run(2, {"a.txt": "2", "b.txt": "2"})
    put_back = Cache._put_back

    def killed(cache, path, kept):
        if path.name == "b.txt":
            raise KeyboardInterrupt
        return put_back(cache, path, kept)

    with monkeypatch.context() as patched:
        patched.setattr(Cache, "_put_back", killed)
        with pytest.raises(KeyboardInterrupt):
            place.restore(first)
    assert place.files() == {"a.txt": "1", "b.txt": "2"}
    for entry in (second, first):
        assert Place(place.project).restore(entry) == []
    assert place.files() == {"a.txt": "1", "b.txt": "1"}


def test_a_record_that_is_not_ours_gives_no_right_to_delete(place):
    first = place.run(1, {"a.txt": "1"})
    (record,) = (place.cache.home / "outputs").glob("??/*")
    stolen = record.read_bytes()
    place.write("mine.txt", "1")
    place.run(2, {"a.txt": "2"})
    record.write_bytes(stolen.replace(b"a.txt", b"mine.txt"))
    with pytest.raises(ConflictError):  # nothing is known to be the step's any more
        place.restore(first)
    assert place.files() == {"a.txt": "2", "mine.txt": "1"}


NAMES = st.sampled_from(["a.txt", "b.txt", "sub/a.txt", "sub/c.txt", "new.txt"])
FILES = st.dictionaries(NAMES, st.sampled_from("xyz"), min_size=1)
EDITS = st.lists(
    st.tuples(st.sampled_from(["write", "delete", "link"]), NAMES), max_size=4
)
INPUTS = st.sampled_from(["out", "out/*.txt", "out/**/*.txt", "out/sub"])


@settings(deadline=None, max_examples=60)
@given(
    results=st.lists(FILES, min_size=2, max_size=3),
    edits=EDITS,
    which=st.integers(0, 2),
    text=INPUTS,
)
def test_nothing_of_the_users_is_lost_and_a_plan_sees_what_a_run_does(
    keys, results, edits, which, text
):
    finder, folder = keys
    for name in ("out", ".nbmlops"):
        shutil.rmtree(folder / name, ignore_errors=True)
    place = Place(folder)
    entries = [place.run(n, files) for n, files in enumerate(results)]
    entry, mine = entries[which % len(entries)], {}
    for kind, name in edits:
        path = place.out / name
        if kind == "delete":
            path.unlink(missing_ok=True)
            mine.pop(name, None)
        elif kind == "write":
            place.write(name, "the user's")
            mine[name] = "the user's"
        elif not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(folder / "far.txt")
            mine[name] = "far"
    step = Step(name="r", line=1, notebook="read.ipynb", inputs=(text,))
    try:
        gone = {*place.outputs.compare(entry["outputs"]).stale}
    except ConflictError:
        with pytest.raises(ConflictError):
            place.restore(entry)
        assert {f"out/{name}" for name in mine} & entry["outputs"].keys()
    else:
        made = {name: kept["sha256"] for name, kept in entry["outputs"].items()}
        planned = finder.parts(step, {}, upstream={}, made=made, gone=gone)
        assert place.restore(entry) is not None
        assert finder.parts(step, {}, upstream={})["inputs"] == planned["inputs"]
        assert {f"out/{name}" for name in place.files()} == {
            *made,
            *(f"out/{name}" for name in mine),
        }
    assert {name: (place.out / name).read_text() for name in mine} == mine
    assert (folder / "far.txt").read_text() == "far"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return what finds keys, and the folder of its pipeline with a notebook."""
    folder = tmp_path_factory.mktemp("project")
    write_notebook(folder / "read.ipynb", [])
    (folder / "far.txt").write_text("far")
    return Keys(folder, folder, folder / ".digests"), folder


@pytest.mark.parametrize("output", ["link", "link/a.txt", "out/link"])
def test_an_output_behind_a_link_is_refused_before_anything_runs(project, output):
    write_notebook(project / "a.ipynb", [])
    (project / "out").mkdir()
    for link in ("link", "out/link"):
        (project / link).symlink_to(project / "out")
    step = f"notebook: a.ipynb, outputs: [{output}]"
    path = write_pipeline(project, f"steps: {{a: {{{step}}}}}")
    with pytest.raises(nm.UsageError, match=r"is behind the link '(out/)?link'"):
        nm.Pipeline.load(path)
