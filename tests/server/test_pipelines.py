"""``pipelines`` and ``steps``: planned, started, followed, stopped."""

import asyncio
import contextlib
import shutil
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbmlops.errors import PipelineRunError
from nbmlops.execution.progress.reader import list_ids, owner_of
from nbmlops.lifecycle.pipelines import Pipeline
from nbmlops.store import connect
from nbmlops.store.runs.queries import get_run

PREPARE = "seed: int = 0"
TRAIN = """
from typing import Literal
C: float = 1.0  # inverse of the penalty
kind: Literal["l1", "l2"] = "l2"
is_fast: bool = False
layers: tuple[int, ...] = (50, 50)
target: str
"""


def write(project, name, *sources, parameters=None):
    cells = [new_code_cell(source) for source in sources]
    if parameters is not None:
        tags = {"tags": ["parameters"]}
        cells.insert(0, new_code_cell(parameters, metadata=tags))
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": spec})
    nbformat.write(notebook, project / name)


@pytest.fixture(autouse=True)
def _same_kernel(jp_env_jupyter_path):
    """Let this process see the kernel that those it starts see."""
    spec = Path(sys.prefix, "share/jupyter/kernels/python3")
    shutil.copytree(spec, jp_env_jupyter_path / "kernels/python3", dirs_exist_ok=True)


@pytest.fixture
def chain(project):
    """Write a pipeline of two steps; the second waits for a file."""
    write(project, "prepare.ipynb", "1 + 1", parameters=PREPARE)
    write(
        project,
        "train.ipynb",
        "print('first')",
        "import time\nfrom pathlib import Path\n"
        "while not Path('go').exists(): time.sleep(0.02)",
        "import nbmlops as nm\nnm.emit(auc=0.5)",
    )
    (project / "pipeline.yaml").write_text(
        "name: churn\nsteps:\n  prepare: {notebook: prepare.ipynb}\n"
        "  train: {notebook: train.ipynb, needs: [prepare]}\n"
    )


@pytest.fixture(autouse=True)
def _nothing_runs_on(project):
    """Stop what a failed test left running."""
    yield
    home = project / ".nbmlops"
    for live_id, _ in list_ids(home):
        owner = owner_of(home, live_id)
        if owner is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(owner.pid).kill()


@pytest.fixture
def follow(call):
    """Return a function that follows a run until what it waits for."""

    async def until(run, is_there, path="pipeline.yaml"):
        deadline = time.monotonic() + 90
        while True:
            _, run = await call("GET", f"pipelines/runs/{run['id']}", path=path)
            if is_there(run):
                return run
            assert time.monotonic() < deadline, run
            await asyncio.sleep(0.05)

    return until


def n_done(run, step):
    """Return how many cells of a step have ended, of one that runs."""
    cells = run["steps"][step]["cells"] if run["steps"] else None
    return cells["n_done"] if cells else None


def steady(run):
    """Return a run as if each step took a second and a half."""
    steps = [step | {"duration_s": 1.5} for step in run["steps"]]
    return run | {"steps": steps}


def states(run):
    return {step["step"]: step["state"] for step in run["steps"]}


async def test_a_pipeline_is_planned_run_followed_and_kept(
    chain, project, call, follow, keep_sample, jp_fetch
):
    status, view = await call("GET", "pipelines", path="pipeline.yaml")
    assert (status, view["name"], view["run"]) == (200, "churn", None)
    assert [(s["name"], s["column"], s["row"]) for s in view["steps"]] == [
        ("prepare", 0, 0),
        ("train", 1, 0),
    ]
    assert [(p["state"], p["why"]) for p in view["plan"]] == [
        ("run", "not run before"),
        ("run", "behind 'prepare', which runs"),
    ]
    status, run = await call(
        "POST", "pipelines/runs", {"path": "pipeline.yaml", "jobs": 1}
    )
    assert (status, run["status"], run["kind"]) == (201, "RUNNING", "pipeline")
    status, error = await call("POST", "pipelines/runs", {"path": "pipeline.yaml"})
    assert (status, error["error"]) == (409, "ConflictError")

    run = await follow(run, lambda r: n_done(r, -1) == 1)
    assert states(run) == {"prepare": "done", "train": "running"}
    assert run["steps"][1]["cells"] == {
        "n_done": 1,
        "n_cells": 3,
        "cell": "import time",
        "expected_s": None,
    }
    growing = await jp_fetch(
        f"nbmlops/api/pipelines/runs/{run['id']}/notebook",
        params={"path": "pipeline.yaml", "step": "train"},
        raise_error=False,
    )
    if growing.code == 200:
        nbformat.validate(nbformat.reads(growing.body.decode(), 4))

    (project / "go").touch()
    run = await follow(run, lambda r: r["status"] != "RUNNING")
    assert (run["status"], run["problem"]) == ("FINISHED", "")
    assert states(run) == {"prepare": "done", "train": "done"}
    mlflow_run = get_run(connect(), run["run_id"])
    assert mlflow_run.tags["nbmlops.kind"] == "pipeline"
    executed = await jp_fetch(
        f"nbmlops/api/pipelines/runs/{run['id']}/notebook",
        params={"path": "pipeline.yaml", "step": "train"},
    )
    assert b"first" in executed.body
    keep_sample("live_run", steady(run))

    _, view = await call("GET", "pipelines", path="pipeline.yaml")
    assert [plan["state"] for plan in view["plan"]] == ["cached"] * 2, view["plan"]
    assert view["run"] == run
    keep_sample("pipeline", {**view, "run": steady(run)})

    status, run = await call(
        "POST", "pipelines/runs", {"path": "pipeline.yaml", "from_step": "train"}
    )
    run = await follow(run, lambda r: r["status"] != "RUNNING")
    assert states(run) == {"prepare": "cached", "train": "done"}
    assert run["steps"][1]["expected_s"] > 0


async def test_a_run_is_stopped_once_to_finish_its_steps_and_twice_at_once(
    chain, project, call, follow
):
    _, run = await call("POST", "pipelines/runs", {"path": "pipeline.yaml"})
    await follow(run, lambda r: n_done(r, -1) == 1)
    status, run = await call("DELETE", f"pipelines/runs/{run['id']}")
    assert (status, run["status"], run["is_stopping"]) == (200, "RUNNING", True)
    await call("DELETE", f"pipelines/runs/{run['id']}")
    run = await follow(run, lambda r: r["status"] != "RUNNING")
    assert (run["status"], run["is_stopping"]) == ("KILLED", False)
    assert states(run) == {"prepare": "done", "train": "stopped"}
    status, again = await call("DELETE", f"pipelines/runs/{run['id']}")
    assert (status, again) == (200, run)


async def test_a_run_whose_process_is_killed_is_reported_of_as_such(
    chain, project, call, follow
):
    _, run = await call("POST", "pipelines/runs", {"path": "pipeline.yaml"})
    owner = owner_of(project / ".nbmlops", run["id"])
    psutil.Process(owner.pid).kill()
    run = await follow(run, lambda r: r["status"] != "RUNNING")
    assert run["status"] == "KILLED"
    assert run["problem"].startswith("Its process ended")


async def test_a_failed_run_of_any_door_is_seen_with_its_run_and_its_notebook(
    project, call, jp_fetch
):
    write(project, "bad.ipynb", "print('before')", "1 / 0")
    (project / "pipeline.yaml").write_text("steps: {bad: {notebook: bad.ipynb}}")
    with pytest.raises(PipelineRunError):
        Pipeline.load("pipeline.yaml").run()
    _, view = await call("GET", "pipelines", path="pipeline.yaml")
    run = view["run"]
    assert (run["status"], states(run)) == ("FAILED", {"bad": "failed"})
    assert "ZeroDivisionError" in run["problem"]
    assert "continues from what is done" in run["fix"]
    assert run["steps"][0]["run_id"]
    answer = await jp_fetch(
        f"nbmlops/api/pipelines/runs/{run['id']}/notebook", params={"step": "bad"}
    )
    assert b"ZeroDivisionError" in answer.body


async def test_what_is_wrong_is_said_before_anything_runs(chain, project, call):
    for body, words in (
        ({"path": "pipelin.yaml"}, "Did you mean 'pipeline.yaml'?"),
        ({"path": "../pipeline.yaml"}, "not a path below"),
        ({"path": "pipeline.yaml", "force": ["trian"]}, "Did you mean 'train'?"),
        ({"path": "pipeline.yaml", "from_step": "trian"}, "Did you mean 'train'?"),
        ({"path": "pipeline.yaml", "params": {"prepare.sed": 1}}, "'seed'"),
        ({"path": "pipeline.yaml", "params": {"prepare.seed": "x"}}, "not int"),
        ({"path": "pipeline.yaml", "jobs": 0}, "a whole number from 1"),
        ({"path": "pipeline.yaml", "params": []}, "an object"),
        ({"path": "pipeline.yaml", "force": "train"}, "an array"),
        ({"path": "pipeline.yaml", "force": [1]}, "no text"),
        ({}, "'path' is missing"),
    ):
        status, error = await call("POST", "pipelines/runs", body)
        assert status in (400, 404), body
        assert words in error["message"] + error["fix"], body
    assert not list(list_ids(project / ".nbmlops"))
    for route in ("pipelines", "steps"):
        assert (await call("GET", route))[0] == 400
        assert (await call("GET", route, path="none"))[0] == 404
    for live_id in ("0" * 32, "..", "x"):
        assert (await call("GET", f"pipelines/runs/{live_id}"))[0] == 404
        assert (await call("DELETE", f"pipelines/runs/{live_id}"))[0] == 404


async def test_all_faults_of_a_file_come_with_their_lines(chain, project, call):
    (project / "pipeline.yaml").write_text(
        "steps:\n  a: {notebok: train.ipynb}\n  b: {notebook: none.ipynb}\n"
    )
    status, error = await call("GET", "pipelines", path="pipeline.yaml")
    assert (status, error["error"]) == (400, "PipelineFileError")
    assert error["message"].startswith("pipeline.yaml has ")
    assert "line 2: " in error["message"]
    assert "Did you mean 'notebook'?" in error["message"]
    assert "line 3: " in error["message"]
    assert str(project) not in error["message"] + error["fix"]


async def test_a_notebook_is_a_form_and_its_values_are_checked_by_name(
    project, call, keep_sample
):
    write(project, "train.ipynb", "1 + 1", parameters=TRAIN)
    status, form = await call("GET", "steps", path="train.ipynb")
    assert (status, form["has_cell"], form["run"]) == (200, True, None)
    assert [
        (f["name"], f["kind"], f["default"], f["is_required"])
        for f in form["parameters"]
    ] == [
        ("C", "number", "1.0", False),
        ("kind", "select", "l2", False),
        ("is_fast", "checkbox", "false", False),
        ("layers", "value", "[50, 50]", False),
        ("target", "text", "", True),
    ]
    assert form["parameters"][0]["help"] == "inverse of the penalty"
    assert form["parameters"][1]["choices"] == ["l1", "l2"]
    keep_sample("step_form", form)

    texts = {"C": "a lot", "kind": "l3", "nonsense": "1"}
    body = {"path": "train.ipynb", "texts": texts}
    status, error = await call("POST", "steps/runs", body)
    assert (status, error["error"]) == (400, "ParametersError")
    assert error["fields"].keys() == {"C", "kind", "nonsense", "target"}
    assert error["fields"]["C"] == "Parameter 'C' is 'a lot' (str), not float."
    assert not list(list_ids(project / ".nbmlops"))


async def test_a_notebook_runs_as_a_tracked_step(project, call, follow):
    write(project, "train.ipynb", "print(C, kind, layers, target)", parameters=TRAIN)
    texts = {"C": "0.5", "kind": "l1", "layers": "[1, 2]", "target": "5"}
    body = {"path": "train.ipynb", "texts": texts, "experiment": "tries"}
    status, run = await call("POST", "steps/runs", body)
    assert (status, run["kind"]) == (201, "step")
    run = await follow(run, lambda r: r["status"] != "RUNNING", path="train.ipynb")
    assert (run["status"], states(run)) == ("FINISHED", {"train": "done"})
    recorded = get_run(connect(), run["run_id"])
    assert recorded.experiment == "tries"
    assert recorded.params["C"] == "0.5"
    assert recorded.params["target"] == "5"
    route = f"pipelines/runs/{run['id']}/notebook"
    _, executed = await call("GET", route, path="train.ipynb", step="train")
    assert "0.5 l1 (1, 2) 5" in str(executed)
    _, form = await call("GET", "steps", path="train.ipynb")
    assert form["run"] == run


async def test_a_default_that_looks_like_a_secret_is_not_reported(project, call):
    write(project, "a.ipynb", "1", parameters="api_token = 'hunter2-hunter2'")
    _, form = await call("GET", "steps", path="a.ipynb")
    assert "hunter2" not in str(form)
    assert not form["parameters"][0]["is_required"]
