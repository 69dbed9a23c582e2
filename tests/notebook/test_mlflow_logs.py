"""What MLflow says in a tracked cell, and what the user does."""

import pytest

from nbmlops.store import connect
from nbmlops.store.artifacts import read_file
from nbmlops.store.runs.queries import list_runs
from tests.kernels import kernel

pytestmark = pytest.mark.kernel

_MODEL = """
import mlflow
from nbmlops.store import connect
from sklearn.linear_model import LogisticRegression
mlflow.set_tracking_uri(connect().uri)
m = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
"""
_TALK = """
info = mlflow.sklearn.log_model(m, artifact_path='m', pip_requirements=['skops'])
mlflow.register_model(info.model_uri, 'NAME')
mlflow.register_model(info.model_uri, 'NAME')
mlflow.set_experiment('NAME')
import pandas as pd
schema = mlflow.data.from_pandas(pd.DataFrame({'a': [1, 2]})).schema
"""


@pytest.fixture
def k(project):
    with kernel(project) as running:
        running.run("%load_ext nbmlops")
        assert running.run(_MODEL).status == "ok"
        yield running


def _said(reply, stream="stderr"):
    return "".join(
        message["content"]["text"]
        for message in reply.outputs
        if message["msg_type"] == "stream" and message["content"]["name"] == stream
    )


def test_notices_are_dropped_and_warnings_kept_with_the_run(k):
    reply = k.run("%%track talk --no-autolog" + _TALK)
    assert reply.status == "ok"
    assert _said(reply) == ""
    assert "MLflow warned, see nbmlops/mlflow-warnings.txt" in reply.text
    store = connect()
    (run,) = [run for run in list_runs(store) if run.name == "talk"]
    kept = read_file(store, run.run_id, "nbmlops/mlflow-warnings.txt").decode()
    assert "`artifact_path` is deprecated" in kept
    assert "Hint: Inferred schema contains integer" in kept
    assert "Created version" not in kept


def test_the_same_calls_speak_in_a_bare_cell_before_and_after(k):
    for name in ("before", "after"):
        said = _said(k.run(_TALK.replace("NAME", name)))
        assert f"Created version '2' of model '{name}'" in said
        assert f"INFO mlflow.tracking.fluent: Experiment with name '{name}'" in said
        k.run("mlflow.end_run()")
        assert k.run("%%track quiet --no-autolog\n0").status == "ok"


def test_what_the_user_says_is_left_alone_and_errors_pass(k):
    reply = k.run(
        "%%track mine --no-autolog\n"
        "import logging, sys, warnings\n"
        "print('to out'); print('to err', file=sys.stderr)\n"
        "warnings.warn('warning of mine')\n"
        "logging.getLogger('mine').warning('log of mine')\n"
        "logging.getLogger('mlflow.store').error('it broke')\n"
        "logging.getLogger('mlflow.store').info('all is well')"
    )
    assert _said(reply, "stdout") == "to out\n"
    for words in ("to err", "warning of mine", "log of mine", "it broke"):
        assert words in _said(reply)
    assert "all is well" not in _said(reply)


def test_failing_cells_and_sessions_give_mlflow_its_voice_back(k):
    k.run("%%track broken --no-autolog\n1 / 0")
    k.run("%track on long --no-autolog")
    assert _said(k.run("mlflow.set_experiment('held back')")) == ""
    k.run("%track off")
    said = _said(k.run("mlflow.set_experiment('said')"))
    assert "Experiment with name 'said'" in said


def test_frames_look_as_in_a_notebook_though_pandas_came_with_mlflow(project):
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        k.run("%%track it\nx = 1")
        shown = k.run(
            "import pandas as pd\nprint(pd.get_option('display.max_columns'))"
        )
    assert shown.text.strip() == "20"
