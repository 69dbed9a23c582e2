"""The slice gives the run what the whole gave it, whatever the program."""

import operator
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbmlops.tracking.provenance.dataflow.order import Execution, backward, out_of_order
from nbmlops.tracking.provenance.dataflow.state import AnalysisState

NAMES = ("a", "b", "c", "d")
names = st.sampled_from(NAMES)
numbers = st.integers(0, 9).map(str)
values = st.one_of(
    names,
    st.builds("[{}]".format, numbers),
    st.builds("[{}, {}]".format, names, names),
    st.builds("{{'k': {}}}".format, names),
    st.builds("({} , {})".format, names, numbers),
    st.builds("list({})".format, names),
    st.builds("[x for x in {}]".format, names),
    st.builds("len(list({}))".format, names),
    st.builds("wrap({})".format, names),
    st.builds("f({})".format, names),
    st.builds("(lambda: {})".format, names),
    st.builds("box.get({!r})".format, names),
    st.builds("iter(list({}))".format, names),
    st.builds("({} if {} else {})".format, names, names, names),
    numbers,
)
plain = st.one_of(
    st.builds("{} = {}".format, names, values),
    st.builds("{} = {}".format, names, values),
    st.builds("{} = {} = {}".format, names, names, values),
    st.builds("{}, {} = {}, {}".format, names, names, names, values),
    # No list doubles: 2 ** 60 items in a few loops are more than any machine holds.
    st.builds("{} += list({})[:2]".format, names, values),
    st.builds("{}.append({})".format, names, values),
    st.builds("{}[0] = {}".format, names, values),
    st.builds("{}['k'] = {}".format, names, values),
    st.builds("{}[0].append({})".format, names, numbers),
    st.builds("{}.clear()".format, names),
    st.builds("{}.pop()".format, names),
    st.builds("del {}".format, names),
    st.builds("grow({})".format, names),
    st.builds("keep({})".format, names),
    st.builds("f({})".format, names),
    st.builds("{}()".format, names),
    st.builds("next({})".format, names),
    st.builds("box[{!r}] = {}".format, names, names),
    st.builds("{} = {}.setdefault('k', [])".format, names, names),
    st.builds("(lambda v: v.append(1))({})".format, names),
    st.builds("[{}.append(i) for i in range(2)]".format, names),
    st.builds("exec('{} = 5')".format, names),
    st.builds("from math import pi as {}".format, names),
)


def indented(lines):
    return "\n".join("    " + line for part in lines for line in part.splitlines())


blocks = st.lists(plain, min_size=1, max_size=3).map(indented)
statements = st.one_of(
    plain,
    plain,
    plain,
    st.builds("def f({}):\n{}\n    return {}".format, names, blocks, names),
    st.builds("def f(v):\n    global {0}\n    {0} = v".format, names),
    st.builds("def f(v):\n    {}.append(v)\n    return {}".format, names, names),
    st.builds("class f:\n    def __init__(self, v):\n        self.v = v".format),
    st.builds("for {} in list({})[:3]:\n{}".format, names, names, blocks),
    st.builds("for n, {} in zip(range(3), {}):\n{}".format, names, names, blocks),
    st.builds("if {}:\n{}\nelse:\n{}".format, names, blocks, blocks),
    st.builds("try:\n{}\nexcept TypeError:\n{}".format, blocks, blocks),
    st.builds("while {0}:\n{1}\n    break".format, names, blocks),
)
cells = st.lists(statements, min_size=1, max_size=3).map("\n".join)
programs = st.lists(cells, min_size=2, max_size=9)

BEFORE = """
a, b, c, d, box, kept = [1], [2], {}, [[3]], {}, []
def wrap(v): return [v]
def grow(v): v.append(0)
def keep(v): kept.append(v)
def f(v): return v
"""


def run(sources):
    """Return the namespace, and per source whether it raised and what it left."""
    namespace = {}
    failed, seen = [], []
    for source in sources:
        try:
            exec(compile(source, "<cell>", "exec"), namespace)  # noqa: S102
        except Exception:  # noqa: BLE001
            failed.append(True)
        else:
            failed.append(False)
        seen.append(picture(namespace))
    return failed, seen


def picture(namespace):
    """Return what the names stand for, as text that knows no addresses."""
    return {name: show(namespace[name]) for name in NAMES if name in namespace}


def show(value, around=()):
    if len(around) > 4 or id(value) in around:
        return "...", around.index(id(value)) if id(value) in around else 0
    around = (*around, id(value))
    if isinstance(value, list | tuple):
        return [type(value).__name__, *(show(each, around) for each in value)]
    if isinstance(value, dict):
        return [(k, show(v, around)) for k, v in value.items()]
    if hasattr(value, "__length_hint__"):
        return "iterator", operator.length_hint(value)
    if isinstance(value, int | float | str | None):
        return value
    if hasattr(value, "v"):
        return "object", show(value.v, around)
    return type(value).__name__


def read(sources, failed):
    state = AnalysisState()
    return [
        state.read(source, is_whole=not has_failed)
        for source, has_failed in zip(sources, failed, strict=True)
    ]


@settings(max_examples=1500, deadline=None)
@given(programs, names)
def test_slice_gives_a_name_the_value_that_the_whole_gives_it(program, wanted):
    sources = [BEFORE, *program, f"result = {wanted}"]
    failed, whole = run(sources)
    effects = read(sources, failed)
    kept = backward(effects, {len(sources) - 1})
    _, part = run([sources[position] for position in kept])
    assert part[-1].get(wanted) == whole[-1].get(wanted)


def from_top(sources, places):
    """Return the cells of a run from the top, down to the last one that ran."""
    last = dict(zip(places, sources, strict=True))
    return [last[place] for place in sorted(last) if place <= places[-1]]


@settings(max_examples=1000, deadline=None)
@given(st.data(), st.lists(cells, min_size=2, max_size=5), names)
def test_clean_order_means_that_a_run_from_the_top_gives_the_same(
    data, document, wanted
):
    places = data.draw(
        st.lists(st.integers(1, len(document)), min_size=1, max_size=7), label="order"
    )
    sources = [BEFORE, *(document[p - 1] for p in places), f"result = {wanted}"]
    places = [0, *places, len(document) + 1]
    failed, whole = run(sources)
    effects = read(sources, failed)
    executions = [
        Execution(effects=found, code=source, place=place)
        for found, source, place in zip(effects, sources, places, strict=True)
    ]
    if not out_of_order(executions, {len(sources) - 1}):
        again = from_top(sources, places)
        failed, top = run(again)
        # A cell that no name leads to may do more there: it calls another function.
        latest = from_top(effects, places)
        if writes(read(again, failed)) == writes(latest):
            assert top[-1].get(wanted) == whole[-1].get(wanted)


def writes(effects):
    return [(each.writes, each.defines) for each in effects]


NOTEBOOK = (
    "import random\nrandom.seed(4)\nrows = [random.random() for _ in range(20)]",
    "def scale(values, by=2):\n    return [v * by for v in values]",
    "factor = 3",
    "train = scale(rows, factor)",
    "train.append(random.random())",
    "noise = [random.random()]\nunused = len(noise)",
    "model = {'mean': sum(train) / len(train)}",
    "model['mean'] += factor",
    "score = round(model['mean'], 12)",
)


def orders(n_orders, seed=60):
    """Yield orders in which a user may run the cells, each with edits and repeats."""
    shuffled = random.Random(seed)  # noqa: S311
    for number in range(n_orders):
        order = list(range(len(NOTEBOOK)))
        for _ in range(number % 5):
            order.insert(shuffled.randrange(9), shuffled.randrange(9))
        again = [shuffled.randrange(9) for _ in range(number % 4)]
        yield [*order, *again, 8]


def test_sixty_orders_of_the_same_cells_replay_to_the_same_score():
    n_clean = n_left_out = 0
    for order in orders(60):
        sources = [NOTEBOOK[place] for place in order]
        failed, _ = run(sources)
        effects = read(sources, failed)
        kept = backward(effects, {len(sources) - 1})
        whole, part = {}, {}
        execute(sources, whole)
        execute([sources[p] for p in kept], part)
        assert part["score"] == whole["score"], order
        n_left_out += len(sources) - len(kept)
        cells = [
            Execution(effects=e, code=s, place=p)
            for e, s, p in zip(effects, sources, order, strict=True)
        ]
        if not out_of_order(cells, {len(cells) - 1}):
            n_clean += 1
            top = {}
            execute(from_top(sources, order), top)
            assert top["score"] == whole["score"], order
    assert n_left_out > 60
    assert 0 < n_clean < 60


def execute(sources, namespace):
    for source in sources:
        try:
            exec(compile(source, "<cell>", "exec"), namespace)  # noqa: S102
        except NameError:
            continue


def slice_of(*sources):
    return backward(read(sources, [False] * len(sources)), {len(sources) - 1})


@pytest.mark.parametrize(
    ("sources", "kept"),
    [
        (["a = 1", "b = 2", "c = a"], (0, 2)),
        (["a = 1", "a = 2", "c = a"], (1, 2)),
        (["a = []", "b = a", "b.append(1)", "a"], (0, 1, 2, 3)),
        (["a = []", "b = [a]", "a.append(1)", "b"], (0, 1, 2, 3)),
        (["m = fit(X)", "m.predict(X)", "m"], (0, 2)),
        (["def f(): return k", "k = 1", "k = 2", "f()"], (0, 2, 3)),
        (["def f(): return k", "g = f", "k = 2", "g()"], (0, 1, 2, 3)),
        (["a = [1]", "f = lambda v=a: v", "b = 1", "f().append(2)", "a"],
         (0, 1, 3, 4)),
        (["n = 0\ndef up():\n    global n\n    n += 1", "up()", "n"], (0, 1, 2)),
        (["def make():\n n = [0]\n return lambda: n.append(1) or n",
          "c = make()", "c()", "c()"], (0, 1, 2, 3)),
        (["import numpy as np", "import math", "np.mean([1])"], (0, 2)),
        (["from lib import *", "a = 1", "b"], (0, 2)),
        (["a = 1", "b = 2", "exec('c = a')", "c"], (0, 1, 2, 3)),
        (["a = 1", "open('f', 'w').write('x')", "open('f').read()"], (1, 2)),
        (["import pandas as pd", "pd.set_option('a', 1)", "x = 1", "pd.NA"],
         (0, 1, 3)),
        (["import matplotlib.pyplot as plt", "x = 1", "plt.plot([x])", "x"], (1, 3)),
        (["import numpy as np", "np.random.seed(0)", "a = np.random.rand()",
          "b = np.random.rand()"], (0, 1, 2, 3)),
        (["import numpy as np", "rng = np.random.default_rng(0)", "a = rng.normal()",
          "k = 1", "b = rng.normal()"], (0, 1, 2, 4)),
        (["g = (i for i in range(9))", "next(g)", "k = 1", "sum(g)"], (0, 1, 3)),
        (["df = load()", "k = 2", "other = 1", "df.query('a > @k')"], (0, 1, 3)),
        (["df = load()", "df['x'] = 1", "n = len(df)", "df"], (0, 1, 3)),
        (["X = load()", "m = Model()\nm.fit(X)", "X['a'] = 0", "m.predict(Z)"],
         (0, 1, 2, 3)),
        (["get_ipython().run_line_magic('time', 'a = b')", "b = 1", "a"], (0, 2)),
        (["a = 1", "get_ipython().system('rm {a}')", "b = 1", "b"], (0, 1, 2, 3)),
        (["get_ipython().run_line_magic('runs', '')", "a = 1", "a"], (1, 2)),
        (["a = 1", "get_ipython().run_line_magic('compare', 'best:a a')", "a"], (0, 2)),
        (["get_ipython().run_line_magic('track', 'on long -m a')", "a = 1", "a"],
         (1, 2)),
        (["import time", "time.sleep(0)", "a = 1", "a"], (2, 3)),
        (["a = 1", "get_ipython().run_cell_magic('sql', '', 'x')", "b = 1"],
         (0, 1, 2)),
        (["class A:\n    n = []\n    def add(self): self.n.append(1)",
          "a = A()", "a.add()", "A.n"], (0, 1, 2, 3)),
        (["x = 5", "Out[3]"], (0, 1)),
        (["a = 1", "not python at all", "b = 1"], (0, 1, 2)),
    ],
    ids=lambda value: " | ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_what_stays(sources, kept):
    assert slice_of(*sources) == kept


def test_failed_cell_hides_no_earlier_value():
    sources = ["a = 1", "a = 1 / 0", "a"]
    assert backward(read(sources, [False, True, False]), {2}) == (0, 1, 2)


def judge(sources, places):
    effects = read(sources, [False] * len(sources))
    cells = [
        Execution(effects=found, code=source, place=place)
        for found, source, place in zip(effects, sources, places, strict=True)
    ]
    return out_of_order(cells, {len(sources) - 1})


@pytest.mark.parametrize(
    ("sources", "places", "found"),
    [
        (["a = 1", "b = a"], [1, 2], ()),
        (["b = 1", "a = 1", "c = a"], [2, 1, 3], ()),
        (["a = 1", "a = 2", "b = a"], [1, 3, 2], (0, 1)),
        (["a = 1", "b = a", "a = 2", "b = a"], [1, 2, 1, 2], ()),
        (["a = 1", "a += 1", "a += 1", "b = a"], [1, 2, 2, 3], (1,)),
        (["a = 1", "b = a"], [None, 1], (0,)),
        (["a = []", "a.append(1)", "a.append(2)", "b = a"], [1, 3, 2, 4], (1, 2)),
        (["a = 1", "b = a", "c = b", "b = a"], [1, 2, 3, 2], ()),
        (["%load", "a = 1", "%load", "a"], [1, 2, 1, 3], ()),
        (["import os", "os.mkdir('x')", "b = 1"], [1, 3, 2], ()),
        (["import numpy as np", "np.random.seed(0)", "a = np.random.rand()",
          "b = np.random.rand()", "b = np.random.rand()"], [0, 1, 2, 3, 3], (3,)),
        (["import numpy as np", "np.random.seed(0)", "a = np.random.rand()",
          "np.random.seed(0)", "a = np.random.rand()"], [0, 1, 2, 1, 2], ()),
    ],
)  # fmt: skip
def test_order_of_cells_is_judged_by_who_wrote_what_they_read(sources, places, found):
    assert judge([s.replace("%load", LOAD) for s in sources], places) == found


LOAD = "get_ipython().run_line_magic('load_ext', 'nbmlops')"
