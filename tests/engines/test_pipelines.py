"""A pipeline comes to the same ends wherever its steps run."""

import json
import os
import signal

import pytest

import nbmlops as nm
from nbmlops.engines import ENGINES
from nbmlops.errors import PipelineRunError
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children
from tests.engines.clusters import dask_cluster, kill_busy_worker
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import (
    command,
    finish,
    ledger,
    states,
    wait_for_senders,
    wait_until,
    write_chain,
    write_pipeline,
)

pytestmark = pytest.mark.kernel
# tests/pipeline has the same on the local engine.
_MOSTLY_DASK = pytest.mark.parametrize(
    "engine", ["dask", pytest.param("local", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(scope="module")
def cluster():
    with dask_cluster() as cluster:
        yield cluster


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch):
    if request.param == "dask":
        address = request.getfixturevalue("cluster").scheduler_address
        monkeypatch.setenv("NBMLOPS_DASK_ADDRESS", address)
    return request.param


@pytest.fixture(autouse=True)
def _settled():
    yield
    wait_for_senders()


def run(path, store, engine, **options):
    pipeline = nm.Pipeline.load(path, store=store)
    return pipeline.run(engine=engine, **options).report


def of_steps(store):
    (parent,) = queries.list_runs(store, filter="tags.`nbmlops.kind` = 'pipeline'")
    return [(run.name, run.status) for run in list_children(store, parent.run_id)]


@_MOSTLY_DASK
def test_a_grid_runs_and_is_put_back_afterwards(engine, store, project):
    write_chain(project)
    path = write_pipeline(
        project,
        """\
        steps:
          prepare:
            notebook: prepare.ipynb
            inputs: [data/raw.csv]
            outputs: [build/clean.txt]
          train:
            notebook: train.ipynb
            inputs: [build/clean.txt]
            params: {n: "${{ steps.prepare.values.rows }}"}
            grid: {C: [1.0, 2.0]}
            select: {metric: score}
        """,
    )
    lines = []
    report = run(path, store, engine, jobs=2, say=lines.append)
    assert set(states(report).values()) == {"done"}
    assert report.step("train").values == {"score": 12.0, "n": 3}
    assert sorted(ledger(project)) == ["prepare", "train", "train"]
    assert sorted(of_steps(store)) == [
        ("prepare", "FINISHED"),
        ("train[C=1.0]", "FINISHED"),
        ("train[C=2.0]", "FINISHED"),
    ]
    (project / "build" / "clean.txt").unlink()
    again = run(path, store, engine)
    assert set(states(again).values()) == {"cached"}
    assert (project / "build" / "clean.txt").read_text() == "1 2 3"


DYING = """\
import os, signal, time
from pathlib import Path
n = len(Path('tries.txt').read_text()) if Path('tries.txt').exists() else 0
open('tries.txt', 'a').write('x')
if n < 1:
    {end}
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("end", "options", "status"),
    [
        ("os.kill(int(os.environ['JPY_PARENT_PID']), 9)", "", "KILLED"),
        ("pass", ", retry_on: [timeout], timeout_s: 3", "FAILED"),
    ],
)
def test_what_died_or_took_too_long_is_tried_again(
    engine, store, project, end, options, status
):
    write_notebook(project / "a.ipynb", [DYING.format(end=end)])
    path = write_pipeline(
        project,
        f"steps: {{a: {{notebook: a.ipynb, retries: 2, retry_wait_s: 0.1{options}}}}}",
    )
    assert run(path, store, engine).step("a").attempts == 2
    assert sorted(of_steps(store)) == sorted([("a", status), ("a", "FINISHED")])
    assert len((project / "tries.txt").read_text()) == 2


@_MOSTLY_DASK
def test_a_sweep_comes_to_the_same_wherever_it_runs(engine, store, project):
    end = "os.kill(int(os.environ['JPY_PARENT_PID']), 9)"
    write_notebook(
        project / "train.ipynb",
        [
            "if C == 2:\n    " + DYING.format(end=end).replace("\n", "\n    "),
            "import nbmlops as nm\nassert C != 3\nnm.emit(auc=C)",
        ],
        parameters="C: float = 1.0",
    )

    def swept():
        options = {"engine": engine, "jobs": 2, "retries": 1, "store": store}
        report = nm.sweep(project / "train.ipynb", grid={"C": [1, 2, 3]}, **options)
        return report.report

    first = swept()
    assert first.status == "FAILED"
    assert first.best.metrics == {"auc": 2.0}
    assert [run.state for run in first.runs] == ["done", "done", "failed"]
    assert len((project / "tries.txt").read_text()) == 2
    assert [run.state for run in swept().runs] == ["cached", "cached", "failed"]


@_MOSTLY_DASK
def test_hopeless_runs_of_a_search_are_given_up(engine, store, project):
    write_notebook(
        project / "train.ipynb",
        [
            "import nbmlops as nm, time\n"
            "with nm.track('fit') as run:\n"
            "    for epoch in range(40 if C < 1 else 4):\n"
            "        run.log(step=epoch, auc=C)\n"
            "        time.sleep(0.5)\n"
        ],
        parameters="C: float = 1.0",
    )
    view = nm.sweep(
        project / "train.ipynb",
        space={"C": [0.0, 5.0]},
        metric="auc",
        trials=8,
        seed=3,
        engine=engine,
        jobs=1,
        store=store,
    )
    reported = {(run.params["C"], run.state) for run in view.report.runs}
    assert (5.0, "done") in reported
    assert (0.0, "pruned") in reported


def write_sleeper(project, seconds):
    write_notebook(
        project / "sleep.ipynb",
        ["import time\nprint('began', file=open('ledger.txt', 'a'))\n"
         f"time.sleep({seconds})\nprint('ended', file=open('ledger.txt', 'a'))"],
    )  # fmt: skip
    return write_pipeline(
        project,
        "steps: {a: {notebook: sleep.ipynb}, b: {notebook: sleep.ipynb, needs: a}}",
    )


def test_one_interrupt_lets_running_steps_finish(engine, store, project):
    path = write_sleeper(project, 4)
    process = command(project, "pipeline", "run", path.name, "--engine", engine)
    wait_until(lambda: ledger(project) == ["began"])
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130, err
    assert "waiting for 1 running step; interrupt again to stop" in err
    assert ledger(project) == ["began", "ended"]
    status = nm.Pipeline.load(path, store=store).status().report
    assert (status.status, states(status)) == ("KILLED", {"a": "done", "b": "not run"})


@pytest.mark.parametrize("how", ["SIGTERM", "death of the runner"])
def test_the_end_of_the_runner_stops_the_running_steps(engine, store, project, how):
    path = write_sleeper(project, 300)
    process = command(project, "pipeline", "run", path.name, "--engine", engine)
    wait_until(lambda: ledger(project) == ["began"])
    process.send_signal(signal.SIGTERM if how == "SIGTERM" else signal.SIGKILL)
    code, _, err = finish(process)
    assert code == (130 if how == "SIGTERM" else -9), err
    condition = "attributes.run_name = 'a'"
    wait_until(
        lambda: (
            [r.status for r in queries.list_runs(store, filter=condition)] == ["KILLED"]
        )
    )
    status = nm.Pipeline.load(path, store=store).status().report
    assert (status.status, states(status)) == (
        "KILLED",
        {"a": "stopped", "b": "not run"},
    )
    assert ledger(project) == ["began"]


@_MOSTLY_DASK
def test_an_effect_that_is_to_be_once_is_not_repeated(engine, store, project):
    write_notebook(
        project / "send.ipynb",
        ["import os, signal\nprint('send', file=open('ledger.txt', 'a', buffering=1))\n"
         "os.kill(int(os.environ['JPY_PARENT_PID']), signal.SIGKILL)\n"
         "import time; time.sleep(60)"],
    )  # fmt: skip
    path = write_pipeline(
        project, "steps: {send: {notebook: send.ipynb, once: true, retries: 3}}"
    )
    for problem in ("signal 9", "was begun at"):
        with pytest.raises(PipelineRunError, match=problem):
            run(path, store, engine)
    assert ledger(project) == ["send"]
    (killed,) = queries.list_runs(store, filter="attributes.run_name = 'send'")
    assert killed.status == "KILLED"


def test_a_dask_worker_that_is_killed_takes_no_step_with_it(
    cluster, store, project, monkeypatch
):
    monkeypatch.setenv("NBMLOPS_DASK_ADDRESS", cluster.scheduler_address)
    write_notebook(
        project / "a.ipynb",
        [DYING.format(end="Path('began').touch()")],
        parameters="x: int = 0",
    )
    path = write_pipeline(
        project, "steps: {a: {notebook: a.ipynb, retries: 1, retry_wait_s: 0.1}}"
    )
    process = command(
        project, "pipeline", "run", path.name, "--engine", "dask", "--json"
    )
    wait_until(lambda: (project / "began").exists())
    kill_busy_worker(cluster)
    code, out, err = finish(process)
    assert code == 0, err
    assert "Again in 0.1 s" in err
    (step,) = json.loads(out)["steps"]
    assert (step["state"], step["attempts"]) == ("done", 2)
    wait_until(lambda: all(status != "RUNNING" for _, status in of_steps(store)))
    assert sorted(of_steps(store)) == [("a", "FINISHED"), ("a", "KILLED")]
    assert (project / "tries.txt").read_text() == "xx"


def test_what_another_machine_has_run_is_not_run_again(project, tmp_path, monkeypatch):
    monkeypatch.setenv("NBMLOPS_CACHE_URL", f"file://{tmp_path}/shared")
    monkeypatch.setenv("NBMLOPS_CACHE_KEY", "the same for all who share results")
    results = []
    for name in ("mine", "theirs"):
        folder = tmp_path / name
        (folder / ".nbmlops").mkdir(parents=True)
        pipeline = nm.Pipeline.load(write_chain(folder))
        results.append((pipeline.run(jobs=1).report, ledger(folder)))
    (mine, ran), (theirs, ran_again) = results
    assert (ran, ran_again) == (["prepare", "train"], [])
    assert set(states(theirs).values()) == {"cached"}
    assert theirs.step("train").values == mine.step("train").values
    assert (tmp_path / "theirs" / "build" / "clean.txt").read_text() == "1 2 3"
