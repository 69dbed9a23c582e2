"""Pipelines written for Airflow and GitHub, and the command lines they hold."""

import ast
import json
import os
import subprocess
import sys

import pytest
import yaml

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.pipeline.exports.github import _cron
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import (
    ROOT,
    ledger,
    wait_for_senders,
    write_chain,
    write_pipeline,
)

FULL = """\
    name: churn, weekly
    steps:
      a: {notebook: a.ipynb, retries: 2, retry_wait_s: 5, timeout_s: 600}
      b: {notebook: a.ipynb, needs: a, grid: {text: [x, y]}, timeout_s: 60}
      c: {notebook: a.ipynb, needs: [a, b], cache: false}
    triggers:
      - {on: schedule, cron: "0 3 * * 1-7"}
      - {on: data, paths: [data/*.csv]}
    """
NASTY = 'it\'s "$(touch owned)"; `touch owned` {{ 1 }} %s {0}\nü'


@pytest.fixture
def full(project):
    write_notebook(project / "a.ipynb", ["1"], parameters="text: str = ''")
    return write_pipeline(project, FULL, "my 'own' pipeline.yaml")


@pytest.fixture
def shell(tmp_path):
    """Return the environment of a shell in which ``nbmlops`` is this one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "nbmlops"
    python = f"PYTHONPATH='{ROOT}' exec '{sys.executable}'"
    command.write_text(f'#!/bin/sh\n{python} -m nbmlops.cli "$@"\n')
    command.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PATH": path}


def command_of(text):
    """Return the words of a DAG file's command line."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "COMMAND":
            return ast.literal_eval(node.value)
    return None


def steps_of(workflow):
    (job,) = workflow["jobs"].values()
    return {each["name"]: each for each in job["steps"] if "name" in each}


def test_a_dag_file_says_what_the_pipeline_says(full):
    made = nm.Pipeline.load(full).export("airflow", params={"a.text": NASTY})
    compile(made.text, "dag.py", "exec")
    words = ["nbmlops", "pipeline", "run", full.name, "-p", "a.text", NASTY]
    assert command_of(made.text) == words
    assert made == nm.Pipeline.load(full).export("airflow", params={"a.text": NASTY})
    (note,) = made.notes
    assert "trigger on data is left out" in note
    for part in (
        "dag_id='churn__weekly'",
        "schedule='0 3 * * 1-7'",
        "retries=2",
        "retry_delay=timedelta(seconds=5",
        "execution_timeout=timedelta(seconds=660.0)",
        "execution_timeout=timedelta(seconds=240.0)",
        "steps['a'] >> steps['b']",
        "steps['b'] >> steps['c']",
    ):
        assert part in made.text, part


def test_a_workflow_says_what_the_pipeline_says(full):
    made = nm.Pipeline.load(full).export("github", params={"a.text": NASTY})
    workflow = yaml.safe_load(made.text)
    assert workflow["on"] == {
        "workflow_dispatch": {},
        "schedule": [{"cron": "0 3 * * 0,1,2,3,4,5,6"}],
    }
    steps = steps_of(workflow)
    assert list(steps) == ["a", "b", "c"]
    assert [each.get("timeout-minutes") for each in steps.values()] == [34, 4, None]
    for name, step in steps.items():
        shown = subprocess.run(
            ["bash", "-ec", f"nbmlops() {{ printf '%s\\0' \"$@\"; }}\n{step['run']}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        words = ["pipeline", "run", full.name, "-p", "a.text", NASTY, "--step", name]
        assert shown.split("\0")[:-1] == words
    assert not (full.parent / "owned").exists()
    folder = full.parent / "${{ secrets.X }}"
    write_notebook(folder / "a.ipynb", ["1"])
    other = write_pipeline(folder, "{name: a, steps: {a: {notebook: a.ipynb}}}")
    with pytest.raises(nm.UsageError, match="GitHub replaces"):
        nm.Pipeline.load(other).export("github")
    with pytest.raises(nm.UsageError, match="looks like a secret"):
        nm.Pipeline.load(full).export("github", params={"a.text": "ghp_" + "a1B2" * 9})
    with pytest.raises(nm.UsageError, match="Did you mean 'github'"):
        nm.Pipeline.load(full).export("gihub")
    with pytest.raises(nm.UsageError, match=r"No parameter 'z\.text'"):
        nm.Pipeline.load(full).export("github", params={"z.text": "1"})


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("7", "0"),
        ("mon-fri", "mon-fri"),
        ("1,7", "0,1"),
        ("5-7", "0,5,6"),
        ("1-7/2", "0,1,3,5"),
        ("*/7", "*/7"),
    ],
)
def test_sunday_is_0_for_github(days, expected):
    assert _cron(f"0 7 * * {days}") == f"0 7 * * {expected}"


def test_only_what_was_exported_is_replaced(full, capsys):
    words = ["pipeline", "export", "airflow", full.name, "-o", "dags/churn.py"]
    assert invoke(words) == 0
    path = full.parent / "dags" / "churn.py"
    text = path.read_text()
    assert "Path(__file__).parent / '..'" in text
    assert str(full.parent) not in text
    assert invoke([*words, "-p", "a.text", "new"]) == 0
    assert path.read_text() != text
    path.write_text(text + "# mine\n")
    assert invoke(words) == 2
    assert "was edited since" in capsys.readouterr().err
    assert path.read_text().endswith("# mine\n")
    assert invoke([*words, "--force"]) == 0
    assert path.read_text() == text
    (full.parent / "b.yml").write_text("on: push\n")
    assert invoke(["pipeline", "export", "github", full.name, "-o", "b.yml"]) == 2


@pytest.mark.kernel
def test_the_exported_command_lines_run_the_steps(store, project, shell):
    path = write_chain(project)
    pipeline = nm.Pipeline.load(path, store=store)
    options = {"cwd": project, "env": shell, "capture_output": True, "text": True}
    steps = steps_of(yaml.safe_load(pipeline.export("github").text))
    early = subprocess.run(["bash", "-ec", steps["train"]["run"]], **options)
    assert early.returncode == 2, early
    assert "'train' needs 'prepare', which is not done" in early.stderr
    for name in ("prepare", "train"):
        done = subprocess.run(["bash", "-ec", steps[name]["run"]], **options)
        assert done.returncode == 0, done
        (project / "build" / "clean.txt").unlink()
    assert ledger(project) == ["prepare", "train"]
    command = command_of(pipeline.export("airflow").text)
    again = subprocess.run([*command, "--no-retries", "--step", "train"], **options)
    assert again.returncode == 0, again
    assert "train: cached" in again.stderr
    assert ledger(project) == ["prepare", "train"]
    wait_for_senders()


@pytest.mark.kernel
def test_a_command_without_retries_says_by_its_code_if_one_is_due(store, project):
    write_notebook(
        project / "a.ipynb",
        ["import os\nif dies:\n    os.kill(os.getpid(), 9)\n1 / 0"],
        parameters="dies: bool = True",
    )
    path = write_pipeline(
        project, "steps: {a: {notebook: a.ipynb, retries: 3, cache: false}}"
    )
    words = ["pipeline", "run", path.name, "--no-retries", "--step", "a"]
    assert invoke(words) == 75
    assert invoke([*words, "-p", "a.dies", "false"]) == 1
    with pytest.raises(nm.UsageError, match="No step 'b' to run"):
        nm.Pipeline.load(path, store=store).run(step="b")
    wait_for_senders()


CHECK = """\
import json, os, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowException, AirflowFailException
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
(dag,) = bag.dags.values()
def attempt(task):
    try:
        task.python_callable(*task.op_args)
    except AirflowFailException:
        return "failed"
    except AirflowException:
        return "may be tried again"
    return "done"
print(json.dumps({
    "dag": dag.dag_id,
    "needs": {t.task_id: sorted(t.upstream_task_ids) for t in dag.tasks},
    "retries": {t.task_id: t.retries for t in dag.tasks},
    "limits": {t.task_id: str(t.execution_timeout) for t in dag.tasks},
    "schedule": str(dag.schedule),
    "ends": {t.task_id: attempt(t) for t in dag.topological_sort()},
}))
"""


@pytest.mark.slow
@pytest.mark.kernel
def test_a_real_airflow_imports_the_dag_file_and_its_tasks_run(
    store, project, shell, tmp_path
):
    python = tmp_path / "airflow" / "bin" / "python"
    for words in (
        [sys.executable, "-m", "venv", tmp_path / "airflow"],
        [python, "-m", "pip", "install", "-q", "apache-airflow>=3.3,<4"],
    ):
        subprocess.run(words, check=True, timeout=1200)
    write_chain(project)
    write_notebook(
        project / "a.ipynb",
        ["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"],
    )
    path = project / "pipeline.yaml"
    with path.open("a") as file:
        file.write(
            "  die: {notebook: a.ipynb, needs: prepare, retries: 2, timeout_s: 90}\n"
            "triggers:\n"
            '  - {on: schedule, cron: "0 3 * * mon"}\n'
            '  - {on: schedule, cron: "30 4 1 * *"}\n'
        )
    (project / "dags").mkdir()
    nm.Pipeline.load(path, store=store).export("airflow", path="dags/chain.py")
    home = {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    env = shell | home
    done = subprocess.run(
        [python, "-c", CHECK, str(project / "dags")],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["needs"] == {"prepare": [], "train": ["prepare"], "die": ["prepare"]}
    assert found["retries"] == {"prepare": 0, "train": 0, "die": 2}
    assert found["limits"] == {
        "prepare": "None",
        "train": "None",
        "die": "0:02:30",
    }
    assert "MultipleCron" in found["schedule"]
    assert found["ends"] == {
        "prepare": "done",
        "train": "done",
        "die": "may be tried again",
    }
    assert ledger(project) == ["prepare", "train"]
    wait_for_senders()
