import base64
import json

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from nbmlops.errors import UsageError
from nbmlops.store import connect
from nbmlops.store.artifacts import read_file
from nbmlops.store.runs.queries import get_run, list_runs
from tests.kernels import kernel

_FIT = """
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
import pandas as pd
X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
y = [0, 0, 1, 1]
"""


def test_cell_is_one_run_with_what_its_line_asks_for(shell, runs):
    result = shell.run_cell(
        "%%track baseline -p C depth=1+1 -m auc half=auc/2 -t team=risk -d table\n"
        "import pandas as pd\n"
        "table = pd.DataFrame({'x': [1, 2]})\n"
        "C, auc = 0.5, 0.9"
    )
    assert result.success
    (run,) = runs()
    assert (run.name, run.status, run.experiment) == (
        "baseline",
        "FINISHED",
        "my project",
    )
    assert run.params == {"C": "0.5", "depth": "2"}
    assert run.metrics == {"auc": 0.9, "half": 0.45}
    assert run.tags["team"] == "risk"
    assert run.tags["nbmlops.kind"] == "cell"
    assert len(run.tags["nbmlops.code_hash"]) == 64
    assert run.tags["nbmlops.kernel"].count(":") == 2
    (data,) = connect().client.get_run(run.run_id).inputs.dataset_inputs
    assert (data.dataset.name, len(data.dataset.digest)) == ("table", 32)
    assert json.loads(data.dataset.profile)["num_rows"] == 2


def test_last_predictor_assigned_in_the_cell_is_the_run_model(shell, runs):
    shell.run_cell(_FIT)
    shell.run_cell(
        "%%track it\n"
        "scaler = StandardScaler().fit(X)\n"
        "model = LogisticRegression(C=3).fit(X, y)\n"
        "again = StandardScaler().fit(X)"
    )
    (run,) = runs()
    import mlflow

    mlflow.set_tracking_uri(connect().uri)
    loaded = mlflow.sklearn.load_model(f"models:/{run.model_id}")
    assert loaded.C == 3
    info = mlflow.models.get_model_info(f"models:/{run.model_id}")
    assert [column.name for column in info.signature.inputs] == ["a", "b"]


def test_no_autolog_stores_no_model(shell, runs):
    shell.run_cell(_FIT)
    shell.run_cell("%%track it --no-autolog\nm = LogisticRegression().fit(X, y)")
    assert runs()[0].model_id is None


def test_model_that_needs_pickle_does_not_fail_the_cell(shell, runs, capsys):
    shell.run_cell(_FIT)
    result = shell.run_cell(
        "%%track it\n"
        "from sklearn.preprocessing import FunctionTransformer\n"
        "from sklearn.pipeline import make_pipeline\n"
        "m = make_pipeline(FunctionTransformer(lambda v: v), LogisticRegression())\n"
        "m.fit(X, y)"
    )
    assert result.success
    assert "was not stored" in capsys.readouterr().out
    assert (runs()[0].status, runs()[0].model_id) == ("FINISHED", None)


def test_failing_cell_prints_what_the_bare_cell_prints(shell, runs, capsys):
    shell.run_cell("def broken():\n    return 1 / 0")
    capsys.readouterr()
    shell.run_cell("#\nbroken()")
    bare = capsys.readouterr().out
    shell.run_cell("%%track it\nbroken()")
    tracked = capsys.readouterr().out
    assert tracked.count("division by zero") == 1
    assert len(tracked.splitlines()) == len(bare.splitlines())
    assert runs()[0].tags["nbmlops.ended_because"].startswith("ZeroDivisionError")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--experimant x", "unrecognized arguments: --experimant"),
        ("it -p C=", "'C=' is not NAME"),
        ("it -m auc=1+", "'auc=1+' is not NAME"),
        ("it -t team", "'team' is not KEY=VALUE"),
        ("it -p 'C", "quote without its end"),
    ],
)
def test_bad_line_is_refused_before_the_cell_runs(shell, runs, line, words):
    result = shell.run_cell(f"%%track {line}\nran = True")
    assert isinstance(result.error_in_exec, UsageError)
    assert words in str(result.error_in_exec)
    assert "ran" not in shell.user_ns
    assert runs() == ()


def test_refusal_does_not_stay_for_the_next_cell(shell):
    shell.run_cell("%%track --nope\n1")
    assert shell.run_cell("after = 1").success
    assert shell.user_ns["after"] == 1


def test_metric_that_the_cell_did_not_set_fails_the_cell_and_keeps_the_rest(
    shell, runs
):
    result = shell.run_cell("%%track it -p C -m auk loss\nC, loss = 1, 0.2")
    assert isinstance(result.error_in_exec, UsageError)
    assert "'auk' could not be looked up" in str(result.error_in_exec)
    (run,) = runs()
    assert (run.status, run.params, run.metrics) == (
        "FAILED",
        {"C": "1"},
        {"loss": 0.2},
    )


def test_metric_that_is_no_number_is_named(shell):
    result = shell.run_cell("%%track it -m auc\nauc = 'high'")
    assert "Metric 'auc' is 'high'" in str(result.error_in_exec)


def test_magics_inside_a_tracked_cell_work(shell, runs, capsys):
    shell.run_cell("%%track timed\n%%time\ninside = 1")
    assert "Wall time" in capsys.readouterr().out
    assert shell.user_ns["inside"] == 1
    shell.run_cell("%%track bash\n%%bash\necho from bash")
    assert "from bash" in capsys.readouterr().out
    shell.run_cell("%%track line\nwhere = %pwd\n%track log loss=0.5 --step 3")
    assert shell.user_ns["where"]
    names = [run.name for run in runs()]
    assert names == ["timed", "bash", "line"]
    assert runs()[2].metrics == {"loss": 0.5}


@pytest.mark.kernel
def test_await_works_and_the_value_is_shown_once(project):
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        reply = k.run("%%track it\nimport asyncio\nawait asyncio.sleep(0)\n6 * 7")
    assert reply.status == "ok"
    assert reply.count("execute_result") == 1
    assert "42" in reply.text


@pytest.mark.kernel
def test_figures_shown_in_the_cell_are_kept_as_they_were_shown(project):
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        reply = k.run(
            "%%track it\nimport matplotlib.pyplot as plt\n"
            "plt.plot([1, 2])\nplt.show()\nplt.plot([2, 1])"
        )
    shown = [
        base64.b64decode(message["content"]["data"]["image/png"])
        for message in reply.outputs
        if "image/png" in message["content"].get("data", {})
    ]
    store = connect()
    (run,) = list_runs(store)
    kept = [
        read_file(store, run.run_id, f"figures/figure-{number}.png")
        for number in (1, 2)
    ]
    assert kept == shown


@pytest.mark.kernel
def test_cells_after_a_failing_tracked_cell_do_not_run(project):
    sources = ["%load_ext nbmlops", "%%track it\n1 / 0", "open('ran', 'w')"]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources]
    )
    resources = {"metadata": {"path": str(project)}}
    with pytest.raises(CellExecutionError):
        NotebookClient(notebook, kernel_name="python3", resources=resources).execute()
    assert not (project / "ran").exists()
    errors = [o for o in notebook.cells[1].outputs if o.output_type == "error"]
    assert len(notebook.cells[1].outputs) == len(errors) == 1


def test_run_over_many_cells(shell, runs):
    for cell in (
        "%track on long -p C -m auc",
        "C = 1",
        "%track params batch=32",
        "%track log loss=0.5 --step 1",
        "%track log loss=0.25 --step 2",
        "auc = 0.75",
        "%track off",
    ):
        assert shell.run_cell(cell).success, cell
    (run,) = runs()
    assert (run.name, run.status, run.tags["nbmlops.kind"]) == (
        "long",
        "FINISHED",
        "session",
    )
    assert run.params == {"C": "1", "batch": "32"}
    assert run.metrics == {"auc": 0.75, "loss": 0.25}
    history = connect().client.get_metric_history(run.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]


def test_cell_below_an_open_run_must_say_nested(shell, runs):
    shell.run_cell("%track on outer")
    refused = shell.run_cell("%%track inner\nx = 1")
    assert "--nested" in str(refused.error_in_exec)
    assert shell.run_cell("%%track inner --nested\nx = 1").success
    shell.run_cell("%track off")
    outer, inner = runs()
    assert get_run(connect(), inner.run_id).parent_run_id == outer.run_id


def test_artifact_is_copied_to_the_open_run(shell, runs, project):
    (project / "notes.txt").write_text("seen", encoding="utf-8")
    shell.run_cell("%%track it\n%track artifact notes.txt")
    assert read_file(connect(), runs()[0].run_id, "notes.txt") == b"seen"
    missing = shell.run_cell("%%track it\n%track artifact nots.txt")
    assert "No file 'nots.txt'" in str(missing.error_in_exec)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%track log auc=1", "No run is open"),
        ("%track off", "No run is open"),
        ("%track onn", "Did you mean 'on'"),
        ("%track log", "arguments are required"),
        ("%predict nowhere [[1]]", "No endpoint"),
        ("%register 'a/b'", "cannot name a registered model"),
        ("%register credit", "has no run with a model"),
        ("%deploy credit@champion", "No registered model 'credit'"),
        ("%undeploy credit", "No endpoint"),
    ],
)
def test_line_that_cannot_be_done_says_why_and_how_to_fix_it(shell, line, words):
    result = shell.run_cell(line)
    assert words in str(result.error_in_exec)
    assert result.error_in_exec.fix


def test_status_shows_the_run_and_the_store(shell, project):
    shell.run_cell("%track on long")
    status = repr(shell.run_line_magic("track", ""))
    assert "long" in status
    assert str(project / ".nbmlops" / "mlflow.db") in status


def test_runs_table_orders_by_the_best_and_gives_a_frame(shell):
    for name, loss in (("a", 3), ("b", 1), ("c", 2)):
        shell.run_cell(f"%%track {name} -m loss={loss}\n0")
    table = shell.run_line_magic("runs", "--by loss")
    assert [run.name for run in table.page] == ["b", "c", "a"]
    frame = shell.run_line_magic("runs", "-n 2 --frame")
    assert list(frame["metrics.loss"]) == [2.0, 1.0]
    assert "<table" in table._repr_html_()


def test_mlflow_calls_in_the_cell_reach_its_run(shell, runs):
    shell.run_cell("%%track it\nimport mlflow\nmlflow.log_metric('theirs', 0.25)")
    (run,) = runs()
    assert run.metrics == {"theirs": 0.25}


def test_experiment_chosen_with_mlflow_is_kept(shell, runs):
    shell.run_cell("import nbmlops as nm, mlflow\nwith nm.track('first'): pass")
    shell.run_cell("mlflow.set_experiment('chosen')\n0")
    shell.run_cell("%%track second\n0")
    assert [run.experiment for run in runs()] == ["my project", "chosen"]


def test_unreachable_server_stops_nobody(shell, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert shell.run_cell("%%track it\nran = True").success
    assert shell.user_ns["ran"]
    said = capsys.readouterr().out
    assert "kept in .nbmlops/journal/" in said
    assert "127.0.0.1:9 does not answer" in said


def test_loading_twice_and_unloading_leave_no_second_hook(shell, runs):
    shell.run_line_magic("reload_ext", "nbmlops")
    shell.run_line_magic("load_ext", "nbmlops")
    shell.run_cell("%%track it\n0")
    assert len(runs()) == 1
    shell.run_line_magic("unload_ext", "nbmlops")
    assert shell.run_cell("%%track it\n0").error_in_exec or len(runs()) == 1
    shell.run_line_magic("load_ext", "nbmlops")


def test_metric_named_step_is_a_metric_and_a_forbidden_name_is_refused_early(
    shell, runs
):
    assert shell.run_cell("%%track it -m step=3\n0").success
    assert runs()[0].metrics == {"step": 3}
    refused = shell.run_cell("%%track it -m auc@5=1\nran = True")
    assert "'auc@5' cannot name" in str(refused.error_in_exec)
    assert "ran" not in shell.user_ns
    assert len(runs()) == 1


def test_interrupt_while_the_run_is_filled_kills_it(shell, runs):
    shell.run_cell(
        "class Slow:\n    def __float__(self):\n        raise KeyboardInterrupt"
    )
    shell.run_cell("%%track it -m slow\nslow = Slow()")
    assert runs()[0].status == "KILLED"


def test_compare_shows_what_differs_between_tracked_cells(shell, runs):
    for C in (1, 2):
        assert shell.run_cell(f"%%track it -p C\nC = {C}").success
    first, _ = runs()
    result = shell.run_cell(f"%compare {first.run_id[:8]} latest -e 'my project'")
    assert "params  A  B\nC       1  2\n" in repr(result.result)
    assert "<script" not in result.result._repr_html_()
    with pytest.raises(UsageError, match="takes 2 to 8 runs, not 1"):
        shell.run_line_magic("compare", "latest")


@pytest.mark.parametrize(
    ("line", "metrics", "tags"),
    [
        ("it -m 'my metric'=z", {"my metric": 4.0}, {}),
        ('it -m "my metric=z"', {"my metric": 4.0}, {}),
        ("it -m n=d['a b']", {"n": 7.0}, {}),
        ("it -t 'my tag'='a b' -t who=it's", {}, {"my tag": "a b", "who": "it's"}),
    ],
)
def test_quotes_hold_a_name_or_a_value_together(shell, runs, line, metrics, tags):
    assert shell.run_cell(f"%%track {line}\nz, d = 4, {{'a b': 7}}").success
    (run,) = runs()
    assert run.metrics == metrics
    assert tags.items() <= run.tags.items()


def test_nested_run_of_mlflow_is_in_the_experiment_of_its_parent(shell):
    import mlflow

    nested = "with mlflow.start_run(run_name='child', nested=True): pass"
    shell.run_cell("import mlflow")
    shell.run_cell(f"%%track parent\n{nested}")
    shell.run_cell("chosen = mlflow.set_experiment('chosen').experiment_id")
    shell.run_cell(f"%%track parent -e other\n{nested}")
    shell.run_cell("with mlflow.start_run(run_name='own') as own: pass")
    client = mlflow.MlflowClient()
    found = {
        experiment.name: sorted(
            run.info.run_name for run in client.search_runs([experiment.experiment_id])
        )
        for experiment in client.search_experiments()
    }
    assert found == {
        "Default": [],
        "my project": ["child", "parent"],
        "other": ["child", "parent"],
        "chosen": ["own"],
    }


@pytest.mark.parametrize("magic", ["time", "prun", "timeit -n1"])
def test_track_below_another_magic_is_refused_before_the_cell_runs(shell, runs, magic):
    result = shell.run_cell(f"%%{magic}\n%%track fit -m z\nran = z = 4")
    assert str(result.error_in_exec) == (
        "%%track must be the first line of the cell. "
        f"Put %%{magic.split()[0]} below it."
    )
    assert "ran" not in shell.user_ns
    assert runs() == ()


def test_magic_below_track_and_capture_around_it_are_recorded(shell, runs):
    shell.run_cell("%%track timed -m z\n%%time\nz = 4")
    shell.run_cell("%%capture out\n%%track captured -m z\nz = 5")
    shell.run_cell("%%track both -m z\n%%capture out\nz = 6")
    assert [(run.name, run.metrics) for run in runs()] == [
        ("timed", {"z": 4.0}),
        ("captured", {"z": 5.0}),
        ("both", {"z": 6.0}),
    ]
