"""The shape of the repository."""

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import click
import nbformat
import pytest
from numpydoc.validate import validate

import nbmlops
from nbmlops.cli.main import cli
from nbmlops.notebook.magics.magics import NbmlopsMagics
from nbmlops.notebook.magics.options import track_parser

ROOT = Path(__file__).parents[1]
DOCS = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))
)


def test_public_names_are_exactly_those_that_can_be_had():
    assert sorted(nbmlops.__all__) == nbmlops.__all__
    assert set(nbmlops._HOME_OF) == set(nbmlops.__all__)
    for name in nbmlops.__all__:
        assert getattr(nbmlops, name) is not None
    typed = ast.parse((ROOT / "nbmlops" / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in ast.walk(typed)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("nbmlops.")
        for alias in node.names
    }
    assert set(nbmlops.__all__) <= imported


def test_every_all_is_exact():
    for module in pkgutil.walk_packages(nbmlops.__path__, "nbmlops."):
        if module.name.endswith("__main__") or "deployment.ray." in module.name:
            continue  # Ray is there in `make test-all` alone
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            assert hasattr(loaded, name), f"{module.name}.{name}"


def public_docstrings():
    """Yield the full name of each public function, class and method."""
    for name in nbmlops.__all__:
        public = getattr(nbmlops, name)
        full = f"{public.__module__}.{public.__qualname__}"
        is_error = isinstance(public, type) and issubclass(public, Exception)
        if not is_error:
            yield full
        if isinstance(public, type):
            for method, each in vars(public).items():
                kinds = (classmethod, staticmethod, property)
                if not method.startswith("_") and (
                    inspect.isfunction(each) or isinstance(each, kinds)
                ):
                    yield f"{full}.{method}"


@pytest.mark.parametrize("name", list(public_docstrings()))
def test_a_public_docstring_is_whole(name):
    checks = [
        "GL08",
        "SS01",
        "SS03",
        "PR01",
        "PR02",
        "PR03",
        "PR04",
        "PR07",
        "RT01",
        "RT03",
        "YD01",
    ]
    assert [each for each in validate(name)["errors"] if each[0] in checks] == []


def commands(group=cli, above=""):
    for name, each in group.commands.items():
        if isinstance(each, click.Group):
            yield from commands(each, f"{above}{name} ")
        else:
            yield f"{above}{name}", each


@pytest.mark.parametrize(
    ("name", "command"), sorted(commands(), key=lambda each: each[0])
)
def test_every_option_of_a_command_is_in_the_docs(name, command):
    assert re.search(rf"nbmlops {name}\b", DOCS), name
    for option in command.params:
        if isinstance(option, click.Option):
            names = [name for name in option.opts if name in DOCS]
            assert names, f"{name} {option.opts}"


def test_every_magic_and_its_options_are_in_the_docs():
    path = ROOT / "nbmlops" / "notebook" / "magics" / "magics.py"
    source = path.read_text(encoding="utf-8")
    options = set(re.findall(r'argument\(\s*"(--?[\w-]+)"', source))
    options |= {
        name for action in track_parser()._actions for name in action.option_strings
    }
    assert {name for name in options if name not in DOCS} == set()
    magics = NbmlopsMagics.magics
    for kind, mark in (("line", "%"), ("cell", "%%")):
        for name in magics[kind]:
            assert f"{mark}{name}" in DOCS, name


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=str)
def test_notebooks_have_parameters_and_no_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_lock_holds_no_address_and_a_hash_for_every_package():
    lock = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in lock
    entries = re.split(r"(?m)^(?=[a-z0-9])", lock)[1:]
    assert len(entries) > 150
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in (ROOT / "labextension" / "yarn.lock").read_text(
        encoding="utf-8"
    )


def test_lock_fits_what_the_project_asks_for():
    import tomllib

    from packaging.requirements import Requirement

    lock = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ;]+)", lock))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["project"]["optional-dependencies"]["demo"],
    ]
    for requirement in map(Requirement, wanted):
        if requirement.name != "nbmlops":
            assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_version_is_that_of_the_front_end():
    import json

    package = json.loads(
        (ROOT / "labextension" / "package.json").read_text(encoding="utf-8")
    )
    assert nbmlops.__version__ == package["version"]


def test_models_are_loaded_by_endpoints_alone():
    """Neither the Jupyter server nor a kernel runs what a model brings."""
    callers = set()
    for path in (ROOT / "nbmlops").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="load_model")):
                    callers.add(str(path.relative_to(ROOT)))
                case ast.Call(func=ast.Attribute(attr="load_model")):
                    callers.add(str(path.relative_to(ROOT)))
    assert callers == {
        "nbmlops/deployment/explain/request.py",  # in a process of its own
        "nbmlops/serving/model.py",
        "nbmlops/store/models/networks.py",
    }
