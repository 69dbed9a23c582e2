"""What is kept of the cells a shell ran, and where they stand."""

import json
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbmlops.tracking.provenance.cells import ExecutedCell, cell_positions, is_local
from nbmlops.tracking.provenance.replay_notebook import build


@pytest.fixture
def shell(project):
    """Return a shell in this process that knows nothing of nbmlops."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    yield shell
    if getattr(shell, "nbmlops_session", None):
        shell.run_line_magic("unload_ext", "nbmlops")
    shell.reset()
    InteractiveShell.clear_instance()


def endings(history):
    return [(cell.count, cell.source, cell.ending) for cell in history.cells]


def test_cells_from_before_loading_are_known_with_how_they_ended(shell):
    for source in ("a = 1", "1 / 0", "%load_ext nbmlops", "b = a", "b.c", "def f("):
        shell.run_cell(source, store_history=True)
    shell.run_cell("%%track --nope\n1", store_history=True)
    assert endings(shell.nbmlops_session.history) == [
        (1, "a = 1", "finished"),
        (2, "1 / 0", "raised"),
        (3, "%load_ext nbmlops", "finished"),
        (4, "b = a", "finished"),
        (5, "b.c", "raised"),
    ]


def test_cell_that_runs_is_read_as_if_it_ended_and_once_more_when_it_has(shell):
    shell.run_cell("%load_ext nbmlops", store_history=True)
    history = shell.nbmlops_session.history
    history.begin("c = 1", None)
    assert history.read()[1][-1].defines == {"c"}
    history.end(ending="raised")
    codes, effects = history.read()
    assert (codes[-1], effects[-1].defines) == ("c = 1", frozenset())
    assert effects[-1].writes == {"c"}


def executed(source, cell_id=None, at=0.0, ending="finished"):
    return ExecutedCell(source=source, count=1, cell_id=cell_id, at=at, ending=ending)


def write(path, *pairs):
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in pairs]
    cells.insert(0, nbformat.v4.new_markdown_cell("# Title"))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_places_come_from_ids_then_texts(tmp_path):
    path = write(tmp_path / "n.ipynb", ("a", "x = 1"), ("b", "y = 1"), ("c", "y = 1"))
    cells = [
        executed("x = 1", "a"),
        executed("x = 2", "a"),  # edited and not saved
        executed("y = 1"),
        executed("y = 1"),
    ]
    found = cell_positions(cells, path)
    assert [place.at for place in found] == [1.0, 1.0, 2.0, 3.0]
    assert all(place.is_known for place in found)


def test_cell_that_a_later_save_does_not_have_is_gone_an_unsaved_one_presumed(tmp_path):
    path = write(tmp_path / "n.ipynb", ("a", "x = 1"), ("b", "y = 1"))
    now = path.stat().st_mtime
    gone, new = executed("z = 1", "gone", now - 9), executed("z = 2", "new", now + 9)
    found = cell_positions([executed("x = 1", "a"), gone, new, new], path)
    assert [place.at for place in found[:2]] == [1.0, None]
    assert 1 < found[2].at == found[3].at < 2
    assert [place.is_known for place in found] == [True, True, False, False]
    first, second = cell_positions([executed("a = 1"), executed("b = 1")], None)
    assert first.at < second.at
    assert not first.is_known


def test_cell_is_edited_when_a_later_save_has_other_code_there(tmp_path):
    path = write(tmp_path / "n.ipynb", ("a", "x = 2"), ("b", "y = 1  # new words"))
    now = path.stat().st_mtime
    before, after = now - 9, now + 9
    cells = [
        executed("x = 1", "a", before),
        executed("x = 3", "a", after),  # run with what is not saved yet
        executed("y  =  1", "b", before),
    ]
    assert [place.is_edited for place in cell_positions(cells, path)] == [
        True,
        False,
        False,
    ]


def test_installed_modules_are_not_local():
    assert not is_local("pytest", Path("/"))
    assert not is_local("nbmlops", Path("/"))
    assert not is_local("no_such_module", Path("/"))


def built(*sources, params, own=None):
    cells = [executed(source) for source in sources]
    codes = [
        s.replace("%%track", "# %%track").replace("%track", "pass #") for s in sources
    ]
    own = {len(sources) - 1} if own is None else own
    content = build(cells, codes, own=own, params=params, about={"a": 1})
    document = json.loads(content)
    nbformat.validate(nbformat.reads(content.decode(), 4))
    assert document["cells"][0]["metadata"]["tags"] == ["parameters"]
    return [cell["source"] for cell in document["cells"]]


@pytest.mark.parametrize(
    ("sources", "lifted"),
    [
        (["C = 0.5\nfit(C)"], ["C = 0.5", "# C = 0.5\nfit(C)"]),
        (["C: float = 1\nC"], ["C: float = 1", "# C: float = 1\nC"]),
        (["C = 1", "C = 2\nC"], ["C = 2", "# C = 1", "# C = 2\nC"]),
        (["C, d = 1, 2\nC"], ["C = 1", "d = 2\nC"]),
        (["C = [\n  1,\n]\nC"], ["C = [1]", "# C = [\n#   1,\n# ]\nC"]),
        (["C = 1  # why\nC"], ["C = 1", "# C = 1  # why\nC"]),
        (["C = 1\nprint(C)\nC = 2"], None),
        (["C = 1; d = 2\nC"], None),
        (["C = other\nC"], None),
        (["if d:\n    C = 1\nC"], None),
        (["for C in x:\n    pass", "C = 1\nC"], None),
        (["C = 1\nC += 1"], None),
        (["C = 1\ndef f():\n    global C\n    C = 2"], None),
        (["print(C)", "C = 1"], None),
        (["import C", "C = 1"], None),
        (["del C", "C = 1"], None),
    ],
)
def test_literal_is_lifted_only_when_that_keeps_the_meaning(sources, lifted):
    assert built(*sources, params=["C"]) == (lifted or ["", *sources])


def test_two_names_of_one_line_are_both_lifted():
    assert built("a, b = 1, 2\na + b", params=["a", "b"]) == [
        "a = 1\nb = 2",
        "# b = 2\na + b",
    ]


def test_only_the_lines_of_the_run_itself_still_track():
    found = built(
        "%%track other\nx = 1",
        "%%track timed\n%%time\nx = 2",
        "if x:\n    %track log a=1\n%deploy m@champion",
        "nm.register(\n    'm'\n)\nv = nm.runs()",
        "%%track own\n%track log b=1",
        params=[],
    )
    assert found == [
        "",
        "# %%track other\nx = 1",
        "%%time\nx = 2",
        "if x:\n    pass  # %track log a=1\npass  # %deploy m@champion",
        "# nm.register(\n#     'm'\n# )\nv = nm.runs()",
        "%%track own\n%track log b=1",
    ]


def test_text_that_looks_like_our_magics_stays_text():
    text = 'help = """\n%%track other\n%register m\n"""'
    magic = "v = %register m --run \\\n    latest"
    found = built(f"{text}\n%register m", magic, "fit()", params=[])
    assert found[1] == f"{text}\npass  # %register m"
    assert found[2] == "v = None  # %register m --run \\\n#     latest"
