"""The end of a tracked cell, whatever the objects in it do."""

import itertools
from pathlib import Path

import pytest

from nbmlops.store import connect
from nbmlops.store.artifacts import read_file

_SET_UP = """
from sklearn.linear_model import LogisticRegression
import pandas as pd
X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
y = [0, 0, 1, 1]
class Rude:
    pass
def refuse(self, *args, **kwargs):
    raise ERROR
for name in METHODS:
    setattr(Rude, name, refuse)
"""
_METHODS = {
    "shown": ("__repr__", "__str__", "__format__"),
    "compared": ("__eq__", "__ne__", "__bool__", "__hash__"),
    "measured": ("__len__", "__float__", "__index__", "__array__"),
    "looked at": ("__getattribute__", "__getattr__", "__dir__"),
    "iterated": ("__iter__", "__getitem__", "__contains__", "__next__"),
}
_ERRORS = ["RuntimeError('no')", "SystemExit(3)", "MemoryError()", "Rude()"]
_OPTIONS = ["-p C bad", "-p C -m score bad", "-p C -d X bad"]


@pytest.mark.parametrize("kind", _METHODS)
def test_rude_objects_cost_a_line_and_the_rest_is_recorded(shell, runs, capsys, kind):
    methods = {name for name in _METHODS[kind] if name != "__hash__"}
    for error, options in itertools.product(_ERRORS, _OPTIONS):
        is_exception = error != "Rude()"
        code = _SET_UP.replace("METHODS", repr(sorted(methods)))
        code = code.replace("ERROR", error if is_exception else "Rudest()")
        if not is_exception:  # an exception that cannot be shown itself
            code += "class Rudest(Exception):\n    __str__ = __repr__ = refuse\n"
        assert shell.run_cell(code).success
        capsys.readouterr()
        shell.run_cell(
            f"%%track it {options}\n"
            "C, bad = 0.5, Rude()\n"
            "model = LogisticRegression(C=C).fit(X, y)\n"
            "score = 0.5"
        )
        said = capsys.readouterr()
        about = f"{kind}, {error}, {options}: {said.out}{said.err}"
        assert "Error in callback" not in about, about
        assert "Traceback" not in about, about
        assert len(said.out.splitlines()) <= 6, about
        run = runs()[-1]
        assert run.status in ("FINISHED", "FAILED"), about
        assert run.params["C"] == "0.5", about
        assert run.model_id is not None, about
        if "-m" in options:
            assert run.metrics["score"] == 0.5, about
        assert (
            "cannot be recorded" in about
            or run.status == "FAILED"
            or ("bad" in run.params)
        ), about


def test_what_cannot_be_shown_has_its_trace_with_the_run(shell, runs, capsys):
    shell.run_cell("class Bad:\n    def __repr__(self): raise RuntimeError('no repr')")
    assert shell.run_cell("%%track b -p bad C\nbad, C = Bad(), 1").success
    note = "param 'bad' cannot be recorded: RuntimeError: no repr"
    assert note in capsys.readouterr().out
    (run,) = runs()
    assert (run.status, run.params) == ("FINISHED", {"C": "1"})
    trace = read_file(connect(), run.run_id, "nbmlops/not-recorded.txt").decode()
    assert "in __repr__" in trace


def test_syntax_error_is_shown_alone_and_fails_the_run(shell, runs, capsys):
    shell.run_cell("%%track it\nx = = 3")
    out = capsys.readouterr().out
    assert out.count("SyntaxError") == 1
    assert "nbmlops" not in out
    (run,) = runs()
    assert run.status == "FAILED"
    assert run.tags["nbmlops.ended_because"].startswith("SyntaxError")


def test_syntax_error_within_a_run_of_many_cells(shell, runs, capsys):
    shell.run_cell("%track on")
    shell.run_cell("x = = 3")
    assert "Error in callback" not in capsys.readouterr().out
    shell.run_cell("%track off")
    assert runs()[-1].status == "FAILED"  # the fate of the cell before


def test_deleted_name_that_was_asked_for_fails_the_run_and_no_more(shell, runs, capsys):
    result = shell.run_cell(
        "%%track it -p gone C -m score\ngone, C, score = 1, 2, 3\ndel gone"
    )
    assert "'gone' could not be looked up" in str(result.error_in_exec)
    (run,) = runs()
    assert (run.status, run.params, run.metrics) == ("FAILED", {"C": "2"}, {"score": 3})


def test_param_with_another_value_does_not_cost_those_behind_it(shell, runs):
    shell.run_cell("%%track it -p C=1 C=2 D=3 -m score=1")
    (run,) = runs()
    assert (run.status, run.params, run.metrics) == (
        "FAILED",
        {"C": "1", "D": "3"},
        {"score": 1},
    )


def test_exception_that_cannot_be_shown_ends_the_run(shell, runs, capsys):
    shell.run_cell(
        "%%track it -p C\nC = 1\n"
        "class Odd(Exception):\n    def __str__(self): raise ValueError\n"
        "raise Odd"
    )
    assert "Error in callback" not in capsys.readouterr().out
    (run,) = runs()
    assert (run.status, run.params) == ("FAILED", {"C": "1"})
    assert run.tags["nbmlops.ended_because"].startswith("Odd")


def test_fault_of_nbmlops_is_one_line_with_its_trace_in_a_file(
    shell, capsys, monkeypatch
):
    def broken(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(shell.nbmlops_session, "_end_cell", broken)
    assert shell.run_cell("x = 1").success
    said = capsys.readouterr()
    assert "Error in callback" not in said.out
    (line,) = said.err.splitlines()
    assert "could not record the end of this cell: RuntimeError: a fault" in line
    trace = Path(line.rpartition("(")[2].rstrip(")"))
    assert "in broken" in trace.read_text()
    trace.unlink()


def test_block_is_not_ended_by_what_cannot_be_recorded(project, monkeypatch, caplog):
    import nbmlops as nm
    from nbmlops.tracking.provenance import provenance

    def broken(*_, **__):
        raise RuntimeError("a fault")

    monkeypatch.setattr(provenance, "keep_running_code", broken)
    with nm.track("it") as run:
        run.log(score=1.0)
    assert "the code cannot be recorded: RuntimeError: a fault" in caplog.text
    (found,) = nm.runs().page.items
    assert (found.status, found.metrics) == ("FINISHED", {"score": 1.0})
