"""Magics are reported from Python, and from text that looks like them."""

import subprocess
import sys

import nbformat
import pytest

from nbmlops._hashing import code_hash
from nbmlops.execution.clients.imports import find_imports, why_front_end
from nbmlops.execution.notebooks.code_dependencies import dependencies_of
from nbmlops.execution.parameters.parameters import parameters
from nbmlops.tracking.provenance.dataflow.syntax import parse
from nbmlops.tracking.provenance.magics import magic_lines, to_python
from nbmlops.tracking.run.capture import assigned_names

TEXT = '''note = """
%matplotlib qt
%run other.py
!rm -r data
%load_ext another
%%bash
import nothing
"""
'''
"""Python in which no line is a magic."""


def notebook(*sources, tags=()):
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})
        for source in sources
    ]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("!train --lr 0.1", "!train --lr 0.9"),
        ("%run train.py 0.1", "%run train.py 0.9"),
        ("out = !train --lr 0.1", "out = !train --lr 0.9"),
        ("%%bash\ntrain --lr 0.1", "%%bash\ntrain --lr 0.9"),
        ("%%time\n!train --lr 0.1", "%%time\n!train --lr 0.9"),
    ],
)
def test_commands_that_differ_have_code_hashes_that_differ(one, other):
    assert code_hash([to_python(one)]) != code_hash([to_python(other)])
    assert parse(to_python(one)) is not None


def test_what_runs_python_is_that_python():
    assert assigned_names(to_python("%%time\na = 1")) == ("a",)
    assert assigned_names(to_python("%%capture out\n%%time\na = 1")) == ("a",)
    assert assigned_names(to_python("%%bash\na = 1")) == ()
    assert assigned_names(to_python("files = !ls\nx = 1")) == ("files", "x")


def test_lines_keep_their_numbers():
    for source in ("\n\n%pwd\n1 / 0", "%%time\n%pwd\n\n1 / 0", "1\n2\n3\n1 / 0"):
        assert to_python(source).split("\n")[3] == "1 / 0"


def test_text_that_looks_like_magics_is_text():
    assert to_python(TEXT) == TEXT
    assert not list(magic_lines(TEXT))
    facts = dependencies_of(f"import os\n{TEXT}")
    assert (facts.modules, facts.files) == (["os"], [])
    assert why_front_end(notebook(TEXT).cells) == ""
    assert find_imports(notebook(TEXT).cells) == []
    (found,) = parameters(notebook(TEXT, tags=["parameters"])).values()
    assert found.default == TEXT[len('note = """') : -len('"""\n')]


def test_magics_among_such_text_are_found():
    source = f"{TEXT}%run -i own.py x\n!it's\n%matplotlib qt\nx = %load_ext mine\n"
    assert [first for first, _, _ in magic_lines(source)] == [8, 9, 10, 11]
    facts = dependencies_of(source)
    assert facts.files == ["own.py"]
    assert "'%matplotlib qt'" in why_front_end(notebook(source).cells)
    assert find_imports(notebook(source).cells) == ["mine"]


def test_python_needs_no_ipython():
    code = (
        "import sys; from nbmlops.tracking.provenance.magics import to_python;"
        "to_python('import a\\nb = [a % 2, a != 3]  # so\\n'); assert not "
        "[m for m in sys.modules if m.partition('.')[0] == 'IPython']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
