"""A model's folder that is changed in some way."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.crafted import crafted


class Payload:
    """Creates the canary when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return open, (str(self.canary), "w")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A good model's folder, about to be changed; ``endpoint`` is its copy."""

    path: Path
    endpoint: Path
    canary: Path

    @property
    def outside(self) -> Path:
        """A folder beside the model's."""
        (folder := self.path.with_name(f"{self.path.name} outside")).mkdir(
            exist_ok=True
        )
        return folder

    @property
    def source(self) -> str:
        return f"{self.expression}\n"

    @property
    def expression(self) -> str:
        return f"open({str(self.canary)!r}, 'w').close()"

    @property
    def pickled(self) -> bytes:
        return pickle.dumps(Payload(self.canary))

    @property
    def command(self) -> str:
        return f"touch '{self.canary}'"

    def write(self, name: str, content: str | bytes) -> None:
        (path := self.path / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def sklearn(self, **fields: object) -> None:
        self._describe("sklearn", fields)

    def function(self, **fields: object) -> None:
        self._describe("python_function", fields)

    def _describe(self, flavor: str, fields: dict[str, object]) -> None:
        document = self.document
        document["flavors"].setdefault(flavor, {}).update(fields)
        self.describe(**document)

    @property
    def document(self):
        return yaml.safe_load((self.path / "MLmodel").read_text("utf-8"))

    def describe(self, **fields: object) -> None:
        document = self.document | fields
        self.write("MLmodel", yaml.safe_dump(document))

    def skops(self, schema, parts=None) -> None:
        self.write("model.skops", crafted(schema, parts or {}))


Craft = Callable[[ModelFolder], None]
WAYS: dict[str, Craft] = {}


def way(name: str) -> Callable[[Craft], Craft]:
    def add(craft: Craft) -> Craft:
        WAYS[name] = craft
        return craft

    return add
