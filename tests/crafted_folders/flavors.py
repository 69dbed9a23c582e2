"""Flavors that are not read here, or only with trust: none of their files is opened."""

import io
import json
import zipfile
from pathlib import Path

from tests.crafted_folders.folder import WAYS, ModelFolder, way


def _flavor(name, fields, files):
    def craft(folder):
        for path, content in files(folder).items():
            folder.write(path, content)
        function = {
            "loader_module": f"mlflow.{name}",
            "data": next(iter(files(folder))),
        }
        folder.describe(flavors={name: fields, "python_function": function})

    return craft


def _pickled(path="model.pkl"):
    return lambda folder: {path: folder.pickled}


_LGBM, _XGB = "lightgbm.sklearn.LGBMClassifier", "xgboost.sklearn.XGBClassifier"
for _name, _fields, _files in (
    ("lightgbm", {"data": "model.pkl", "model_class": _LGBM}, _pickled()),
    ("lightgbm", {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"},
     _pickled("model.lgb")),
    ("xgboost", {"data": "model.pkl", "model_class": _XGB}, _pickled()),
    ("xgboost", {"data": "model.ubj", "model_class": "xgboost.core.Booster"},
     lambda folder: {"model.ubj": b"{" + folder.pickled + b"}"}),
    ("catboost", {"data": "model.pkl", "model_type": "CatBoost"}, _pickled()),
    ("pmdarima", {"pickled_model": "model.pkl"}, _pickled()),
    ("statsmodels", {"data": "model.pkl"}, _pickled()),
    ("prophet", {"data": "model.pkl"}, _pickled()),
    ("diviner", {"data": "model.pkl"}, _pickled()),
    ("fastai", {"data": "model.fastai"}, _pickled("model.fastai")),
    ("gluon", {"data": "model.pkl"}, _pickled()),
    ("spacy", {"data": "model/vocab/lookups.bin"}, _pickled("model/vocab/lookups.bin")),
    ("spark", {"model_data": "sparkml"}, _pickled("sparkml/metadata/part-00000")),
    ("h2o", {"data": "model.h2o"}, _pickled("model.h2o/model")),
    ("paddle", {"data": "model.pdparams"}, _pickled("model.pdparams")),
    ("mleap", {"model_data": "mleap"}, _pickled("mleap/model")),
    ("johnsnowlabs", {"data": "model.pkl"}, _pickled()),
    ("shap", {"serialized_explainer": "explainer.shap"}, _pickled("explainer.shap")),
    ("sentence_transformers", {"data": "model/0.pkl"}, _pickled("model/0.pkl")),
    ("langchain", {"model_data": "model.pkl"}, _pickled()),
    ("llama_index", {"model_data": "index"}, _pickled("index/docstore.pkl")),
    ("dspy", {"model_path": "data/model.pkl"}, _pickled("data/model.pkl")),
    ("promptflow", {"entry": "evil:run"},
     lambda folder: {"model/evil.py": folder.source}),
    ("transformers", {"model_binary": "model", "trust_remote_code": True},
     lambda folder: {"model/modeling_evil.py": folder.source,
                     "config.json": '{"auto_map": {"AutoModel": "modeling_evil"}}'}),
    ("crate", {"data": "model.pkl"}, _pickled()),
):  # fmt: skip
    _label = f"{_name}: {next(iter(_files(ModelFolder(*[Path()] * 3))))}"
    WAYS[_label] = _flavor(_name, _fields, _files)


@way("pytorch: a pickle")
def _pytorch(folder):
    _flavor(
        "pytorch",
        {"model_data": "data", "pytorch_version": "2.6.0"},
        lambda folder: {"data/model.pth": folder.pickled},
    )(folder)
    folder.function(data="data")


@way("pytorch: its pickle module is in the folder")
def _pickle_module(folder):
    _pytorch(folder)
    folder.write("data/pickle_module_info.txt", "evil_pickle")
    folder.write("code/evil_pickle.py", folder.source)
    folder.function(code="code")


@way("pytorch: beside a good sklearn flavor")
def _pytorch_beside(folder):
    flavors = folder.document["flavors"]
    _pytorch(folder)
    folder.describe(flavors=flavors | folder.document["flavors"])


@way("keras: a lambda layer")
def _keras(folder):
    layer = {"class_name": "Lambda", "config": {"function": folder.source}}
    config = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}})
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as file:
        file.writestr("config.json", config)
        file.writestr("../../evil.py", folder.source)
    content = buffer.getvalue()
    _flavor("keras", {"data": "data"}, lambda _: {"data/model.keras": content})(folder)


@way("tensorflow: a saved model with its own Keras module")
def _tensorflow(folder):
    def files(folder):
        return {
            "data/saved_model.pb": folder.pickled,
            "data/keras_module.txt": b"evil_keras",
            "code/evil_keras.py": folder.source,
            "data/save_format.txt": b"h5",
        }

    _flavor("tensorflow", {"data": "data", "code": "code"}, files)(folder)


@way("onnx: data outside of the folder")
def _onnx(folder):
    (folder.outside / "weights").write_bytes(folder.pickled)
    location = f"../{folder.outside.name}/weights".encode()
    # A tensor whose external data is at a location, in the bytes of protobuf.
    content = b"\x08\x0a:" + bytes([len(location)]) + location
    _flavor("onnx", {"data": "model.onnx"}, lambda _: {"model.onnx": content})(folder)
