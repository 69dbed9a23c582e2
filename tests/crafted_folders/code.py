"""Pickles in the flavor that is read here, and code in the folder."""

import gzip
import io
import pickle

import cloudpickle
import joblib
import yaml

from tests.crafted_folders.folder import WAYS, Payload, way


def _sklearn_pickle(form, dump=pickle.dumps):
    def craft(folder):
        folder.write("model.pkl", dump(Payload(folder.canary)))
        folder.sklearn(pickled_model="model.pkl", serialization_format=form)

    return craft


def _joblib(value):
    joblib.dump(value, buffer := io.BytesIO(), compress=3)
    return buffer.getvalue()


WAYS |= {
    "sklearn: pickle": _sklearn_pickle("pickle"),
    "sklearn: cloudpickle": _sklearn_pickle("cloudpickle", cloudpickle.dumps),
    "sklearn: joblib, compressed": _sklearn_pickle("joblib", _joblib),
    "sklearn: a pickle that is called skops": _sklearn_pickle("skops"),
    "sklearn: a joblib file that is called skops": _sklearn_pickle("skops", _joblib),
    "sklearn: SKOPS": _sklearn_pickle("SKOPS"),
    "sklearn: a list of formats": _sklearn_pickle(["skops", "pickle"]),
}


@way("sklearn: no format, as older versions of MLflow")
def _no_format(folder):
    _sklearn_pickle("pickle")(folder)
    document = folder.document
    del document["flavors"]["sklearn"]["serialization_format"]
    folder.write("MLmodel", yaml.safe_dump(document))


@way("sklearn: a pickle at an absolute path")
def _absolute_pickle(folder):
    (file := folder.outside / "model.pkl").write_bytes(folder.pickled)
    folder.sklearn(pickled_model=str(file), serialization_format="cloudpickle")


@way("sklearn: a file outside of the folder")
def _relative_pickle(folder):
    (folder.outside / "model.skops").write_bytes(folder.pickled)
    folder.sklearn(pickled_model=f"../{folder.outside.name}/model.skops")


@way("sklearn: the file is a link to one outside")
def _linked_pickle(folder):
    (file := folder.outside / "model.skops").write_bytes(folder.pickled)
    (folder.path / "model.skops").unlink()
    (folder.path / "model.skops").symlink_to(file)


@way("sklearn: the flavor is a list")
def _flavor_list(folder):
    folder.write("model.pkl", folder.pickled)
    document = folder.document
    document["flavors"]["sklearn"] = [{"pickled_model": "model.pkl"}]
    folder.write("MLmodel", yaml.safe_dump(document))


# Code in the folder, or named by it.


@way("pyfunc: loader_module in the code folder, no other flavor")
def _loader_alone(folder):
    folder.write("code/evil_loader.py", folder.source)
    function = {"loader_module": "evil_loader", "code": "code", "data": "model.skops"}
    folder.describe(flavors={"python_function": function})


@way("pyfunc: loader_module in the code folder, beside sklearn")
def _loader_beside(folder):
    folder.write("code/evil_loader.py", folder.source)
    folder.function(loader_module="evil_loader", code="code")
    folder.sklearn(code="code")


@way("pyfunc: modules in the code folder that hide others")
def _hiding(folder):
    names = "sklearn skops numpy json yaml joblib sitecustomize usercustomize nbmlops"
    for name in names.split():
        folder.write(f"code/{name}.py", folder.source)
        folder.write(f"{name}.py", folder.source)
    folder.write("code/evil.pth", f"import os; {folder.source}")
    folder.function(code="code")
    folder.sklearn(code="code")


@way("pyfunc: code at an absolute path")
def _code_outside(folder):
    (folder.outside / "evil_loader.py").write_text(folder.source)
    folder.function(loader_module="evil_loader", code=str(folder.outside))
    folder.sklearn(code=f"../{folder.outside.name}")


@way("pyfunc: the code folder is a link")
def _code_linked(folder):
    (folder.outside / "sklearn.py").write_text(folder.source)
    (folder.path / "code").symlink_to(folder.outside)
    folder.function(code="code")
    folder.sklearn(code="code")


@way("pyfunc: python_model, cloudpickle")
def _python_model(folder):
    folder.write("python_model.pkl", cloudpickle.dumps(Payload(folder.canary)))
    function = {"loader_module": "mlflow.pyfunc.model"}
    function |= {"python_model": "python_model.pkl", "cloudpickle_version": "3.1.2"}
    folder.describe(flavors={"python_function": function})


@way("pyfunc: python_model, compressed")
def _compressed_python_model(folder):
    folder.write("python_model.pkl.gz", gzip.compress(folder.pickled))
    folder.function(
        loader_module="mlflow.pyfunc.model",
        python_model="python_model.pkl.gz",
        python_model_compression="gzip",
    )


@way("pyfunc: a model from code")
def _model_code(folder):
    folder.write("evil_model.py", folder.source)
    function = {"loader_module": "mlflow.pyfunc.model"}
    function["model_code_path"] = "evil_model.py"
    folder.describe(flavors={"python_function": function})


@way("pyfunc: data and model_path outside of the folder")
def _data_outside(folder):
    (file := folder.outside / "model.pkl").write_bytes(folder.pickled)
    folder.function(data=str(file), model_path=f"../{folder.outside.name}/model.pkl")


def _method(name):
    return lambda folder: folder.function(predict_fn=name)


WAYS |= {
    f"pyfunc: predict_fn is {name}": _method(name)
    for name in ("__reduce_ex__", "__class__", "_repr_html_", "set_params", "fit")
}
