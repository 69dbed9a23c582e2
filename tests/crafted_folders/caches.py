"""Caches of joblib's that come with a model.

joblib keeps results in a folder as pickles, which a pipeline with a memory reads when
it is fitted. A model that is fitted as it predicts reads what came with it.
"""

import contextlib
import json
import zipfile

import joblib
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from nbmlops.scoring.example import read_example
from nbmlops.scoring.request import read_request
from nbmlops.scoring.rows import to_rows
from nbmlops.scoring.signature import read_input_spec, read_mlmodel
from nbmlops.store.models.files import save_model
from tests.crafted import node
from tests.crafted_folders.folder import way
from tests.crafted_folders.skops_files import transformer


def _with_cache(folder, wrap, last=None):
    """Write a pipeline in whose cache are pickles, wrapped into another model."""
    made = folder.path / "cache"
    joblib.memory._FUNCTION_HASHES.clear()  # write the function's code there, too
    steps = [("scale", StandardScaler()), ("last", last or StandardScaler())]
    pipeline = Pipeline(steps, memory=str(made))
    spec = read_input_spec(read_mlmodel(folder.path))
    example = json.dumps(read_example(folder.path).request()).encode()
    rows = to_rows(read_request(example, "application/json", kind=spec.kind), spec)
    labels = [n % 2 for n in range(len(rows))]
    for each in (rows, rows.to_numpy(), rows[:1], rows.to_numpy()[:1]):
        with contextlib.suppress(ValueError, TypeError):  # of the last step
            pipeline.fit_transform(each)
    for kept in made.rglob("output.pkl"):
        kept.write_bytes(folder.pickled)
    fitted = Pipeline(steps).fit(rows, labels)
    fitted.memory = str(folder.endpoint / "cache")
    (saved := folder.outside / "saved").mkdir()
    save_model(wrap(fitted, rows, labels), saved)
    folder.write("model.skops", (saved / "model.skops").read_bytes())


@way("cache of joblib: predict_fn is fit_transform")
def _fit_transform(folder):
    _with_cache(folder, lambda pipeline, *_: pipeline)
    folder.function(predict_fn="fit_transform")


@way("cache of joblib: the method that a stack asks its models by")
def _stack(folder):
    def wrap(pipeline, rows, labels):
        dummy = DummyClassifier().fit(rows, labels)
        model = StackingClassifier([("a", dummy)], DummyClassifier(), cv="prefit")
        model.fit(rows, labels)
        model.estimators_, model.stack_method_ = [pipeline], ["fit_transform"]
        return model

    _with_cache(folder, wrap)


@way("cache of joblib: the method that a threshold asks its model by")
def _threshold(folder):
    def wrap(pipeline, rows, labels):
        model = FixedThresholdClassifier(DummyClassifier(), threshold=0.5)
        model.fit(rows, labels)
        model.estimator_, model.response_method = pipeline, "fit_transform"
        return model

    _with_cache(folder, wrap, LinearDiscriminantAnalysis())


@way("cache of joblib: a method of a pipeline as a function")
def _pipeline_method(folder):
    _with_cache(folder, lambda pipeline, *_: pipeline)
    with zipfile.ZipFile(folder.path / "model.skops") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    pipeline = json.loads(parts.pop("schema.json"))
    name = "sklearn.pipeline.Pipeline"
    content = {"func": "fit_transform", "obj": pipeline}
    folder.skops(transformer(node("MethodNode", name, content=content)), parts)
