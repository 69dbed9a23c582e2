"""No process of ours imports from the working folder, nor from the project."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

import nbmlops
from nbmlops.config import load_settings
from nbmlops.execution.notebooks import html
from nbmlops.processes import python_command, python_environ
from nbmlops.store import connect
from nbmlops.store.runs.queries import list_runs
from tests.canaries import USER, heard, plant
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import write_pipeline

PACKAGE = Path(nbmlops.__file__).parent


STARTS = ("Popen", "call", "check_call", "check_output", "run")
OF_OTHERS = {  # a list made elsewhere, in this file; or what is no Python of ours
    "cli/demo.py": ("_lab_command(notebook), check=False)", "shlex.split(command)"),
    "deployment/environment.py": ("uv",),
    "execution/environments.py": (
        "subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, "
        "check=False)",
    ),
    "serving/worker.py": ("subprocess.run(command, check=False, cwd=folder)",),
    "tracking/provenance/files.py": ("git",),
    "tracking/provenance/source.py": ("git",),
}


def test_every_python_is_started_without_its_working_folder():
    n_pythons = n_starts = 0
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.List | ast.Tuple) and len(node.elts) > 1:
                words = [ast.unparse(each) for each in node.elts]
                is_python = "sys.executable" in words[0] or "interpreter" in words[0]
                if is_python and "'ipykernel_launcher'" not in words:
                    if words[1] == "str(_HOST)":  # a folder of ours, first on the path
                        words[1] = "'-P'"
                    assert words[1] in ("'-P'", "'-I'"), f"{name}: {words}"
                    n_pythons += 1
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called.startswith("subprocess.") and called.endswith(STARTS):
                    text = ast.unparse(node)
                    is_safe = "python_command(" in text or "str(_HOST)" in text
                    is_known = any(each in text for each in OF_OTHERS.get(name, ()))
                    assert is_safe or is_known, f"{name}: {text}"
                    n_starts += 1
                if called.startswith(("os.exec", "os.spawn", "os.system")):
                    assert name == "deployment/supervisor/workers.py"
                    assert ast.unparse(node.args[1]) == "command"  # of python_command
    assert (n_pythons, n_starts) >= (6, 7)


@pytest.fixture
def log(project):
    """Return where canaries in the project, in a folder and in ``src`` write."""
    log = project.parent / "heard.txt"
    plant(log, project, project / "work", project / "src")
    return log


@pytest.mark.parametrize(
    "given",
    [None, "", ".", "{outside}:", "src", "{project}", "{project}/src:{outside}"],
)
def test_a_module_is_run_without_what_the_project_has_of_its_name(
    project, log, given, tmp_path
):
    outside = tmp_path / "outside"
    outside.mkdir()
    code = "import os, click, sitecustomize\nprint(os.environ.get('PYTHONPATH'))"
    (outside / "shown.py").write_text(code)
    (outside / "sitecustomize.py").touch()
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if given is not None:
        given = given.format(project=project, outside=outside)
        env["PYTHONPATH"] = given
    words = python_command("nbmlops.cli", "--version")
    if given and str(outside) in given:
        words = python_command("shown")
    for folder in (project, project / "work"):
        done = subprocess.run(
            words,
            cwd=folder,
            env=python_environ(env, folder),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() in (f"nbmlops, version {nbmlops.__version__}", given)
    assert heard(log) == []


def test_canaries_are_heard_where_a_process_is_started_as_it_should_not_be(
    project, log
):
    subprocess.run([sys.executable, "-m", "nbmlops.cli", "--version"], check=True)
    assert "click in" in "\n".join(heard(log))


def test_the_page_of_a_step_has_no_template_of_the_folder(project):
    (project / "lab").mkdir()
    (project / "lab" / "index.html.j2").write_text("{{ 'hea' ~ 'rd' }}")
    html._exporter.cache_clear()
    notebook = new_notebook(cells=[new_code_cell("1")])
    page = html.to_html(notebook, folder=project, title="")
    html._exporter.cache_clear()
    assert "heard" not in page
    assert "<html" in page


DEAD = "import os, nbmlops as nm\nnm.track('dead').__enter__()\nos._exit(0)"
WALK = """
import os, time
from pathlib import Path
import nbmlops as nm
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
from nbmlops.config import load_settings
from nbmlops.pipeline.background import launch
from nbmlops.execution.progress.reader import get_live

shell = InteractiveShell.instance()
shell.run_cell("%load_ext nbmlops").raise_error()
while not (items := nm.runs(experiment="walk").page.items) or (
    items[-1].status == "RUNNING"  # a process sends it, and then ends it
):
    time.sleep(0.2)
nm.doctor()
nm.sync()
done = nm.run_notebook("train.ipynb", experiment="walk")
nm.run_notebook("train.ipynb", experiment="walk", cold=True)
nm.sweep("train.ipynb", grid={"C": [0.1, 1.0]}, jobs=2, experiment="walk")
nm.replay(done.run_id)
report = nm.Pipeline.load("pipeline.yaml").run(jobs=2)
handle = nm.endpoint("walked")
assert len(handle.predict(pd.DataFrame({'a': [1.0], 'b': [2.0]}))) == 1
nm.undeploy("walked")
settings = load_settings()
live = launch(settings, "step", Path("train.ipynb").absolute(), {})
while (live := get_live(settings.home, live.id)).status == "RUNNING":
    time.sleep(0.2)
assert live.status == "FINISHED", live
"""


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.server
def test_no_feature_imports_from_the_project_but_the_kernels_of_its_user(
    project, log, monkeypatch, tmp_path
):
    work = project / "work"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f".:src:{project}:")
    monkeypatch.setenv("NBMLOPS_EXPERIMENT", "walk")
    write_notebook(
        work / "train.ipynb",
        [
            "%load_ext nbmlops\nimport pandas as pd\n"
            "from sklearn.linear_model import LogisticRegression\n"
            "X, y = pd.DataFrame({'a': [0.0, 1, 2], 'b': [1.0, 0, 5]}), [0, 0, 1]",
            "%%track fit -m score -d X\nmodel = LogisticRegression(C=C).fit(X, y)\n"
            "score = model.score(X, y)",
        ],
        parameters="C: float = 1.0",
    )
    write_pipeline(
        work,
        """\
        name: walk
        steps:
          train: {notebook: train.ipynb}
          register: {register: {model: walked, from: train}}
          deploy: {deploy: {endpoint: walked, from: register}}
        """,
    )
    for code in (DEAD, WALK):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), USER],
            cwd=work,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert "sitecustomize" in log.read_text()
    assert heard(log) == []
    assert all(
        r.status != "RUNNING" for r in list_runs(connect(load_settings(project)))
    )
