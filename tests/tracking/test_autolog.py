"""What counts as a fit, and that nobody else notices the recording."""

import abc
import dataclasses
import gc
import inspect
import pickle
import subprocess
import sys
import threading
import traceback
import types
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cloudpickle
import joblib
import numpy as np
import pytest
import sklearn
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import RFECV
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from nbmlops.tracking.autolog import Recorder
from nbmlops.tracking.autolog.log_fits import metrics_of
from nbmlops.tracking.autolog.methods import MethodProxy
from nbmlops.tracking.autolog.param_repr import brief, changed_params, params_of
from nbmlops.tracking.autolog.patches import PATCHES
from nbmlops.tracking.autolog.recorder import MAX_FITS

X, y = make_classification(n_samples=60, n_features=4, random_state=0)
X_test, y_test = make_classification(n_samples=30, n_features=4, random_state=1)


@contextmanager
def recording():
    recorder = Recorder()
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop()


def _everything():
    """Return all that a watch may touch, as it is now."""
    seen, waiting = {BaseEstimator}, [BaseEstimator]
    while waiting:
        new = set(waiting.pop().__subclasses__()) - seen
        seen |= new
        waiting.extend(new)
    classes = {cls for found in seen for cls in found.__mro__[:-1]}
    state = {
        (cls, name): value
        for cls in classes
        for name, value in vars(cls).items()
        if name in ("__init_subclass__", "score") or "fit" in name or "pred" in name
    }
    for name in metrics.__all__:
        function = getattr(metrics, name)
        if isinstance(function, types.FunctionType):
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
            state[name] = (function, *map(id, cells))
    state["meta_path"] = list(sys.meta_path)
    return state


class Wrapping(ClassifierMixin, BaseEstimator):
    """An estimator of the user's own that fits another."""

    def __init__(self, C=1.0):
        self.C = C

    def fit(self, X, y):
        self.inner_ = LogisticRegression(C=self.C).fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict(self, X):
        return self.inner_.predict(X)


def _titles(recorder):
    return [fit.title for fit in recorder.fits]


def test_fit_of_the_users_code_counts_with_its_params():
    with recording() as recorder:
        model = LogisticRegression(C=3).fit(X, y)
    (fit,) = recorder.fits
    assert fit.title == "LogisticRegression"
    assert fit.status == "FINISHED"
    assert fit.params["C"] == "3"
    assert fit.params.keys() == model.get_params().keys()
    assert fit.estimator is model
    assert 0 < fit.seconds < 60


FITTING_INSIDE = {
    "cross_val_score": lambda: cross_val_score(LogisticRegression(), X, y),
    "cross_val_score of the user's own": lambda: cross_val_score(Wrapping(), X, y),
    "cross_validate in processes": lambda: cross_validate(
        Wrapping(), X, y, n_jobs=2, cv=3
    ),
    "cross_val_predict": lambda: cross_val_predict(LogisticRegression(), X, y),
    "learning_curve": lambda: learning_curve(LogisticRegression(), X, y),
    "a function called back": lambda: cross_val_score(
        LogisticRegression(), X, y, scoring=_fitting_scorer
    ),
    "nested cross-validation": lambda: cross_val_score(
        GridSearchCV(Wrapping(), {"C": [0.1, 1]}, cv=2), X, y, cv=2
    ),
}


def _fitting_scorer(model, X, y):
    return LogisticRegression().fit(X, y).score(X, y)


@pytest.mark.parametrize("name", FITTING_INSIDE)
def test_fits_inside_of_cross_validation_do_not_count(name):
    with recording() as recorder:
        FITTING_INSIDE[name]()
    assert recorder.fits == []
    assert recorder.n_more == 0


ONE_FIT = {
    "pipeline": lambda: make_pipeline(StandardScaler(), Wrapping()),
    "column transformer": lambda: make_pipeline(
        ColumnTransformer([("s", StandardScaler(), [0, 1])]), LogisticRegression()
    ),
    "search": lambda: GridSearchCV(Wrapping(), {"C": [0.1, 1]}, cv=2),
    "search in processes": lambda: GridSearchCV(
        Wrapping(), {"C": [0.1, 1]}, cv=2, n_jobs=2
    ),
    "voting": lambda: VotingClassifier([("a", Wrapping()), ("b", DummyClassifier())]),
    "stacking": lambda: StackingClassifier(
        [("a", Wrapping()), ("b", DecisionTreeClassifier())], cv=2
    ),
    "bagging": lambda: BaggingClassifier(Wrapping(), n_estimators=3),
    "forest in threads": lambda: RandomForestClassifier(n_estimators=9, n_jobs=2),
    "calibration": lambda: CalibratedClassifierCV(LogisticRegression(), cv=2),
    "elimination": lambda: RFECV(LogisticRegression(), cv=2),
    "the user's own": lambda: Wrapping(),
    "a function that fits": lambda: make_pipeline(
        FunctionTransformer(_scaled), DummyClassifier()
    ),
}


def _scaled(values):
    return StandardScaler().fit(values).transform(values)


@pytest.mark.parametrize("name", ONE_FIT)
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_estimator_that_fits_others_is_one_fit(name, backend):
    with recording() as recorder, joblib.parallel_config(backend):
        model = ONE_FIT[name]()
        model.fit(X, y)
    assert [fit.estimator for fit in recorder.fits] == [model]
    assert recorder.fits[0].is_model


def test_what_only_transforms_is_no_model():
    with recording() as recorder:
        StandardScaler().fit(X)
        StandardScaler().fit_transform(X)
        make_pipeline(StandardScaler()).fit(X)
        KMeans(2, n_init=1).fit(X)
        DBSCAN().fit_predict(X)
    assert [fit.is_model for fit in recorder.fits] == [False, False, False, True, True]


def test_fits_through_functions_and_loops_count_each():
    def train(C):
        return LogisticRegression(C=C).fit(X, y)

    with recording() as recorder:
        kept = [train(C) for C in (1, 2)]
        kept[0].fit(X_test, y_test)
        getattr(kept[1], "fit")(X, y)  # noqa: B009
        list(map(kept[1].fit, [X], [y]))
    assert [fit.params["C"] for fit in recorder.fits] == ["1", "2", "1", "2", "2"]
    assert [fit.estimator is not None for fit in recorder.fits] == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_fits_in_threads_count():
    with recording() as recorder:
        models = [LogisticRegression(C=C) for C in (1, 2, 3)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda model: model.fit(X, y), models))
            pool.submit(models[0].fit, X, y).result()
        joblib.Parallel(2, backend="threading")(
            joblib.delayed(model.fit)(X, y) for model in models
        )
    assert len(recorder.fits) == 7
    assert all(fit.status == "FINISHED" for fit in recorder.fits)


def test_partial_fits_in_a_row_are_one_fit():
    with recording() as recorder:
        model = SGDClassifier(random_state=0)
        for _ in range(30):
            model.partial_fit(X, y, classes=[0, 1])
            model.score(X_test, y_test)
    (fit,) = recorder.fits
    steps = [step for name, _, step in metrics_of(fit) if name == "score"]
    assert steps == list(range(30))
    assert recorder.n_more == 0


def test_what_is_timed_many_times_over_does_not_count():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.user_ns.update(LogisticRegression=LogisticRegression, X=X, y=y)
    with recording() as recorder:
        shell.run_cell("%timeit -n2 -r1 LogisticRegression().fit(X, y)")
        shell.run_cell("%time m = LogisticRegression().fit(X, y)")
    assert len(recorder.fits) == 1


def test_fits_beyond_the_first_are_only_counted_and_take_no_scores():
    with recording() as recorder:
        model = LogisticRegression()
        for _ in range(MAX_FITS + 5):
            StandardScaler().fit(X)
            model.fit(X, y)
        model.score(X, y)
    assert sum(fit.is_model for fit in recorder.fits) == MAX_FITS
    assert sum(not fit.is_model for fit in recorder.fits) == MAX_FITS
    assert recorder.n_more == 10
    assert all(fit.scores == [] and fit.estimator is None for fit in recorder.fits)


def test_no_estimator_nor_data_is_kept_alive():
    with recording() as recorder:
        model, data = LogisticRegression(), X.copy()
        gone = [weakref.ref(model.fit(data, y)), weakref.ref(data)]
        predicted = model.predict(data)
        accuracy_score(y, predicted)
        gone.append(weakref.ref(predicted))
        with pytest.raises(ValueError, match="inconsistent"):
            LogisticRegression().fit(data, y[:-1])
        del model, data, predicted
        gc.collect()
        assert [reference() for reference in gone] == [None, None, None]
    assert len(recorder.fits) == 2


def test_scores_and_metrics_go_to_the_fit_they_belong_to():
    with recording() as recorder:
        a, b = LogisticRegression(), DecisionTreeClassifier(random_state=0)
        a.fit(X, y)
        b.fit(X, y)
        of_b = b.predict(X_test)
        of_a = a.predict(X_test)
        expected = {
            "score": b.score(X_test, y_test),
            "accuracy_score": accuracy_score(y_test, of_b),
            "roc_auc_score": roc_auc_score(y_test, b.predict_proba(X_test)[:, 1]),
        }
        of_first = f1_score(y_test, y_pred=of_a)
        a.set_params(C=9).fit(X, y)
        again = accuracy_score(y_test, of_a)  # of the fit before
        cohen_kappa_score(of_a, of_b)  # whose?
        accuracy_score(y_test, list(of_a))  # of a copy
        cross_val_score(b, X, y, scoring="accuracy")
        metrics.confusion_matrix(y_test, of_b)
    first, tree, second = recorder.fits
    assert {s.metric: s.value for s in tree.scores} == expected
    assert {s.metric: s.value for s in first.scores} == {
        "f1_score": of_first,
        "accuracy_score": again,
    }
    assert second.scores == []


def test_metrics_are_named_after_what_makes_them_differ():
    with recording() as recorder:
        model = LogisticRegression().fit(X, y)
        model.score(X, y)
        model.score(X_test, y_test)
        p = model.predict(X_test)
        f1_score(y_test, p)
        f1_score(y_test, p, average="macro")
        accuracy_score(y_test, p)
    names = [name for name, _, _ in metrics_of(recorder.fits[0])]
    assert names == [
        "score_X",
        "score_X_test",
        "f1_score",
        "f1_score_macro",
        "accuracy_score",
    ]


def test_scores_of_clusters_and_of_a_search():
    with recording() as recorder:
        km = KMeans(2, n_init=1, random_state=0).fit(X)
        width = metrics.silhouette_score(X, km.labels_)
        search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2).fit(X, y)
        best = search.best_estimator_.score(X_test, y_test)
    clusters, found = recorder.fits
    assert [(s.metric, s.value) for s in clusters.scores] == [
        ("silhouette_score", width)
    ]
    assert [(s.metric, s.value) for s in found.scores] == [("score", best)]
    assert found.search == {"best_cv_score": search.best_score_}
    assert found.params["best_C"] == brief(search.best_params_["C"])
    assert found.params["param_grid"] == "{'C': [0.1, 1]}"
    assert "estimator__C" not in found.params
    rows = found.table.decode().splitlines()
    assert rows[0].split(",")[-1] == "rank_test_score"
    assert len(rows) == 3


def test_estimator_that_a_package_fits_again_takes_no_more_scores():
    with recording() as recorder:
        model = LogisticRegression().fit(X, y)
        make_pipeline(StandardScaler(), model).fit(X, y)
        model.score(X, y)
    first, pipeline = recorder.fits
    assert (first.scores, first.estimator) == ([], None)
    assert pipeline.title == "Pipeline(StandardScaler, LogisticRegression)"


def test_failing_fit_keeps_its_params_and_reason():
    with recording() as recorder:
        with pytest.raises(ValueError, match="C"):
            LogisticRegression(C=-1).fit(X, y)
        with pytest.raises(KeyboardInterrupt):
            Interrupted().fit(X, y)
    failed, killed = recorder.fits
    assert (failed.status, failed.params["C"]) == ("FAILED", "-1")
    assert failed.reason.startswith("InvalidParameterError: The 'C' parameter")
    assert killed.status == "KILLED"


class Interrupted(BaseEstimator):
    def fit(self, X, y=None):
        raise KeyboardInterrupt

    def predict(self, X):
        return X


class Warns(BaseEstimator):
    def fit(self, X, y=None):
        warnings.warn("look", UserWarning, stacklevel=2)
        return self

    def predict(self, X):
        return X


def test_warning_names_the_same_line_as_without():
    with recording(), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        Warns().fit(X, y)
    assert [warning.filename for warning in seen] == [__file__]


FAILING = {
    "a bad param": lambda: LogisticRegression(C=-1).fit(X, y),
    "too few arguments": lambda: LogisticRegression().fit(X),
    "an unknown argument": lambda: LogisticRegression().fit(X, y, weights=1),
    "bad data": lambda: Pipeline([("s", StandardScaler())]).fit(["a"]),
    "not available": lambda: make_pipeline(StandardScaler()).predict(X),
    "not there": lambda: LogisticRegression().fitt(X, y),
    "not fitted": lambda: LogisticRegression().score(X, y),
    "fitted, bad data": lambda: LogisticRegression().fit(X, y).predict(X[:, :2]),
    "fitted, bad score": lambda: LogisticRegression().fit(X, y).score(X, y[:3]),
    "a metric": lambda: accuracy_score(y, LogisticRegression().fit(X, y).predict(X)[1]),
    "a metric's option": lambda: f1_score(y, y, average="nope"),
    "an interrupt": lambda: Interrupted().fit(X, y),
    "in a search": lambda: GridSearchCV(
        LogisticRegression(), {"C": [-1]}, cv=2, error_score="raise"
    ).fit(X, y),
    "inside one's own": lambda: Wrapping(C=-1).fit(X, y),
}


@pytest.mark.parametrize("name", FAILING)
def test_error_and_traceback_are_those_of_the_bare_call(name):
    def fail():
        try:
            FAILING[name]()
        except BaseException as error:  # noqa: BLE001
            return error
        raise AssertionError(name)

    def reported(error):
        text = "".join(traceback.format_exception(error))
        return type(error), str(error), text

    bare = fail()
    with recording():
        tracked = fail()
    assert reported(tracked) == reported(bare)


def test_everything_is_put_back():
    before = _everything()
    with recording():
        assert isinstance(vars(LogisticRegression)["fit"], MethodProxy)
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2).fit(X, y)
    assert _everything() == before
    with recording(), pytest.raises(KeyboardInterrupt):
        Interrupted().fit(X, y)
    assert _everything() == before


def test_recorders_may_end_in_any_order_and_the_last_one_is_reported():
    before = _everything()
    outer, inner = Recorder(), Recorder()
    outer.start()
    LogisticRegression().fit(X, y)
    inner.start()
    LogisticRegression().fit(X, y)
    outer.stop()
    LogisticRegression().fit(X, y)
    inner.stop()
    LogisticRegression().fit(X, y)
    assert (len(outer.fits), len(inner.fits)) == (1, 2)
    assert _everything() == before


def test_interrupt_while_all_is_put_back_leaves_nothing(monkeypatch):
    before = _everything()
    recorder = Recorder()
    recorder.start()

    def interrupted():
        PATCHES._undo.pop()
        PATCHES._undo.append(lambda: None)
        raise KeyboardInterrupt

    PATCHES._undo.insert(len(PATCHES._undo) // 2, interrupted)
    with pytest.raises(KeyboardInterrupt):
        recorder.stop()
    assert _everything() == before


def test_class_made_in_the_cell_counts_and_is_left_as_written():
    with recording() as recorder:

        class Own(ClassifierMixin, BaseEstimator):
            def fit(self, X, y=None, extra=None):
                return self

            def predict(self, X):
                return np.zeros(len(X))

        @dataclasses.dataclass(slots=True)
        class Data(BaseEstimator):
            a: int = 1

            def fit(self, X, y=None):
                return self

        class Abstract(BaseEstimator, abc.ABC):
            @abc.abstractmethod
            def fit(self, X, y=None): ...

        Own().fit(X, y)
        Data().fit(X, y)
        with pytest.raises(TypeError, match="abstract"):
            Abstract()
    assert _titles(recorder) == ["Own", "Data"]
    for cls in (Own, Data, Abstract):
        assert isinstance(vars(cls)["fit"], types.FunctionType)


def test_methods_look_as_they_do_otherwise():
    bare = LogisticRegression.fit
    with recording():
        model = LogisticRegression()
        assert LogisticRegression.fit is bare
        assert inspect.signature(model.fit) == inspect.signature(
            bare.__get__(model, LogisticRegression)
        )
        assert (model.fit.__name__, model.fit.__doc__) == ("fit", bare.__doc__)
        assert model.fit.__self__ is model
        assert model.fit == model.fit
        assert inspect.ismethod(model.fit)
        assert not hasattr(make_pipeline(StandardScaler()), "predict")
        pipeline = make_pipeline(KMeans())
        assert str(inspect.signature(pipeline.fit_predict)) == ("(X, y=None, **params)")
        pickle.loads(pickle.dumps(model.fit))(X, y)  # noqa: S301
        assert clone(model).get_params() == model.get_params()
        taken = model.fit
    assert taken(X, y) is model  # after all has been put back


def test_class_of_the_notebook_goes_to_other_processes_as_written():
    with recording():
        content = cloudpickle.dumps(_made_in_main())
    code = (
        "import sys, pickle; cls = pickle.loads(sys.stdin.buffer.read());"
        "print(type(vars(cls)['fit']).__name__, 'nbmlops' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=content, capture_output=True, check=True
    )
    assert done.stdout.split() == [b"function", b"False"]


def _made_in_main():
    def fit(self, X, y=None):
        return self

    return type("Own", (BaseEstimator,), {"__module__": "__main__", "fit": fit})


def test_metadata_is_routed_as_without():
    class Weighing(ClassifierMixin, BaseEstimator):
        def fit(self, X, y, importance=None):
            self.classes_ = [0, 1]
            self.seen_ = importance is not None
            return self

        def predict(self, X):
            return np.zeros(len(X), dtype=int)

    with sklearn.config_context(enable_metadata_routing=True), recording():

        class Later(Weighing):
            def fit(self, X, y, importance=None):
                return super().fit(X, y, importance)

        for cls in (Weighing, Later):
            model = cls().set_fit_request(importance=True)
            search = GridSearchCV(model, {}, cv=2)
            assert search.fit(X, y, importance=np.ones(60)).best_estimator_.seen_


def test_results_are_the_same_bit_by_bit():
    def work():
        model = RandomForestClassifier(10, random_state=0, n_jobs=2).fit(X, y)
        cv = cross_val_score(model, X, y)
        return model.predict_proba(X_test).tobytes(), cv.tobytes(), pickle.dumps(model)

    bare = work()
    with recording():
        assert work() == bare


def test_params_are_short_texts():
    class Odd:
        def __repr__(self):
            raise AssertionError

    assert brief("as it is") == "as it is"
    assert brief([1, 2.5, None, "a", (True,)]) == "[1, 2.5, None, 'a', (True,)]"
    assert brief(np.float64(0.1)) == "0.1"
    assert brief(np.arange(3)) == "[0, 1, 2]"
    assert brief(np.zeros((100, 3))) == "ndarray of shape (100, 3)"
    assert brief(list(range(1000))) == "list of 1000 items"
    assert brief(Odd()) == "Odd"
    assert brief(LogisticRegression()) == "LogisticRegression"
    assert brief([("clf", LogisticRegression(C=2))]) == "[('clf', LogisticRegression)]"
    assert brief(np.random.RandomState(0)) == "RandomState"
    assert brief(accuracy_score) == "accuracy_score"
    assert brief(X.__class__) == "ndarray"
    looped = []
    looped.append(looped)
    assert brief(looped) == "[[[[[[list of 1 items]]]]]]"


def test_drawn_params_and_chosen_ones():
    from scipy.stats import loguniform

    assert brief(loguniform(0.01, 100)) == "loguniform(0.01, 100)"
    assert changed_params(StandardScaler(with_mean=False)) == {"with_mean": "False"}
    assert params_of(make_pipeline(StandardScaler()))["standardscaler__copy"] == "True"


def test_estimator_whose_params_cannot_be_read_is_fitted_all_the_same():
    class Broken(BaseEstimator):
        def __init__(self, depth=1):
            pass

        def fit(self, X, y=None):
            return self

    with recording() as recorder:
        assert isinstance(Broken().fit(X), Broken)
    assert recorder.fits == []


def test_mlflow_autolog_that_is_on_is_left_alone(store):
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    mlflow.sklearn.autolog(log_models=False, silent=True)
    try:
        with recording() as recorder:
            assert not isinstance(vars(StandardScaler)["fit"], MethodProxy)
    finally:
        mlflow.sklearn.autolog(disable=True, silent=True)
    assert recorder.fits == []


def test_mlflow_autolog_turned_on_in_the_cell_takes_over(store):
    import mlflow

    before = _everything()
    mlflow.set_tracking_uri(store.uri)
    with recording() as recorder:
        LogisticRegression().fit(X, y)
        mlflow.sklearn.autolog(log_models=False, silent=True)
        assert PATCHES.listener is None
        mlflow.sklearn.autolog(disable=True, silent=True)
        LogisticRegression().fit(X, y)
    assert recorder.fits == []
    left = {
        key: value
        for key, value in _everything().items()
        if isinstance(value, MethodProxy)
    }
    assert left == {}
    assert before.keys() <= _everything().keys()


_LATE = """
import sys
from nbmlops.tracking.autolog import Recorder
recorder = Recorder()
recorder.start()
assert "sklearn" not in sys.modules
added = sys.meta_path[:1]
assert type(added[0]).__name__ == 'PostImportHook'
from sklearn.tree import DecisionTreeClassifier
model = DecisionTreeClassifier().fit([[0], [1]], [0, 1])
predicted = model.predict([[0], [1]])
from sklearn.metrics import accuracy_score
accuracy_score([0, 1], predicted)
recorder.stop()
(fit,) = recorder.fits
print(fit.title, fit.scores[0].metric, [f for f in sys.meta_path if f in added])
print(type(vars(DecisionTreeClassifier)["fit"]).__name__)
"""


def test_library_that_the_cell_imports_itself_is_watched_from_then_on(project):
    script = project / "late.py"
    script.write_text(_LATE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [
        "DecisionTreeClassifier",
        "accuracy_score",
        "[]",
        "function",
    ], done.stderr


def test_fit_that_goes_on_after_the_cell_is_no_fit_yet():
    going, waited = threading.Event(), threading.Event()

    class Long(BaseEstimator):
        def fit(self, X, y=None):
            going.set()
            waited.wait(30)
            return self

    with recording() as recorder:
        thread = threading.Thread(target=lambda: Long().fit(X))
        thread.start()
        going.wait(30)
        assert recorder.fits[0].status is None
    waited.set()
    thread.join()
    assert recorder.fits[0].status == "FINISHED"
