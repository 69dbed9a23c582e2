"""What `import nbmlops` and `%load_ext nbmlops` may cost."""

import json
import subprocess
import sys

import pytest

import nbmlops as nm

_HEAVY = ("mlflow", "pandas", "papermill", "ipywidgets", "jinja2", "sklearn")
_READ = "import json, sys; print(json.dumps([m for m in %r if m in sys.modules]))"


@pytest.mark.parametrize(
    "line",
    [
        "import nbmlops",
        "from IPython.core.interactiveshell import InteractiveShell as S; "
        "S.instance().run_line_magic('load_ext', 'nbmlops')",
        "import nbmlops.cli",
        "import nbmlops.server",
    ],
)
def test_loading_imports_nothing_heavy(tmp_path, line):
    done = subprocess.run(
        [sys.executable, "-c", f"{line}; {_READ % (_HEAVY,)}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded <= ({"jinja2"} if "server" in line else set())  # Jupyter's own


_READS = """
import sys
from nbmlops.cli.main import invoke
from nbmlops.store import connect
from nbmlops.store.registry.registered_models import list_models
from nbmlops.store.registry.versions import find_version, list_versions

first, second, model = sys.argv[1:]
for words in (
    ["runs"],
    ["runs", "--by", "auc", "--json"],
    ["runs", "--filter", "metrics.auc > 0.1 and tags.`team` LIKE 'ri%'"],
    ["compare", first, second],
    ["compare", "latest", "best:auc:min", "--json"],
    ["endpoints"],
    ["history", model],
    ["history", model, "--at", "1h", "--json"],
    ["audit", "show", model],
    ["audit", "verify"],
):
    assert invoke(words) == 0, words
store = connect()
assert model in [each.name for each in list_models(store, search=model)]
assert [each.version for each in list_versions(store, model)] == [1]
assert find_version(store, model, 1).run_id == second
"""

_MAGICS = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "nbmlops")
for magic, line in (("runs", ""), ("compare", f"{first} {second}"), ("endpoints", "")):
    assert shell.run_line_magic(magic, line)._repr_html_()
"""


def read(first, second, script=_READS):
    """Let a process of its own run all that only reads; return what it imported."""
    from nbmlops.store import connect

    client = connect().client
    model = f"credit {first[:6]}"
    client.create_registered_model(model)
    there = client.get_run(second).info.artifact_uri
    client.create_model_version(model, there, run_id=second)
    nm.promote(model, 1)
    done = subprocess.run(
        [sys.executable, "-c", script + _READ % (_HEAVY,), first, second, model],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, set(json.loads(done.stdout.splitlines()[-1]))


def track_two():
    found = []
    for auc in (0.5, 0.6):
        with nm.track("it", params={"C": auc}, tags={"team": "risk"}) as run:
            run.log(auc=auc)
            run.log(step=1, loss=1 - auc)
            run.log_dataset([[auc]], name="X")
        found.append(run.run_id)
    return found


def test_what_only_reads_imports_no_mlflow(project):
    shown, loaded = read(*track_two(), _READS + _MAGICS)
    assert not loaded & {"mlflow", "pandas", "sklearn", "papermill"}
    assert "0.6" in shown


@pytest.mark.server
def test_what_only_reads_a_database_imports_no_mlflow(
    project, monkeypatch, postgres_uri
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_uri)
    shown, loaded = read(*track_two())
    assert "mlflow" not in loaded
    assert "0.6" in shown


@pytest.mark.server
def test_what_only_reads_a_server_imports_no_mlflow(project, mlflow_server):
    shown, loaded = read(*track_two())
    assert "mlflow" not in loaded
    assert "0.6" in shown
