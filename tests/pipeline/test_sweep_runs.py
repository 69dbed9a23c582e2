"""Sweeps that run."""

import json
import os
import signal

import nbformat
import optuna
import pytest

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.errors import PipelineRunError, UsageError
from nbmlops.store import artifacts
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import (
    command,
    finish,
    kill_group,
    ledger,
    wait_for_senders,
    wait_until,
)

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _settled():
    yield
    wait_for_senders()


@pytest.fixture
def train(project):
    """Write a notebook that logs one metric, and a line in the ledger when it runs."""
    return write_notebook(
        project / "train.ipynb",
        [
            "print(C, kind, file=open('ledger.txt', 'a'))",
            "import nbmlops as nm\nassert C < 100, 'too large'\n"
            "nm.emit(auc=float('nan') if C == 0 else 1 - abs(C - 1))",
        ],
        parameters="C: float = 1.0\nkind: str = 'a'",
    )


def states(view):
    return [run.state for run in view.report.runs]


def sweep_run(store):
    """Return the newest run of a sweep."""
    (run,) = queries.list_runs(store, filter="tags.`nbmlops.kind` = 'sweep'", limit=1)
    return run


def command_line(capsys, *words):
    """Return the exit code of the command and its document."""
    code = invoke(["sweep", "train.ipynb", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_grid_is_one_run_with_a_run_for_each_set(store, train, project, capsys):
    lines = []
    view = nm.sweep(
        train, grid={"C": [0, 0.5, 1]}, jobs=1, store=store, say=lines.append
    )
    report = view.report
    assert (report.status, report.metric, report.mode) == ("FINISHED", "auc", "max")
    assert states(view) == ["done"] * 3
    assert view.best.step == "train[C=1.0]"
    assert view.best.params == {"C": 1.0, "kind": "a"}
    assert "3 of 3 ended" in lines[-1]
    assert repr(view).splitlines()[1].startswith("train[C=1.0] *")

    run = queries.get_run(store, report.run_id)
    assert (run.status, run.name, run.source) == ("FINISHED", "train", "train.ipynb")
    assert run.tags["nbmlops.best"] == "train[C=1.0]"
    assert run.tags["nbmlops.best_run"] == view.best.run_id
    assert (run.metrics, run.params) == ({"best_auc": 1.0}, {"C": "0.0, 0.5, 1.0"})
    children = list_children(store, run.run_id)
    assert {c.run_id for c in children} == {each.run_id for each in report.runs}
    assert {c.params["C"] for c in children} == {"0.0", "0.5", "1.0"}
    assert {c.tags["nbmlops.kind"] for c in children} == {"step"}
    table = artifacts.read_file(store, run.run_id, "nbmlops/sweep.csv").decode()
    assert table.splitlines()[1].startswith(f"{view.best.run_id},train[C=1.0],done,")
    assert len(table.splitlines()) == 4
    whole = json.loads(artifacts.read_file(store, run.run_id, "nbmlops/sweep.json"))
    assert whole["best"]["run_id"] == view.best.run_id
    frame = view.frame()
    assert list(frame["params.C"]) == [1, 0.5, 0]
    assert frame["metrics.auc"].isna().sum() == 1

    words = "--grid", "C=0,0.5,1", "--mode", "min", "--metric", "auc"
    code, document = command_line(capsys, *words)
    assert code == 0
    assert [each["state"] for each in document["runs"]] == ["cached"] * 3
    assert document["best"]["params"]["C"] == 0.5
    assert len(ledger(project)) == 3


def test_a_list_runs_as_it_is_from_python_and_from_a_file(
    store, train, project, capsys
):
    sets = [{"C": 0.5}, {}, {"C": 1.0, "kind": "b"}]
    view = nm.sweep(train, sets=sets, params={}, store=store, jobs=1)
    assert states(view) == ["done"] * 3
    assert [run.step for run in view.report.runs] == [
        "train[C=0.5]",
        "train[set 2]",
        "train[C=1.0,kind=b]",
    ]
    assert view.best.step == "train[set 2]"  # the first of equal ones
    (project / "sets.csv").write_text("C,kind\n0.5,\n1.0,b\n")
    code, document = command_line(capsys, "--sets", "sets.csv")
    assert code == 0
    assert [each["state"] for each in document["runs"]] == ["cached"] * 2
    assert len(ledger(project)) == 3


def test_a_search_draws_goes_on_and_names_the_best(store, train, project, capsys):
    space = {"C": (0.01, 10, "log"), "kind": ["a", "b"]}
    view = nm.sweep(train, space=space, metric="auc", trials=2, jobs=1, store=store)
    assert states(view) == ["done"] * 2
    drawn = [run.params for run in view.report.runs]
    assert all(0.01 <= each["C"] <= 10 and each["kind"] in "ab" for each in drawn)
    assert view.best.metrics["auc"] == max(r.metrics["auc"] for r in view.report.runs)
    words = ["--space", "C=0.01..10:log", "--space", "kind=a,b", "--metric", "auc",
             "--trials", "3", "--jobs", "1"]  # fmt: skip
    code, document = command_line(capsys, *words)
    assert code == 0
    assert [each["state"] for each in document["runs"]] == ["cached", "cached", "done"]
    assert [each["params"] for each in document["runs"]][:2] == drawn
    assert len(ledger(project)) == 3
    assert sweep_run(store).params["C"] == "0.01..10.0:log"
    with pytest.raises(UsageError, match=r"no metric 'acu'"):
        nm.sweep(train, space=space, metric="acu", mode="max", trials=9, store=store)
    assert len(ledger(project)) == 3  # it was seen at the first, which was kept
    wait_for_senders()
    assert sweep_run(store).status == "FAILED"


def test_a_run_that_is_given_up_is_killed_and_says_why(store, project):
    path = write_notebook(
        project / "learn.ipynb",
        [
            "import nbmlops as nm, time\n"
            "with nm.track('fit') as run:\n"
            "    for epoch in range(1, 4 if good else 6000):\n"
            "        run.log(step=epoch, auc=0.9 if good else 0.1)\n"
            "        time.sleep(0.02)\n"
            "print(good, file=open('ledger.txt', 'a'))"
        ],
        parameters="good: bool = True",
    )
    options = {
        "space": {"good": [True, False]},
        "metric": "auc",
        "trials": 2,
        "sampler": optuna.samplers.GridSampler({"good": [True, False]}, seed=0),
        "pruner": optuna.pruners.ThresholdPruner(lower=0.5),
        "jobs": 1,
        "store": store,
    }
    view = nm.sweep(path, **options)
    assert view.report.status == "FINISHED"
    by_state = {run.state: run for run in view.report.runs}
    assert set(by_state) == {"done", "pruned"}
    pruned = by_state["pruned"]
    assert pruned.params == {"good": False}
    assert pruned.metrics == {"auc": 0.1}
    assert "was pruned at step" in pruned.why
    assert view.best.params == {"good": True}
    assert ledger(project) == ["True"]
    run = queries.get_run(store, pruned.run_id)
    assert run.status == "KILLED"
    assert run.tags["nbmlops.ended_because"].startswith("pruned at step ")
    (fit,) = list_children(store, run.run_id)
    assert (fit.name, fit.status) == ("fit", "KILLED")
    kept = artifacts.read_file(store, run.run_id, "nbmlops/notebook.ipynb").decode()
    assert nbformat.reads(kept, 4).cells
    assert not list((project / ".nbmlops" / "pipelines" / "watched").iterdir())

    again = nm.sweep(path, **options)
    assert sorted(states(again)) == ["cached", "pruned"]
    assert {r.run_id for r in again.report.runs} == {r.run_id for r in view.report.runs}
    wait_for_senders()
    states_of = {c.status for c in list_children(store, sweep_run(store).run_id)}
    assert states_of == {"FINISHED", "KILLED"}


def test_a_run_that_fails_stops_no_other_and_is_run_again(
    store, train, project, capsys
):
    code, document = command_line(capsys, "--grid", "C=1000,1,0.5", "--jobs", "1")
    assert (code, document["status"]) == (1, "FAILED")
    assert [each["state"] for each in document["runs"]] == ["failed", "done", "done"]
    assert "too large" in document["runs"][0]["why"]
    assert document["best"]["step"] == "train[C=1.0]"
    run = sweep_run(store)
    assert run.status == "FAILED"
    assert "too large" in run.tags["nbmlops.ended_because"]
    ran = ledger(project)
    options = {"grid": {"C": [1000.0, 7.0]}, "keep_going": False}
    with pytest.raises(PipelineRunError, match=r"too large") as caught:
        nm.sweep(train, **options, jobs=1, store=store)
    assert [each.state for each in caught.value.report.runs] == ["failed", "not run"]
    assert ledger(project)[len(ran) :] == ["1000.0 a"]


def test_what_is_forced_runs_and_so_does_what_has_other_inputs(store, train, project):
    (project / "raw.csv").write_text("1")
    options = {"grid": {"C": [1.0]}, "inputs": "raw.csv", "jobs": 1, "store": store}
    assert states(nm.sweep(train, **options)) == ["done"]
    assert states(nm.sweep(train, **options)) == ["cached"]
    assert states(nm.sweep(train, **options, force=True)) == ["done"]
    (project / "raw.csv").write_text("2")
    view = nm.sweep(train, **options)
    assert (states(view), view.best.why) == (["done"], "input raw.csv changed")


def write_slow(project):
    """Write a notebook that begins, waits until it may end, and ends."""
    return write_notebook(
        project / "train.ipynb",
        [
            "import os, time\n"
            "print('began', C, file=open('ledger.txt', 'a'))\n"
            "while sum(l[0] == 'e' for l in open('ledger.txt')) >= 2 and "
            "not os.path.exists('go'):\n    time.sleep(0.02)",
            "print('ended', C, file=open('ledger.txt', 'a'))\n"
            "import nbmlops as nm\nnm.emit(auc=C)",
        ],
        parameters="C: float = 1.0",
    )


def test_a_search_that_was_killed_goes_on(store, project):
    write_slow(project)
    words = ["--space", "C=0.5..4", "--metric", "auc", "--trials", "4"]
    words = ["sweep", "train.ipynb", *words, "--jobs", "1", "--json"]
    process = command(project, *words)
    wait_until(lambda: [line[0] for line in ledger(project)] == list("bebeb"))
    kill_group(process)
    (project / "go").touch()
    before = ledger(project)
    code, out, err = finish(command(project, *words))
    assert code == 0, err
    found = json.loads(out)["runs"]
    assert [each["state"] for each in found] == ["cached"] * 2 + ["done"] * 2
    after = ledger(project)[len(before) :]
    assert after[0] == before[-1]  # what was cut off is asked for again
    assert [line[0] for line in after] == list("bebe")
    assert len({each["params"]["C"] for each in found}) == 4
    assert not list((project / ".nbmlops" / "pipelines" / "watched").glob("*"))


def test_one_interrupt_lets_runs_finish_and_begins_no_other(store, project):
    write_slow(project)
    words = ["sweep", "train.ipynb", "--grid", "C=1,2,3,4", "--jobs", "1"]
    process = command(project, *words)
    wait_until(lambda: [line[0] for line in ledger(project)] == list("bebeb"))
    os.killpg(process.pid, signal.SIGINT)
    line = process.stderr.readline()
    while line and "interrupt again" not in line:
        line = process.stderr.readline()
    (project / "go").touch()
    code, _, err = finish(process)
    assert code == 130, err
    assert [line[0] for line in ledger(project)] == list("bebebe")
    wait_until(lambda: sweep_run(store).status == "KILLED")
    states_of = {c.status for c in list_children(store, sweep_run(store).run_id)}
    assert states_of == {"FINISHED"}


HOLD = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(7)
"""


def test_a_store_that_is_slow_takes_nothing_from_a_result(store, train, project):
    """Nobody waits 7 seconds for a run to be sent, but for its metrics one does."""
    queries.list_runs(store)  # the store is there
    source = nbformat.read(train, 4)
    source.cells[-1].source += (
        "\nimport subprocess, sys\n"
        f"words = [sys.executable, '-c', {HOLD!r}, '.nbmlops/mlflow.db']\n"
        "held = subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True)"
        "\nassert held.stdout.readline() == b'held\\n'"
    )
    nbformat.write(source, train)
    view = nm.sweep(train, grid={"C": [0.5]}, jobs=1, store=store)
    assert view.best.metrics == {"auc": 0.5}
    assert queries.get_run(store, view.best.run_id).metrics == {"auc": 0.5}


def test_four_sweeps_at_once_lose_nothing_in_one_store(store, project):
    for n in range(4):
        write_notebook(
            project / f"n{n}.ipynb",
            [f"which = {n}\nimport nbmlops as nm\nnm.emit(auc=C)"],
            parameters="C: float = 1.0",
        )
    started = [
        command(
            project, "sweep", f"n{n}.ipynb", "--grid", "C=1,2,3", "--jobs", "1",
            "--json", "-e", "all",
        )
        for n in range(4)
    ]  # fmt: skip
    for process in started:
        code, out, err = finish(process, limit_s=400)
        assert code == 0, err
        report = json.loads(out)
        assert (report["status"], report["best"]["metrics"]) == ("FINISHED", {"auc": 3})
        run = queries.get_run(store, report["run_id"])
        assert (run.status, run.metrics) == ("FINISHED", {"best_auc": 3.0})
        found = list_children(store, run.run_id)
        assert {(c.status, c.metrics["auc"]) for c in found} == {
            ("FINISHED", 1.0),
            ("FINISHED", 2.0),
            ("FINISHED", 3.0),
        }
    assert len(queries.list_runs(store, experiment="all", limit=100)) == 16
    assert not list((project / ".nbmlops" / "journal").glob("k*"))
