"""Model files that are not what nbmlops writes."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from sklearn.preprocessing import FunctionTransformer

from nbmlops.store.models.files import save_model


def any_model() -> FunctionTransformer:
    """Return a fitted estimator that takes any rows and does not predict."""
    return FunctionTransformer().fit([[0]])


def plant(folder: Path, content: bytes, **flavor: object) -> Path:
    """Write a model folder whose MLmodel trusts all that it holds."""
    save_model(any_model(), folder)
    document = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    document["flavors"]["sklearn"] |= flavor
    (folder / "MLmodel").write_text(yaml.safe_dump(document), encoding="utf-8")
    (folder / document["flavors"]["sklearn"]["pickled_model"]).write_bytes(content)
    return folder


def crafted(
    schema: dict[str, Any], parts: Mapping[str, bytes] = MappingProxyType({})
) -> bytes:
    """Return a file in the skops format with a schema, and files it may refer to."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("schema.json", json.dumps({"protocol": 2, **schema}))
        for name, content in parts.items():
            file.writestr(name, content)
    return buffer.getvalue()


def node(loader: str, name: str, **rest: object) -> dict[str, Any]:
    module, _, attribute = name.rpartition(".")
    return {
        "__class__": attribute,
        "__module__": module,
        "__loader__": loader,
        **rest,
    }


def text(value: str) -> dict[str, Any]:
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)
