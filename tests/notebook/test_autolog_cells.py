"""What tracked cells leave of their fits, and that they run as bare cells do."""

import re
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

import nbmlops as nm
from nbmlops.errors import UsageError
from nbmlops.store import connect
from nbmlops.store.artifacts import read_file
from nbmlops.store.runs.queries import list_children, list_runs
from nbmlops.store.runs.resolve import resolve_run
from nbmlops.tracking.autolog.methods import MethodProxy
from nbmlops.tracking.sync.sender import flush_pending
from tests.kernels import kernel

_DATA = """
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
X, y = make_classification(n_samples=90, n_features=4, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
"""


@pytest.fixture
def cell(shell):
    """Return a function that runs a cell, after one that makes data."""
    shell.run_cell(_DATA)
    return shell.run_cell


def _tree(runs):
    """Return the last cell's run and those below it, the oldest first."""
    flush_pending()
    (cell,) = [run for run in runs() if run.tags["nbmlops.kind"] != "fit"]
    return cell, list(list_children(connect(), cell.run_id)[::-1])


def _loaded(run):
    import mlflow

    mlflow.set_tracking_uri(connect().uri)
    return mlflow.sklearn.load_model(f"models:/{run.model_id}")


def test_one_fit_fills_the_run_of_its_cell(cell, runs):
    cell(
        "%%track it -p C=7 solver='mine' -m own=0.5\n"
        "X_train = StandardScaler(with_mean=False).fit_transform(X_train)\n"
        "model = LogisticRegression(C=3).fit(X_train, y_train)\n"
        "print(model.score(X_test, y_test))\n"
        "accuracy = accuracy_score(y_test, model.predict(X_test))"
    )
    run, below = _tree(runs)
    assert below == []
    assert run.params["C"] == "7"  # what the user gives is what stays
    assert run.params["solver"] == "mine"
    assert run.params["max_iter"] == "100"
    assert run.params["StandardScaler.with_mean"] == "False"
    assert run.metrics["score"] == run.metrics["accuracy_score"]
    assert run.metrics["own"] == 0.5
    assert _loaded(run).C == 3


def test_several_fits_are_runs_of_their_own_below(cell, runs, capsys):
    cell(
        "%%track it\n"
        "for depth in (1, 2):\n"
        "    model = DecisionTreeClassifier(max_depth=depth).fit(X_train, y_train)\n"
        "    model.score(X_test, y_test)\n"
        "    model.score(X_train, y_train)\n"
        "bad = LogisticRegression(C=-1)\n"
        "import traceback\n"
        "try:\n"
        "    bad.fit(X_train, y_train)\n"
        "except ValueError:\n"
        "    pass\n"
        "model.fit(X_test, y_test)\n"
    )
    run, below = _tree(runs)
    assert "4 fits, each a run below this one" in capsys.readouterr().out
    assert (run.status, dict(run.params), dict(run.metrics)) == ("FINISHED", {}, {})
    assert run.tags["nbmlops.kind"] == "cell"
    assert _loaded(run).max_depth == 2
    assert resolve_run(connect(), "latest", with_model=True).run_id == run.run_id
    assert [child.name for child in below] == [
        "DecisionTreeClassifier",
        "DecisionTreeClassifier",
        "LogisticRegression",
        "model: DecisionTreeClassifier",
    ]
    assert [child.status for child in below] == [
        "FINISHED",
        "FINISHED",
        "FAILED",
        "FINISHED",
    ]
    assert [child.params.get("max_depth") for child in below] == ["1", "2", None, "2"]
    assert [set(child.metrics) for child in below] == [
        {"score_X_train", "score_X_test"},
        {"score_X_train", "score_X_test"},
        set(),
        set(),
    ]
    assert run.started_at <= below[0].started_at
    assert all(
        child.started_at <= child.ended_at <= run.ended_at + timedelta(milliseconds=4)
        for child in below
    )
    assert "nbmlops.cost.cpu_s" not in below[0].tags  # it would be that of recording
    reason = below[2].tags["nbmlops.ended_because"]
    assert reason.startswith("InvalidParameterError: The 'C' parameter")
    assert [child.model_id is not None for child in below] == [
        False,
        False,
        False,
        True,
    ]


def test_runs_of_fits_are_waited_for_beside_a_store_that_is_gone(cell, store):
    import mlflow

    gone = replace(store.settings, tracking_uri="http://127.0.0.1:9")
    with nm.track("gone", store=connect(gone, must_answer=False)) as run:
        run.log(loss=0.5)
    assert run.notes
    mlflow.set_tracking_uri(store.uri)
    cell(
        "%%track it\n"
        "for depth in range(1, 13):\n"
        "    DecisionTreeClassifier(max_depth=depth).fit(X_train, y_train)\n"
    )
    assert len(nm.runs(all=True, store=store)) == 13


def test_runs_of_fits_are_there_for_who_asks_for_runs(cell, store):
    cell(
        "%%track it\n"
        "for depth in range(1, 13):\n"
        "    DecisionTreeClassifier(max_depth=depth).fit(X_train, y_train)\n"
    )
    client = store.client
    experiments = [each.experiment_id for each in client.search_experiments()]
    assert len(nm.runs(all=True, store=store)) == 13
    ended = {run.info.status for run in client.search_runs(experiments)}
    assert ended == {"FINISHED"}


def test_search_is_one_run_with_its_table_and_its_best(cell, runs):
    cell(
        "%%track it -d X_train\n"
        "search = GridSearchCV(\n"
        "    make_pipeline(StandardScaler(), LogisticRegression()),\n"
        "    {'logisticregression__C': [0.1, 1, 10]}, cv=3, n_jobs=2)\n"
        "search.fit(X_train, y_train)\n"
        "best = search.best_score_\n"
        "%track log best=best\n"
    )
    run, below = _tree(runs)
    assert below == []
    assert run.params["param_grid"] == "{'logisticregression__C': [0.1, 1, 10]}"
    assert float(run.params["best_logisticregression__C"]) in (0.1, 1, 10)
    assert run.metrics["best_cv_score"] == run.metrics["best"]
    table = read_file(connect(), run.run_id, "nbmlops/search.csv").decode()
    assert len(table.splitlines()) == 4
    assert "param_logisticregression__C" in table.splitlines()[0]
    assert type(_loaded(run)).__name__ == "Pipeline"


def test_search_among_other_fits_keeps_its_table(cell, runs):
    cell(
        "%%track it\n"
        "dull = DummyClassifier().fit(X, y)\n"
        "search = GridSearchCV(LogisticRegression(), {'C': [1, 2]}, cv=2).fit(X, y)\n"
    )
    _, below = _tree(runs)
    names = ["dull: DummyClassifier", "search: GridSearchCV(LogisticRegression)"]
    assert [run.name for run in below] == names
    assert read_file(connect(), below[1].run_id, "nbmlops/search.csv")
    assert type(_loaded(below[1])).__name__ == "LogisticRegression"


def test_cross_validation_alone_leaves_no_runs_below(cell, runs):
    cell("%%track it -m mean\nmean = cross_val_score(DummyClassifier(), X, y).mean()")
    run, below = _tree(runs)
    assert below == []
    assert set(run.metrics) == {"mean", "cv_score_std"}  # not its mean twice
    assert run.params["strategy"] == "prior"


def test_names_that_mlflow_refuses_do_not_fail_the_cell(cell, runs):
    result = cell(
        "%%track it\n"
        "Pipeline([('a%b', StandardScaler()), ('../m', DummyClassifier())]).fit(X, y)\n"
    )
    assert result.success
    run, _ = _tree(runs)
    assert run.params["a_b__with_mean"] == "True"
    assert any(key.endswith("_m__strategy") for key in run.params)


def test_param_that_the_cell_logged_to_mlflow_stays(cell, runs):
    result = cell(
        "%%track it\nimport mlflow\nmlflow.log_param('C', 'theirs')\n"
        "LogisticRegression().fit(X, y)\n"
    )
    assert result.success
    assert _tree(runs)[0].params["C"] == "theirs"


def test_more_fits_than_are_recorded_are_noted(cell, runs, capsys):
    cell("%%track it\nfor n in range(23):\n    DummyClassifier().fit(X, y)")
    assert len(_tree(runs)[1]) == 20
    assert "3 more fits were not recorded" in capsys.readouterr().out


def test_without_autolog_nothing_is_watched(cell, runs):
    cell("%%track it --no-autolog\nm = vars(DummyClassifier)['fit']")
    cell("DummyClassifier().fit(X, y)")
    run, below = _tree(runs)
    assert (below, dict(run.params), run.model_id) == ([], {}, None)


def test_run_over_many_cells_has_the_fits_of_all(cell, runs):
    cell("%track on it")
    cell("one = LogisticRegression(C=2).fit(X, y)")
    assert not isinstance(vars(_class("LogisticRegression", cell))["fit"], MethodProxy)
    cell("one.score(X, y)")
    cell("%%track inner --nested\nDummyClassifier().fit(X, y)")
    cell("%track off")
    outer = next(run for run in runs() if run.name == "it")
    inner = next(run for run in runs() if run.name == "inner")
    assert (outer.params["C"], outer.metrics.keys()) == ("2", {"score"})
    assert inner.params["strategy"] == "prior"
    assert [run.name for run in list_children(connect(), outer.run_id)] == ["inner"]


def _class(name, cell):
    return cell(name).result


def test_fit_with_which_the_cell_fails_is_in_its_run(cell, runs):
    result = cell("%%track it\nLogisticRegression(C=-1).fit(X, y)")
    assert type(result.error_in_exec).__name__ == "InvalidParameterError"
    run, below = _tree(runs)
    assert (run.status, run.params["C"], below) == ("FAILED", "-1", [])
    assert not isinstance(vars(_class("LogisticRegression", cell))["fit"], MethodProxy)


def test_mlflow_autolog_in_the_cell_is_the_only_one(cell, runs):
    result = cell(
        "%%track it\nimport mlflow\n"
        "mlflow.sklearn.autolog(log_models=False, silent=True)\n"
        "LogisticRegression(C=2).fit(X, y)\n"
        "mlflow.sklearn.autolog(disable=True, silent=True)\n"
    )
    assert result.success
    run, below = _tree(runs)
    assert below == []
    assert run.params["C"] == "2"
    assert "nbmlops.cost.fit_s" not in run.tags
    assert "training_accuracy_score" in run.metrics


CELLS = {
    "a fit, shown": "model = LogisticRegression().fit(X, y)\nmodel",
    "scores": (
        "scores = [DummyClassifier().fit(X, y).score(X, y) for _ in range(3)]\nscores"
    ),
    "a class of its own": (
        "from sklearn.base import BaseEstimator, ClassifierMixin\n"
        "class Own(ClassifierMixin, BaseEstimator):\n"
        "    def fit(self, X, y):\n"
        "        self.inner_ = LogisticRegression().fit(X, y)\n"
        "        self.classes_ = self.inner_.classes_\n"
        "        return self\n"
        "    def predict(self, X):\n"
        "        return self.inner_.predict(X)\n"
        "cross_val_score(Own(), X, y, n_jobs=2), Own().fit(X, y).score(X, y)"
    ),
    "a search in processes": (
        "search = GridSearchCV(LogisticRegression(), {'C': [0.1, 1]}, cv=2, n_jobs=2)\n"
        "search.fit(X, y).best_params_"
    ),
    "a talking model": (
        "from sklearn.ensemble import RandomForestClassifier\n"
        "talking = make_pipeline(\n"
        "    StandardScaler(), RandomForestClassifier(60, verbose=1), verbose=True)\n"
        "talking.fit(X, y).get_params()['randomforestclassifier__verbose']"
    ),
    "warnings": (
        "m = LogisticRegression(max_iter=1).fit(X, y)\n"
        "accuracy_score(y, m.predict(X))\n"
        "from sklearn.metrics import precision_score\n"
        "precision_score([0, 1], [0, 0])"
    ),
    "an error": "LogisticRegression().fit(X, y[:5])",
    "an error of a metric": (
        "p = DummyClassifier().fit(X, y).predict(X)\naccuracy_score(y[:5], p)"
    ),
    "a method that is not there": "make_pipeline(StandardScaler()).fit(X).predict(X)",
    "too few arguments": "LogisticRegression().fit(X)",
    "help": "import inspect\ninspect.signature(LogisticRegression().fit)",
}


@pytest.mark.kernel
def test_cells_show_and_leave_what_they_do_without(project):
    """Run each cell bare in one kernel and tracked in another."""
    passing = re.compile(
        r"ipykernel_\d+.\d+|0x[0-9a-f]+|id-\d+|= +[\d.]+s|elapsed: +[\d.]+s"
    )

    def shown(reply):
        parts = {"stdout": "", "stderr": "", "shown": ""}
        for output in reply.outputs:
            content = output["content"]
            if "run it " in str(content.get("data")):  # the run's own line
                continue
            if content.get("transient", {}).get("display_id"):  # its live view
                continue
            # A stream comes in as many pieces as the clock makes of it.
            parts[content.get("name", "shown")] += content.get("text", "")
            shown = [*content.get("traceback", []), *content.get("data", {}).values()]
            parts["shown"] += "\n".join(shown)
        texts = (passing.sub("", text) for text in parts.values())
        return reply.status, reply.error, *texts

    with kernel(project) as bare, kernel(project) as tracked:
        tracked.run("%load_ext nbmlops")
        bare.run("0")
        for k in (bare, tracked):
            k.run(_DATA)
        for name, source in CELLS.items():
            without = shown(bare.run(f"# %%track it\n{source}"))
            assert shown(tracked.run(f"%%track it\n{source}")) == without, name


@pytest.mark.kernel
def test_interrupted_fit_is_killed_and_leaves_the_classes_as_they_were(project):
    slow = (
        "%%track it\n"
        "from sklearn.base import BaseEstimator\n"
        "import time\n"
        "class Slow(BaseEstimator):\n"
        "    predict = None\n"
        "    def fit(self, X, y=None):\n"
        "        print('fitting', flush=True)\n"
        "        time.sleep(60)\n"
        "DummyClassifier().fit(X, y)\n"
        "Slow().fit(X)\n"
    )
    with kernel(project) as k:
        k.run("%load_ext nbmlops")
        k.run(_DATA)
        sent = k.send(slow)
        k.await_text("fitting")
        k.interrupt()
        assert k.wait(sent).error == "KeyboardInterrupt"
        left = k.run("[type(vars(c)['fit']).__name__ for c in (Slow, DummyClassifier)]")
    assert "['function', 'function']" in left.text
    runs = {run.name: run for run in list_runs(connect())}
    assert {name: run.status for name, run in runs.items()} == {
        "it": "KILLED",
        "DummyClassifier": "FINISHED",
        "Slow": "KILLED",
    }


_VALIDATE = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, cross_validate
X, y = load_iris(return_X_y=True, as_frame=True)
"""


def test_cross_validation_alone_is_recorded_with_its_scores(shell, runs):
    shell.run_cell(_VALIDATE)
    shell.run_cell(
        "%%track it\nmodel = LogisticRegression(C=0.5, max_iter=500)\n"
        "folds = cross_val_score(model, X, y, scoring='accuracy', cv=3)"
    )
    (run,) = runs()
    folds = shell.user_ns["folds"]
    assert run.metrics == {
        "cv_accuracy": pytest.approx(folds.mean()),
        "cv_accuracy_std": pytest.approx(folds.std()),
    }
    assert (run.params["C"], run.model_id) == ("0.5", None)


def test_cross_validation_of_the_model_that_is_fitted_goes_with_it(shell, runs):
    shell.run_cell(_VALIDATE)
    shell.run_cell(
        "%%track it\nmodel = LogisticRegression(max_iter=500)\n"
        "found = cross_validate(model, X, y, scoring=['f1_macro'], cv=3)\n"
        "model.fit(X, y)"
    )
    (run,) = runs()
    assert run.metrics["cv_f1_macro"] == pytest.approx(
        shell.user_ns["found"]["test_f1_macro"].mean()
    )
    assert run.model_id is not None


def test_several_cross_validations_are_runs_below(shell, runs, capsys):
    shell.run_cell(_VALIDATE)
    shell.run_cell(
        "%%track it\nfor C in (0.1, 1):\n"
        "    cross_val_score(LogisticRegression(C=C, max_iter=500), X, y, cv=3)"
    )
    assert "2 cross-validations, each a run below" in capsys.readouterr().out
    _, below = _tree(runs)
    assert {run.params["C"] for run in below} == {"0.1", "1"}


def test_forest_is_named_by_its_class_alone():
    from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
    from sklearn.svm import SVC

    from nbmlops.tracking.autolog.param_repr import title_of

    assert title_of(RandomForestClassifier()) == "RandomForestClassifier"
    assert title_of(BaggingClassifier(SVC())) == "BaggingClassifier(SVC)"


_TRAIN = {
    "xgboost": "import xgboost\n"
    "data = xgboost.DMatrix(X_train, y_train)\n"
    "held = xgboost.DMatrix(X_test, y_test)\n"
    "booster = xgboost.train({'max_depth': 2, 'objective': 'binary:logistic'}, data, 3,"
    " evals=[(data, 'train'), (held, 'held')], verbose_eval=False)\n",
    "lightgbm": "import lightgbm\n"
    "data = lightgbm.Dataset(X_train, y_train)\n"
    "booster = lightgbm.train({'max_depth': 2, 'objective': 'binary', 'verbose': -1},"
    " data, 3, valid_sets=[lightgbm.Dataset(X_test, y_test, reference=data)],"
    " valid_names=['held'])\n",
}


@pytest.mark.parametrize("library", _TRAIN)
def test_a_booster_that_is_trained_is_the_model_of_its_cell(cell, runs, library):
    before = sys.modules.get(library) and sys.modules[library].train
    cell("%%track boosted\n" + _TRAIN[library])
    run, below = _tree(runs)
    assert not below
    assert run.params["max_depth"] == "2"
    assert run.params["num_boost_round"] == "3"
    assert run.model_id is not None
    (metric,) = (key for key in run.metrics if "logloss" in key and "train" not in key)
    history = connect().client.get_metric_history(run.run_id, metric)
    assert [point.step for point in history] == [0, 1, 2]
    assert history[-1].value < history[0].value
    module = sys.modules[library]
    assert module.train.__module__.startswith(f"{library}.")
    assert before in (None, module.train)  # as it was found


def test_several_trainings_are_runs_below_and_a_failed_one_says_why(cell, runs):
    cell("import xgboost\ndata = xgboost.DMatrix(X_train, y_train)")
    cell(
        "%%track boosted\n"
        "a = xgboost.train({'eta': 0.1}, data, 2)\n"
        "b = xgboost.train({'eta': 0.9}, data, 2)\n"
        "import traceback\n"
        "try:\n"
        "    xgboost.train({'objective': 'none such'}, data, 2)\n"
        "except Exception as error:\n"
        "    files = [f.filename for f in traceback.extract_tb(error.__traceback__)]\n"
    )
    _, below = _tree(runs)
    assert [run.name for run in below[:2]] == ["a: xgboost.train", "b: xgboost.train"]
    assert [run.params["eta"] for run in below[:2]] == ["0.1", "0.9"]
    assert [run.status for run in below] == ["FINISHED", "FINISHED", "FAILED"]
    assert below[0].model_id is not None


def test_boosters_trained_by_a_package_are_not_fits_of_the_user(cell, runs):
    cell("import xgboost")
    cell("%%track quiet\nmodel = xgboost.XGBClassifier(n_estimators=2).fit(X, y)")
    run, below = _tree(runs)
    assert not below
    assert "num_boost_round" not in run.params
    assert run.model_id is not None


_TEXTS = """
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
docs = pd.Series(["good a", "bad b", "good c", "bad d"], name="text")
labels = ["p", "n", "p", "n"]
times = pd.DataFrame({"t": pd.to_timedelta([1, 2, 1, 2], "D")})
"""


def test_texts_of_a_cell_are_the_example_of_its_model(cell, runs, capsys):
    cell(_TEXTS)
    cell(
        "%%track texts\n"
        "model = make_pipeline(CountVectorizer(), LogisticRegression())\n"
        "model.fit(docs, labels)"
    )
    run, _ = _tree(runs)
    assert "cannot be deployed" not in capsys.readouterr().out
    version = nm.register("texts", run=run.run_id)
    assert [column.type for column in version.signature.inputs] == ["string"]


def test_a_model_whose_rows_cannot_be_sent_is_stored_and_named(cell, runs, capsys):
    cell(_TEXTS)
    cell(
        "%%track times\n"
        "model = make_pipeline(OneHotEncoder(handle_unknown='ignore'),"
        " LogisticRegression()).fit(times, labels)"
    )
    run, _ = _tree(runs)
    said = capsys.readouterr().out
    assert run.model_id
    assert "model 'model' is stored and cannot be deployed: The example" in said
    nm.register("times", run=run.run_id)
    with pytest.raises(UsageError, match="becomes a DataFrame of str"):
        nm.deploy("times")
