"""The order of cells is clean wherever a notebook runs from the top to the bottom."""

import json
from pathlib import Path

import pytest

from nbmlops.tracking.provenance.dataflow.order import Execution, out_of_order
from nbmlops.tracking.provenance.dataflow.state import AnalysisState
from nbmlops.tracking.provenance.magics import to_python

QUICKSTART = Path(__file__).parents[3] / "notebooks" / "quickstart.ipynb"
DRAWING = (
    "import matplotlib.pyplot as plt\nimport numpy as np\nimport helpers",
    "np.random.seed(7)\nrows = helpers.load()\nscores = []",
    "def draw(values):\n    plt.plot(values)\n    plt.show()\n    scores.append(1)",
    "for i in range(3):\n    rows[i] += 1",
    "noise = np.random.rand(3)\nhelpers.clean(rows, noise)",
    "draw(rows)\nmodel = helpers.fit(rows)",
    "for i in range(2):\n    draw(model)",
    "try:\n    best\nexcept NameError:\n    best = model",
    "with open('out.txt', 'w') as out:\n    out.write(str(best))",
    "get_ipython().run_line_magic('unheard_of', 'x')",
    "eval('model')",
    "print(scores, _)",
)


def executions(sources, order, **changes):
    """Return what a kernel ran: the cells by number; changes are of all executions."""
    state = AnalysisState(lambda name: name == "helpers")
    return [
        Execution(
            effects=state.read(sources[n]), code=sources[n], place=float(n), **changes
        )
        for n in order
    ]


def odd(cells):
    """Return which executions were out of order, each judged when it had run."""
    return [n for n in range(len(cells)) if out_of_order(cells[: n + 1], {n})]


@pytest.mark.parametrize("n_times", [1, 2, 3])
def test_whole_passes_from_the_top_are_clean(n_times):
    assert odd(executions(DRAWING, [*range(len(DRAWING))] * n_times)) == []


def test_passes_that_end_midway_are_clean():
    whole = [*range(len(DRAWING))]
    assert odd(executions(DRAWING, [*whole, *whole[:6], *whole[:8], *whole])) == []


def test_own_quickstart_is_clean_twice_and_when_a_run_is_done_again():
    document = json.loads(QUICKSTART.read_text(encoding="utf-8"))
    sources = [
        to_python("".join(cell["source"]))
        for cell in document["cells"]
        if cell["cell_type"] == "code"
    ]
    assert len(sources) > 6
    order = [*range(len(sources)), *range(len(sources)), 4, 5, 6, 4]
    assert odd(executions(sources, order)) == []


def test_a_pass_after_an_edit_is_clean_and_a_cell_alone_is_not():
    before = ["a = 1", "b = a", "c = b", "d = c"]
    after = ["a = 2", *before[1:]]
    first = executions(before, range(4))
    first[0] = Execution(
        effects=first[0].effects, code="a = 1", place=0.0, is_edited=True
    )
    again = [*first, *executions(after, range(4))]
    assert [n for n in odd(again) if n > 3] == []
    alone = [*first, *executions(after, [3])]
    assert out_of_order(alone, {4}) == (0,)
    above = [*first, *executions(after, [0, 3])]
    assert out_of_order(above, {5}) == (0, 4)


CHAIN = ("x = [1]", "y = [x]", "z = y", "x = [2]", "y[0].append(3)")


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ([0, 1, 2, 3, 4, 1], (0, 3)),  # cell 3 has bound x anew
        ([0, 1, 2, 3, 4, 2], (1, 4)),  # cell 4 has changed what is in y
        ([0, 3, 1], (0, 1)),
        ([0, 1, 2, 3, 4, 0, 1, 2], ()),
        ([0, 3, 1, 0, 1, 2], ()),
    ],
)
def test_a_later_change_from_below_is_found(order, found):
    cells = executions(CHAIN, order)
    assert out_of_order(cells, {len(cells) - 1}) == found


def test_each_cell_of_a_run_over_many_is_judged():
    cells = executions(("a = 1", "b = a", "a = 2", "c = a"), [0, 1, 2, 1, 0, 1, 2, 3])
    assert out_of_order(cells, {6, 7}) == ()
    assert out_of_order(cells, {3, 4, 5, 6, 7}) == (2, 4)


def test_a_name_that_only_a_cell_below_makes_is_found():
    sources = ("def f():\n    return later", "f()", "later = 1")
    assert out_of_order(executions(sources, [0, 2, 1]), {2}) == (1,)
    helped = ("import pandas as pd", "t = pd.concat([t0])", "t0 = pd.DataFrame()")
    assert out_of_order(executions(helped, [0, 2, 1]), {2}) == (1,)


def test_looking_at_data_below_leaves_the_run_above_clean():
    sources = (
        "import matplotlib.pyplot as plt\nimport helpers\nrows = helpers.load()",
        "fit = rows.sum()",
        "rows.head()\nrows.describe()\nrows.apply(len)\nfig, ax = plt.subplots()\n"
        "ax.scatter(rows['a'], rows['b'])\nplt.show()\nprint(len(rows))",
        "rows.dropna(inplace=True)",
    )
    assert odd(executions(sources, [0, 1, 2, 1, 2, 1])) == []
    assert odd(executions(sources, [0, 1, 2, 3, 1])) == [4]


def test_own_modules_objects_are_kept_in_a_replay_though_no_badge_is_shown():
    state = AnalysisState(lambda name: name == "helpers")
    state.read("import helpers\nrows = helpers.load()")
    looked = state.read("rows.head()")
    assert "rows" in looked.writes & looked.unlikely
    assert looked.must_keep
