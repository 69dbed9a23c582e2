import json
import subprocess
import sys

import pytest

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.store.runs import runs as store_runs
from tests.notebooks import write_notebook


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["runz"], "No command 'runz'. Did you mean 'run"),
        (["register"], "Missing argument 'MODEL'."),
        (["runs", "-n", "0"], "Invalid value for '-n'"),
        (["runs", "--filtr", "x"], "No such option"),
        (["run", "nowhere.ipynb"], "nowhere.ipynb"),
        (["register", "a/b"], "'a/b' cannot name a registered model."),
        (["register", "a", "--run", "zz"], "'zz' is not a run."),
        (["compare"], "A comparison takes 2 to 8 runs, not 0."),
        (["compare", "abcdef", "latest"], "No run id begins with 'abcdef'."),
        (["deploy", "credit@champion"], "No registered model 'credit'."),
        (["predict", "credit"], "No endpoint 'credit'"),
        (["undeploy", "credit"], "No endpoint 'credit'"),
    ],
)
def test_wrong_request_is_two_lines_and_exit_code_2(project, capsys, words, problem):
    assert invoke(words) == 2
    reported = capsys.readouterr()
    last = reported.err.splitlines()[-2:]
    assert problem in last[0]
    assert last[1]
    assert "Traceback" not in reported.err
    assert reported.out == ""


def test_no_command_lists_the_commands(project, capsys):
    assert invoke([]) == 0
    reported = capsys.readouterr().out
    assert all(f"  {name} " in reported for name in ("run", "register", "deploy"))


def test_fix_names_a_command_where_the_notebook_has_a_magic(project, capsys):
    invoke(["undeploy", "credit"])
    assert "nbmlops endpoints" in capsys.readouterr().err


def test_debug_prints_the_traceback_too(project, capsys):
    assert invoke(["--debug", "register", "a/b"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_json_error_is_one_document(project, capsys):
    assert invoke(["register", "a/b", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["error"] == "UsageError"
    assert document["message"]
    assert document["fix"]


def test_unreachable_server_is_exit_code_1(project, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert invoke(["runs"]) == 1
    assert "127.0.0.1:9 does not answer." in capsys.readouterr().err


def test_runs_prints_a_table_or_json(project, store, capsys):
    run_id = store_runs.create_run(store, name="one", experiment="my project")
    store_runs.log_values(store, run_id, metrics={"auc": float("nan")})
    assert invoke(["runs"]) == 0
    assert run_id[:8] in capsys.readouterr().out
    assert invoke(["runs", "--json"]) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert (item["run_id"], item["metrics"]) == (run_id, {"auc": "NaN"})


@pytest.mark.kernel
def test_run_takes_parameters_by_option_and_file(project, capsys):
    write_notebook(
        project / "step.ipynb",
        ["import json\nopen('got', 'w').write(json.dumps([C, rounds, name]))"],
        parameters="C: float = 1.0\nrounds: int = 3\nname: str = 'x'",
    )
    (project / "p.yaml").write_text("C: 2\nname: from file\n", encoding="utf-8")
    words = ["run", "step.ipynb", "out/step.ipynb", "-p", "C", "0.5", "-f", "p.yaml"]
    assert invoke([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "FINISHED"
    got = json.loads((project / "got").read_text(encoding="utf-8"))
    assert got == [0.5, 3, "from file"]
    assert (project / "out" / "step.ipynb").exists()


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        ("C: 1\nname: a\nC: 2\n", "line 3: The key 'C' is there twice"),
        ("- C\n", "line 1: The file is a list, not a mapping"),
        ("", "line 1: The file is empty, not a mapping"),
        ("C: [1\n", "This is not YAML"),
        (None, "No parameter file 'q.yaml'. Did you mean 'p.yaml'?"),
    ],
)
def test_a_parameter_file_that_is_none_is_refused_with_its_line(
    project, capsys, content, reported
):
    write_notebook(project / "step.ipynb", ["C"], parameters="C: float = 1.0")
    name = "q.yaml" if content is None else "p.yaml"
    (project / "p.yaml").write_text(content or "", encoding="utf-8")
    assert invoke(["run", "step.ipynb", "-f", name]) == 2
    assert reported in capsys.readouterr().err


@pytest.mark.kernel
def test_failing_notebook_is_exit_code_1_and_names_its_cell(project, capsys):
    write_notebook(project / "step.ipynb", ["x = 1", "1 / 0"])
    assert invoke(["run", "step.ipynb"]) == 1
    reported = capsys.readouterr().err
    assert "cell 1 of step.ipynb: ZeroDivisionError" in reported
    assert "Traceback" not in reported


def test_command_is_installed():
    done = subprocess.run(
        [sys.executable, "-m", "nbmlops.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("nbmlops, version ")


def test_runs_takes_columns_and_all(project, store, capsys):
    for attempt in ("1", "2"):
        tags = {"nbmlops.attempt_of": "cell", "nbmlops.attempt": attempt}
        run_id = store_runs.create_run(
            store, name=f"a{attempt}", experiment="my project", tags=tags
        )
        store_runs.log_values(store, run_id, metrics={"auc": 0.5, "loss": 1.0})
    assert invoke(["runs"]) == 0
    assert "a2 (2 attempts)" in capsys.readouterr().out
    assert invoke(["runs", "--all", "--columns", "auc", "--json"]) == 0
    items = json.loads(capsys.readouterr().out)["items"]
    assert [(run["name"], run["metrics"]) for run in items] == [
        ("a2", {"auc": 0.5}),
        ("a1", {"auc": 0.5}),
    ]
    assert invoke(["runs", "--columns", "auc,,"]) == 2
    assert "is no column" in capsys.readouterr().err


def test_comparison_is_a_text_or_one_document(project, capsys):
    with nm.track("a", params={"C": 1}) as a:
        a.log(auc=0.7, weird=float("nan"))
    with nm.track("b", params={"C": 2}) as b:
        b.log(auc=0.9)
    capsys.readouterr()
    assert invoke(["compare", a.run_id[:8], "latest"]) == 0
    assert "params  A  B" in capsys.readouterr().out
    words = ["compare", a.run_id, "best:auc", "-e", "my project", "--json"]
    assert invoke(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert [run["run_id"] for run in document["runs"]] == [a.run_id, b.run_id]
    assert document["params"]["items"] == [{"name": "C", "values": ["1", "2"]}]
    assert document["metrics"][1]["histories"][0]["last"] == "NaN"
    assert document["metrics"][1]["histories"][1] is None
