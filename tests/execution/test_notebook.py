import json
import warnings
from contextlib import suppress

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook

from nbmlops.errors import NotFoundError, UsageError
from nbmlops.execution.notebooks.notebook import (
    code_sources,
    find_notebook,
    parse_notebook,
    read_notebook,
)
from nbmlops.execution.parameters.parameters import parameters


def notebook(source, **metadata):
    cell = new_code_cell(source, metadata={"tags": ["parameters"]})
    return new_notebook(cells=[new_code_cell("first = 0"), cell], metadata=metadata)


def test_the_parameters_cell_is_read_as_python_not_line_by_line():
    declared = parameters(
        notebook(
            "%matplotlib inline\n"
            "import os\n"
            "alpha: float = 0.1  # the learning rate\n"
            "layers = (50,\n    50)  # neurons = width\n"
            "options = dict(x=1)\n"
            "name = 'a=b'; flag = (1 == 2)\n"
            "low, high = -1, 2.5\n"
            "seed: int | None = None\n"
            "target: 'str'\n"
            "nothing = None\n"
            "if flag:\n    inner = 1\n"
        )
    )
    reported = [
        (p.name, p.type, p.default, p.default_source, p.is_literal)
        for p in declared.values()
    ]
    assert reported == [
        ("alpha", "float", 0.1, "0.1", True),
        ("layers", "tuple", (50, 50), "(50, 50)", True),
        ("options", "", None, "dict(x=1)", False),
        ("name", "str", "a=b", "'a=b'", True),
        ("flag", "", None, "1 == 2", False),
        ("low", "int", -1, "-1", True),
        ("high", "float", 2.5, "2.5", True),
        ("seed", "int | None", None, "None", True),
        ("target", "'str'", None, "", False),
        ("nothing", "", None, "None", True),
    ]
    assert declared["alpha"].help == "the learning rate"
    assert declared["layers"].help == "neurons = width"


def test_a_notebook_without_a_parameters_cell_is_reported_from_an_empty_one():
    assert parameters(new_notebook(cells=[new_code_cell("a = 1")])) is None
    assert parameters(notebook("# none yet")) == {}


def test_a_parameters_cell_that_is_not_python_names_the_line():
    with pytest.raises(UsageError, match=r"cell 1\) is not valid Python: line 2"):
        parameters(notebook("a = 1\nb = = 2"))


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("R", "alpha <- 0.1\nn = 3\nif (n == 4) {}"),
        ("julia", "alpha = 0.1\nn = 3"),
        ("scala", "val alpha = 0.1\nvar n = 3"),
    ],
)
def test_another_language_declares_names_of_any_type(language, source):
    declared = parameters(notebook(source, language_info={"name": language}))
    assert {name: p.type for name, p in declared.items()} == {"alpha": "", "n": ""}


def test_the_code_does_not_count_injected_parameters_markdown_or_outputs():
    node = notebook("a = 1")
    before = code_sources(node)
    cell = new_code_cell("a = 2", metadata={"tags": ["injected-parameters"]})
    node.cells.insert(2, cell)
    node.cells[0].outputs = [nbformat.v4.new_output("stream", text="x")]
    node.cells.append(nbformat.v4.new_markdown_cell("# Title"))
    assert code_sources(node) == before == ["first = 0", "a = 1"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"print(1)", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "nbformat"),
        (b'{"cells": []}', "nbformat"),
        (b'{"nbformat": 5, "nbformat_minor": 0, "cells": [], "metadata": {}}', "new"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "cells": 3, "metadata": {}}', ""),
        (b'{"nbformat": 4, "nbformat_minor": 5, "cells": [{}], "metadata": {}}', ""),
        (b'{"nbformat": 4, "nbformat_minor": 5, "cells": []}', ""),
        (b'{"nbformat": 4, "nbformat_minor": "x", "cells": [], "metadata": {}}', ""),
        (b'{"nbformat": 0}', ""),
    ],
)
def test_what_is_not_a_notebook_is_refused_in_one_line(tmp_path, content, why):
    path = tmp_path / "train.ipynb"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a notebook") as caught:
        read_notebook(path)
    assert why in caught.value.problem
    assert "\n" not in str(caught.value)


def test_an_old_notebook_is_brought_up_to_date_without_a_warning(tmp_path):
    path = tmp_path / "old.ipynb"
    cell = {"cell_type": "code", "input": ["a = 1\n", "b = 2"], "outputs": []}
    cell |= {"language": "python", "collapsed": False, "metadata": {}}
    sheet = {"cells": [cell], "metadata": {}}
    document = {"nbformat": 3, "nbformat_minor": 0, "worksheets": [sheet]}
    path.write_text(json.dumps(document | {"metadata": {"name": ""}}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        node = read_notebook(path)
    assert (node.nbformat, node.cells[0].source) == (4, "a = 1\nb = 2")


CODE = {"cell_type": "code", "input": "a = 1", "outputs": [], "language": "python"}
SHEET = {"cells": [{"cell_type": "markdown", "source": ["# Title"]}, CODE]}
OLD = {
    1: {
        "cells": [
            {"cell_type": "text", "text": "# Title"},
            {"cell_type": "code", "code": "a = 1"},
        ]
    },
    2: {"metadata": {"name": ""}, "worksheets": [SHEET]},
    3: {"metadata": {"name": ""}, "worksheets": [SHEET]},
}


@pytest.mark.parametrize("version", OLD)
def test_each_old_format_is_brought_up_to_date(version):
    document = {"nbformat": version, "nbformat_minor": 0, **OLD[version]}
    node = parse_notebook(json.dumps(document), "old.ipynb")
    found = [(cell.cell_type, cell.source) for cell in node.cells]
    assert found == [("markdown", "# Title"), ("code", "a = 1")]


@pytest.mark.parametrize("kinds", [["markdown"], ["code", "markdown"], [None]])
def test_a_cell_that_format_1_does_not_have_is_refused(kinds):
    cells = [{"cell_type": kind, "code": "a", "source": "b"} for kind in kinds]
    text = json.dumps({"nbformat": 1, "cells": cells})
    with pytest.raises(UsageError, match=f"its format 1 has no {kinds[-1]!r} cells"):
        parse_notebook(text, "old.ipynb")


odd = st.sampled_from([None, 1, "", "a = 1", ["a = 1\n", "b"], [None], {}, {"a": 1}])
KINDS = ["pyout", "pyerr", "stream", "display_data", "error", "execute_result", 1]
outputs = st.lists(
    st.fixed_dictionaries(
        {"output_type": st.sampled_from(KINDS)},
        optional=dict.fromkeys(("text", "png", "json", "data", "stream"), odd),
    ),
    max_size=2,
)
CELLS = ["code", "text", "markdown", "html", "heading", "raw", "odd", None]
NAMES = ["code", "text", "input", "source", "level", "metadata", "prompt_number"]
cells = st.lists(
    st.fixed_dictionaries(
        {"cell_type": st.sampled_from(CELLS)},
        optional={"outputs": outputs | odd, **dict.fromkeys(NAMES, odd)},
    )
    | odd,
    max_size=3,
)
sheets = st.lists(st.fixed_dictionaries({"cells": cells | odd}) | odd, max_size=2)


@pytest.mark.filterwarnings("ignore")  # nbformat warns of what it mends
@settings(max_examples=300)
@given(version=st.integers(0, 5), cells=cells, sheets=sheets | odd, metadata=odd)
def test_any_document_of_any_format_is_a_notebook_or_refused(
    version, cells, sheets, metadata
):
    document = {"nbformat": version, "cells": cells, "worksheets": sheets}
    document |= {"nbformat_minor": 0, "metadata": metadata}
    with suppress(UsageError):
        assert parse_notebook(json.dumps(document), "any.ipynb").nbformat == 4


@pytest.mark.parametrize(
    "path", ["http://127.0.0.1/a.ipynb", "https:/x/a.ipynb", "s3://b/a", "FILE:///a"]
)
def test_a_url_is_refused(path):
    with pytest.raises(UsageError, match="is a URL"):
        find_notebook(path)


def test_a_missing_notebook_names_the_nearest_one(tmp_path):
    (tmp_path / "train.ipynb").touch()
    with pytest.raises(NotFoundError, match=r"Did you mean 'train\.ipynb'\?"):
        find_notebook(tmp_path / "trian.ipynb")
    with pytest.raises(UsageError, match="is a folder"):
        find_notebook(tmp_path)
