"""The ways known to have a model's folder run code when somebody loads the model.

Each way changes the folder of a good model so that a naive reader creates a file, the
canary. They are those that MLflow's flavors, skops, joblib, numpy, torch, Keras and
ONNX have been reported for, and some of our own.
"""

from tests.crafted_folders import (  # noqa: F401 - each adds its ways
    caches,
    code,
    flavors,
    skops_files,
    surroundings,
)
from tests.crafted_folders.folder import WAYS, ModelFolder

__all__ = ["WAYS", "ModelFolder"]
