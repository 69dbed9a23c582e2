"""Reads a manifest with KServe's own models; run by a Python that has ``kserve``.

Each field has to be one of its model's, which refuses what it misses.
"""

import sys
from pathlib import Path

import yaml

SCALARS = {"str": str, "int": int, "bool": bool, "object": object}


def read(document, kind):
    """Return a document as a model of KServe or Kubernetes, all fields known."""
    import kubernetes.client
    from kserve import models

    if kind.lower().startswith("list["):
        return [read(each, kind[5:-1]) for each in document]
    if kind.lower().startswith(("dict(", "dict[")):
        return {key: read(value, "str") for key, value in document.items()}
    if kind in SCALARS:
        if not isinstance(document, SCALARS[kind]):
            raise SystemExit(f"{document!r} is no {kind}")
        return document
    model = getattr(models, kind, None) or getattr(kubernetes.client, kind)
    names = {key: name for name, key in model.attribute_map.items()}
    if unknown := set(document) - set(names):
        raise SystemExit(f"{kind} has no {sorted(unknown)}")
    fields = {
        names[key]: read(value, model.openapi_types[names[key]])
        for key, value in document.items()
    }
    return model(**fields)


def main(path):
    """Check a manifest, or the canaries of a patch."""
    document = yaml.safe_load(Path(path).read_text("utf-8"))
    if "kind" in document:
        read(document, "V1beta1InferenceService")
    else:
        read(document["spec"].pop("canary"), "list[V1beta1CanarySpec]")
        if document != {"spec": {}}:
            raise SystemExit(f"{document} is more than a canary")


if __name__ == "__main__":
    main(sys.argv[1])
