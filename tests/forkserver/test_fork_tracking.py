"""What is tracked in a fork is what is tracked in a kernel."""

import pytest

from nbmlops.execution.run import run_notebook
from nbmlops.store import artifacts
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children
from tests.forkserver.runs import own_parents, pytestmark, text
from tests.tiers import some

__all__ = ["own_parents", "pytestmark"]

CELLS = {
    "tracked cells": (
        "%load_ext nbmlops",
        "from sklearn.datasets import make_classification\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "X, y = make_classification(200, 4, random_state=0)",
        "%%track fitted -p C=0.5 -m score\n"
        "model = LogisticRegression(C=0.5).fit(X, y); score = model.score(X, y)",
        "%track on open\nfor n in range(3):\n    %track log loss=1/(n+1) --step n",
        "%track off",
    ),
    "a client of MLflow": (
        "import mlflow\nfrom mlflow import MlflowClient\nclient = MlflowClient()",
        "with mlflow.start_run(run_name='own') as run:\n"
        "    mlflow.log_param('a', 1)\n    for n in range(3):\n"
        "        mlflow.log_metric('m', n / 2, step=n)\n"
        "    mlflow.log_text('kept', 'note.txt')",
        "found = client.get_run(run.info.run_id)\n"
        "found.data.metrics, found.data.params, found.info.status",
        "[m.value for m in client.get_metric_history(run.info.run_id, 'm')]",
        "[f.path for f in client.list_artifacts(run.info.run_id)]",
    ),
    "MLflow's autologging": (
        "import mlflow\nmlflow.sklearn.autolog(log_models=False, silent=True)",
        "from sklearn.linear_model import Ridge\nimport numpy as np\n"
        "X = np.arange(20.0).reshape(10, 2)\nmodel = Ridge(alpha=2.0).fit(X, X[:, 0])",
        "mlflow.last_active_run().data.metrics['training_r2_score'].__round__(6)",
    ),
    "emitted values": (
        "import nbmlops as nm\nimport numpy as np",
        "nm.emit(rows=3, name='kept', share=np.float64(0.25), more={'a': [1, None]})",
        "nm.emit(rows=4)",
    ),
}
NAMES = ("train", "fitted", "open", "own")
_OF_A_PROCESS = (
    "mlflow.runName",
    *("nbmlops.kernel", "nbmlops.boot", "nbmlops.key", "nbmlops.attempt"),
    *("nbmlops.changed", "mlflow.parentRunId", "mlflow.rootRunId", "nbmlops.cost."),
    *("mlflow.log-model.history", "mlflow.autologging", "nbmlops.data_file"),
)


def reported(store, run_id):
    """Return what a run and those below it say, less what no two have in common."""
    run = queries.get_run(store, run_id)
    return {
        "name": run.name if run.name in NAMES else "as MLflow drew it",
        "status": run.status,
        "params": run.params,
        "metrics": run.metrics,
        "tags": {k: v for k, v in run.tags.items() if not k.startswith(_OF_A_PROCESS)},
        "files": sorted(artifacts.list_sizes(store, run_id, "nbmlops")),
        "has model": run.model_id is not None,
        "children": [
            reported(store, child.run_id) for child in list_children(store, run_id)
        ],
    }


@pytest.mark.parametrize("name", some(CELLS))
def test_a_fork_records_the_same_as_a_kernel(store, write, executed, caplog, name):
    path = write(*CELLS[name])
    caplog.set_level("INFO", "nbmlops.pipeline")
    forked = run_notebook(path, store=store)
    assert not [r for r in caplog.records if "runs in a kernel" in r.getMessage()]
    cold = run_notebook(path, store=store, cold=True)
    tags = [queries.get_run(store, run.run_id).tags for run in (forked, cold)]
    because = [each.get("nbmlops.kernel_because") for each in tags]
    assert because == [None, "it was asked for"]
    assert reported(store, forked.run_id) == reported(store, cold.run_id)
    assert forked.values == cold.values
    assert len(forked.run_ids) == len(cold.run_ids)
    one, other = executed(forked.run_id), executed(cold.run_id)
    for index, cell in enumerate(one.cells):
        if cell.cell_type == "code" and "track" not in cell.source:
            assert text(one, index) == text(other, index)
    if name == "emitted values":
        assert forked.values["rows"] == 4
    else:
        assert forked.run_ids
