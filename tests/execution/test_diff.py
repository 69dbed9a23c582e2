import random
import subprocess
import sys
import time

import pytest

from nbmlops.execution.notebooks.diff import diff_cells

_FIT = "model = LogisticRegression(C=0.5, max_iter=200)\nmodel.fit(X_train, y_train)"
_READ = 'data = pd.read_csv("credit.csv")\nX = data.drop(columns="Status")'
_SCORE = "auc = roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])"
_PLOT = "fig, ax = plt.subplots()\nax.plot(fpr, tpr)"


def _reported(before, after):
    return [(cell.change, *cell.positions) for cell in diff_cells(before, after)]


def test_equal_code_has_no_difference():
    assert diff_cells([_READ, _FIT], [f"\n{_READ}  \n", _FIT]) == ()
    assert diff_cells([], []) == ()


def test_changed_cell_keeps_its_place_though_cells_come_and_go_around_it():
    after = [_PLOT, _FIT.replace("0.5", "2.0"), _SCORE]
    assert _reported([_READ, _FIT, _SCORE], after) == [
        ("removed", 1, None),
        ("added", None, 1),
        ("changed", 2, 2),
    ]


def test_lines_tell_what_changed_with_two_lines_around():
    lines = [f"x{n} = {n}" for n in range(10)]
    other = [*lines[:5], "x5 = 'five'", *lines[6:]]
    (cell,) = diff_cells(["\n".join(lines)], ["\n".join(other)])
    assert cell.lines == (
        "...",
        "  x3 = 3",
        "  x4 = 4",
        "- x5 = 5",
        "+ x5 = 'five'",
        "  x6 = 6",
        "  x7 = 7",
    )


@pytest.mark.parametrize("seed", range(30))
def test_cells_reported_of_rebuild_the_second_notebook_from_the_first(seed):
    rng = random.Random(seed)  # noqa: S311 - not a secret
    pool = [_READ, _FIT, _SCORE, _PLOT, "x", "print(auc)", "", "model"]
    before = [rng.choice(pool) for _ in range(rng.randrange(9))]
    after = [
        rng.choice([cell, cell + "\ny = 1", rng.choice(pool)])
        for cell in before
        if rng.random() > 0.2
    ]
    after += [rng.choice(pool) for _ in range(rng.randrange(3))]
    found = diff_cells(before, after)
    reported_left = {cell.positions[0] for cell in found} - {None}
    reported_right = {cell.positions[1] for cell in found} - {None}
    kept = [c for place, c in enumerate(before, 1) if place not in reported_left]
    assert kept == [
        c for place, c in enumerate(after, 1) if place not in reported_right
    ]
    for cell in found:
        left, right = cell.positions
        old = before[left - 1].strip().splitlines() if left else []
        new = after[right - 1].strip().splitlines() if right else []
        assert [line[2:] for line in cell.lines if line[0] in "- "] == old
        assert [line[2:] for line in cell.lines if line[0] in "+ "] == new


def test_long_notebooks_do_not_take_long():
    rng = random.Random(0)  # noqa: S311 - not a secret
    names = [f"name_{n}" for n in range(300)]

    def cell():
        return "\n".join(f"{rng.choice(names)} = {rng.random()}" for _ in range(60))

    before = [cell() for _ in range(90)]
    after = [cell() for _ in range(90)]
    started = time.monotonic()
    assert diff_cells(before, after)
    assert diff_cells(before * 5, after * 5)
    # nbdime's own likeness of cells takes minutes for the first of these.
    assert time.monotonic() - started < 30


def test_nbdime_is_loaded_when_needed_and_leaves_no_trace(tmp_path):
    code = """
import os, sys
seen = []
def listen(event, details):
    writes = event == "open" and isinstance(details[1], str) and details[1][0] in "wax"
    if writes or event.split(".")[0] in ("subprocess", "socket") or event == "os.mkdir":
        seen.append((event, details))
import nbmlops.execution.notebooks.diff as difference
assert "nbdime" not in sys.modules
import json, nbformat, logging
before = dict(os.environ), list(logging.getLogger().handlers)
sys.dont_write_bytecode = True
sys.addaudithook(listen)
difference.diff_cells(["a = 1", "b = 2"], ["a = 2", "c = 3", "d = 4"])
assert "nbdime" in sys.modules
assert (dict(os.environ), list(logging.getLogger().handlers)) == before
assert seen == [], seen
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


def test_what_the_user_tells_nbdime_to_ignore_does_not_hide_code():
    from nbdime.diffing import notebooks

    notebooks.set_notebook_diff_targets(sources=False)
    try:
        reported = _reported([_READ, _FIT], [_READ + "\nX = 1", _FIT + "\nX = 2"])
        assert reported == [("changed", 1, 1), ("changed", 2, 2)]
    finally:
        notebooks.reset_notebook_differ()
        notebooks.set_notebook_diff_targets()
