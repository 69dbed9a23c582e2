"""A digest of a stored model: equal for equal models, whenever they were stored."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from nbmlops.store.connection import Store, answering
from nbmlops.store.models.models import download_files

_CODE_OF_FORMAT = ("_skops_version", "protocol")


def model_digest(store: Store, model_id: str) -> str | None:
    """Return a hash over all that a logged model has learned and was set to."""
    with tempfile.TemporaryDirectory() as scratch, answering(store):
        location = store.client.get_logged_model(model_id).artifact_location
        download_files(store, location, "", Path(scratch))
        for file in sorted(Path(scratch).glob("model.*")):
            if file.suffix == ".skops":
                return skops_digest(file)
            if file.suffix in (".ubj", ".lgb"):
                return hashlib.sha256(file.read_bytes()).hexdigest()
        return None


def skops_digest(path: Path) -> str:
    """Return a hash over the content of a skops file.

    The file names its parts by their addresses in memory, and carries times; neither
    counts.
    """
    with zipfile.ZipFile(path) as archive:
        parts = {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name != "schema.json"
        }
        text = archive.read("schema.json")

    def without_addresses(node: dict[str, Any]) -> dict[str, Any]:
        items = ((key, each) for key, each in node.items() if key != "__id__")
        return {k: parts.get(v, v) if isinstance(v, str) else v for k, v in items}

    schema = json.loads(text, object_hook=without_addresses)
    for key in _CODE_OF_FORMAT:
        schema.pop(key, None)
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()
