import pickle

import pytest

from nbmlops import errors
from nbmlops.errors import NbmlopsError, NotebookError, did_you_mean


def test_every_error_has_a_status_and_stands_in_the_tree():
    drawn = errors.__doc__
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, NbmlopsError):
            assert str(kind.status) in drawn.split(name, 1)[1].splitlines()[0]


def test_error_shows_problem_fix_and_cause_without_frames():
    error = NbmlopsError("No key.", fix="Add it.")
    error.__cause__ = KeyError("key")
    assert error._render_traceback_() == [
        "NbmlopsError: No key.",
        "Add it.",
        "Caused by KeyError: 'key'",
    ]


def test_errors_survive_pickling():
    error = NotebookError(
        "Cell 2 failed.", fix="Fix it.", notebook="a.ipynb", source="x"
    )
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (str(again), again.source, again.notebook) == (
        "Cell 2 failed. Fix it.",
        "x",
        "a.ipynb",
    )


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("alhpa", ["alpha", "beta"], " Did you mean 'alpha'?"),
        ("zzz", ["alpha"], ""),
        ("c", ["n", "C"], " Did you mean 'C'?"),
        ("score", ["score"], ""),
    ],
)
def test_the_nearest_other_name_is_offered(name, known, hint):
    assert did_you_mean(name, known) == hint
