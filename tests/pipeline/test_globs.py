import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbmlops as nm
from nbmlops.config import load_settings
from nbmlops.entities import Step
from nbmlops.execution.file_hashes import Digests
from nbmlops.pipeline.cache.keys import Keys
from nbmlops.pipeline.spec.file import read_pipeline
from nbmlops.pipeline.spec.globs import PathPattern
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import write_pipeline

FOLDERS = st.sampled_from(["a", "b", "ab", ".a", "a.csv", "[a]"])
FILES = st.sampled_from(["a", "x.csv", "y.csv", "x.txt", ".x.csv", "[a].csv"])
WILDCARDS = [
    "*",
    "**",
    "?",
    "*.csv",
    ".*",
    "[ab]*",
    "*a*",
    "x.*",
    "[!x].csv",
    "[a].csv",
]
NAMES = st.one_of(st.sampled_from(WILDCARDS), FOLDERS, FILES)
PATHS = st.lists(
    st.tuples(st.lists(FOLDERS, max_size=3), FILES).map(
        lambda p: "/".join([*p[0], p[1]])
    ),
    max_size=12,
)
PATTERNS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def plant(folder, paths):
    """Write a file at each path that is still free, and return those that are there."""
    for path in paths:
        file = folder / path
        if not any(each.is_file() for each in (file, *file.parents)):
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.write_text(path)
    return files_in(folder)


def files_in(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


QUICK = settings(deadline=None, max_examples=60)


@QUICK
@given(paths=PATHS, text=PATTERNS)
def test_a_tree_and_a_path_are_matched_alike_and_as_pathlib_does(paths, text):
    check_tree(paths, text)


@pytest.mark.slow
@settings(deadline=None, max_examples=2000)
@given(paths=PATHS, text=PATTERNS)
def test_many_trees_are_matched_alike(paths, text):
    check_tree(paths, text)


def check_tree(paths, text):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "[ab] *")  # a project may have any name
        folder.mkdir()
        there = plant(folder, paths)
        pattern = PathPattern(folder, text)
        found = list(pattern.files())
        assert len(set(found)) == len(found)
        assert set(found) == {path for path in there if pattern.fits(path)}
        tops = {folder / text} if (folder / text).exists() else set(folder.glob(text))
        below = {path for path in there if tops & {path, *path.parents}}
        assert set(found) == below
        for path in found:
            assert path.is_relative_to(pattern.base)
            assert all(map(pattern.may_fit_below, (path, *path.parents)))


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return what finds keys, and the folder of its pipeline with a notebook."""
    project = tmp_path_factory.mktemp("project")
    folder = project / "pipeline"
    write_notebook(folder / "read.ipynb", [])
    return Keys(folder, project, project / ".nbmlops"), folder


def hashed(files, folder):
    """Return the digest of each file by its path from a folder."""
    read = Digests(folder / "none")
    return {path.relative_to(folder).as_posix(): read.sha256(path) for path in files}


@QUICK
@given(made=PATHS, stale=PATHS, mine=PATHS, text=PATTERNS)
def test_a_plan_and_a_run_see_the_same_inputs(keys, made, stale, mine, text):
    finder, folder = keys
    step = Step(name="read", line=1, notebook="read.ipynb", inputs=(text,))
    for each in folder.iterdir():
        if each.is_dir():
            shutil.rmtree(each)
    plant(folder, [f"a/{path}" for path in mine])
    plant(folder, [f"b/{path}" for path in stale])
    with tempfile.TemporaryDirectory() as scratch:
        known = hashed(plant(Path(scratch), [f"b/{p}" for p in made]), Path(scratch))
    gone = files_in(folder / "b")
    planned = finder.parts(step, {}, upstream={}, made=known, gone=gone)
    shutil.rmtree(folder / "b", ignore_errors=True)
    plant(folder, [f"b/{path}" for path in made])
    run = finder.parts(step, {}, upstream={})
    assert planned["inputs"] == run["inputs"]


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """Return a function that reads a pipeline, and returns what its reader needs."""
    project = tmp_path_factory.mktemp("project")
    (project / ".nbmlops").mkdir()
    write_notebook(project / "n.ipynb", [])
    found = load_settings(project)

    def needs(output, text):
        steps = (
            f"steps:\n  read: {{notebook: n.ipynb, inputs: ['{text}']}}\n"
            f"  make: {{notebook: n.ipynb, outputs: ['{output}']}}\n"
        )
        spec, _ = read_pipeline(write_pipeline(project, steps), settings=found)
        return spec.step("read").needs

    return needs


@QUICK
@given(
    output=st.sampled_from(["b", "b/", "b/ab", "b/a.csv/"]),
    below=st.lists(st.sampled_from(["a", "c"]), max_size=2),
    data=st.data(),
)
def test_what_makes_an_input_comes_before(two_steps, output, below, data):
    made = [*output.strip("/").split("/"), *below, "x.csv"]
    parts = []
    for name in made:
        fits = [name, "*", "**", f"{name[0]}*", f"**/{name}", f"[{name[0]}]*"]
        parts.append(data.draw(st.sampled_from(fits)))
    assert two_steps(output, "/".join(parts)) == ("make",)


@pytest.mark.parametrize(
    ("text", "path", "fits"),
    [
        ("d/*.csv", "d/x.csv", True),
        ("d/*.csv", "d/sub/x.csv", False),
        ("d/**/*.csv", "d/x.csv", True),
        ("d/**/*.csv", "d/sub/deep/x.csv", True),
        ("d/**", "d/x.csv", True),
        ("d/*", "d/sub/x.csv", True),
        ("d", "d/sub/x.csv", True),
        ("d", "data/x.csv", False),
        ("*.csv", ".hidden.csv", True),
        ("**/*.csv", ".hidden/x.csv", True),
        ("./d/../d/*.csv", "d/x.csv", True),
        ("d/**", "d/.ipynb_checkpoints/x.csv", False),
        ("d/.ipynb_checkpoints", "d/.ipynb_checkpoints/x.csv", True),
    ],
)
def test_what_a_glob_stands_for(project, text, path, fits):
    plant(project, [path])
    pattern = PathPattern(project, text)
    assert pattern.fits(project / path) is fits
    assert list(pattern.files()) == [project / path] * fits


def test_links_to_folders_are_followed_but_not_in_circles(project):
    plant(project, ["d/a/x.csv", "far/y.csv"])
    (project / "d" / "a" / "up").symlink_to(project / "d")
    (project / "d" / "far").symlink_to(project / "far")
    found = [project / "d" / "a" / "x.csv", project / "d" / "far" / "y.csv"]
    assert list(PathPattern(project, "d").files()) == found
    assert list(PathPattern(project, "d/**/*.csv").files()) == found


FOLDER = """
steps:
  read: {{notebook: read.ipynb, inputs: ['{text}'], outputs: [sum.txt]}}
  make: {{notebook: make.ipynb, outputs: ['{output}']}}
"""


def test_a_folder_with_a_suffix_says_so_where_a_glob_may_look_into_it(project):
    for name in ("read", "make"):
        write_notebook(project / f"{name}.ipynb", [])
    plant(project, ["d/set.parquet/x.csv"])
    text = FOLDER.format(text="d/**/*.csv", output="d/set.parquet")
    with pytest.raises(nm.UsageError, match="that 'make' writes: end that output with"):
        nm.Pipeline.load(write_pipeline(project, text))
    text = FOLDER.format(text="d/**/*.csv", output="d/set.parquet/")
    spec = nm.Pipeline.load(write_pipeline(project, text)).spec
    assert spec.step("read").needs == ("make",)
