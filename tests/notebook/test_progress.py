import linecache
import threading
import types

import pytest

from nbmlops.notebook.output.progress import LoopWatch


def _seen(source, **names):
    """Run a cell and return what is seen from another thread inside of it."""
    names |= {"seen": [], "look": None}
    watch = LoopWatch(names)

    def look():
        found = []
        thread = threading.Thread(target=lambda: found.append(watch.look()))
        thread.start()
        thread.join()
        names["seen"].append(found[0])

    names["look"] = look
    filename = f"<cell {abs(hash(source))}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    exec(compile(source, filename, "exec"), names)  # noqa: S102
    return [each and (each.name, each.n_done, each.n_rounds) for each in names["seen"]]


@pytest.mark.parametrize(
    ("source", "last"),
    [
        ("for i in range(3):\n    look()", ("i", 2, 3)),
        ("n = 4\nfor i in range(1, 2 * n + 1):\n    look()", ("i", 7, 8)),
        ("for i in range(10, 0, -2):\n    look()", ("i", 4, 5)),
        ("xs = 'abc'\nfor i in range(len(xs)):\n    look()", ("i", 2, 3)),
        ("xs = [5, 6]\nfor k, x in enumerate(xs, start=1):\n    look()", ("k", 1, 2)),
        ("for k, x in enumerate([5, 6, 7]):\n    look()", ("k", 2, 3)),
        ("for i in range(3):\n    for j in range(9):\n        look()", ("i", 2, 3)),
        ("def fit(n):\n    for e in range(n):\n        look()\nfit(5)", ("e", 4, 5)),
        ("import numpy as np\nX = np.ones((6, 2))\nfor i in range(len(X)): look()",
         ("i", 5, 6)),
    ],
)  # fmt: skip
def test_counted_loops_are_seen(source, last):
    assert _seen(source)[-1] == last


def test_a_loop_inside_a_progress_bar_is_seen():
    def tqdm(rounds):
        return rounds

    assert _seen("for i in tqdm(range(3)):\n    look()", tqdm=tqdm)[0] == ("i", 0, 3)


@pytest.mark.parametrize(
    "source",
    [
        "look()",
        "for x in [1, 2]:\n    look()",
        "i = 0\nwhile i < 3:\n    i += 1\n    look()",
        "for i in range(int('3')):\n    look()",
        "for i, j in zip([1], [2]):\n    look()",
        "for i in range(3):\n    pass\nlook()",
        "for i in range(3):\n    i = 'moved'\n    look()",
    ],
)
def test_nothing_is_claimed_of_any_other_code(source):
    assert set(_seen(source)) == {None}


def test_no_code_of_the_users_is_run_to_find_out():
    class Loader:
        def __len__(self):
            raise AssertionError

        def __iter__(self):
            return iter("ab")

    loader = Loader()
    assert _seen("for i, x in enumerate(xs):\n    look()", xs=loader) == [None, None]


def test_the_time_left_follows_from_the_rounds_seen(monkeypatch):
    from nbmlops.notebook.output import progress

    now = 100.0
    clock = types.SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(progress, "time", clock)
    watch = LoopWatch({})
    assert watch._estimate(("cell", 1), "i", 0, 10).left_s is None
    now = 100.5
    assert watch._estimate(("cell", 1), "i", 1, 10).left_s is None
    now = 104.0
    assert watch._estimate(("cell", 1), "i", 2, 10).left_s == pytest.approx(16)
    assert watch._estimate(("cell", 5), "j", 3, 10).left_s is None
