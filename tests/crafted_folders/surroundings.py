"""What is beside the model: MLmodel, input examples, links, packages."""

import json
import os

import yaml

from tests.crafted_folders.folder import way


@way("MLmodel: a tag of YAML")
def _yaml_tag(folder):
    tag = f'!!python/object/apply:os.system ["{folder.command}"]'
    text = (folder.path / "MLmodel").read_text("utf-8")
    folder.write("MLmodel", f"{text}\nevil: {tag}\n")


@way("MLmodel: the signature is no JSON")
def _no_signature(folder):
    folder.describe(signature={"inputs": folder.source, "outputs": folder.source})


@way("input example: at an absolute path")
def _example_outside(folder):
    (file := folder.outside / "example.json").write_bytes(folder.pickled)
    info = {"artifact_path": str(file), "type": "dataframe", "pandas_orient": "split"}
    folder.describe(saved_input_example_info=info)


@way("input example: a pickle")
def _pickled_example(folder):
    folder.write("input_example.json", folder.pickled)
    folder.write("serving_input_example.json", folder.pickled)


@way("input example: a tag of YAML")
def _tag_in_example(folder):
    rows = {"columns": ["a", "b"], "data": [[1.0, 2.0]]}
    rows["py/object/apply"] = ["os.system", folder.command]
    folder.write("input_example.json", json.dumps(rows))


@way("links: to themselves, to nothing")
def _odd_links(folder):
    (folder.path / "loop").symlink_to(folder.path)
    (folder.path / "gone").symlink_to(folder.outside / "gone")


@way("files: a pipe, which nobody writes to")
def _pipe(folder):
    os.mkfifo(folder.path / "pipe")


@way("files: a link to a device")
def _device(folder):
    (folder.path / "device").symlink_to("/dev/null")


# Packages, which `env=True` installs.


def setup_py(folder):
    """Write a package whose installation runs code; return its folder."""
    (package := folder.outside / "evil").mkdir(exist_ok=True)
    (package / "setup.py").write_text(
        folder.source + "from setuptools import setup\nsetup(name='evil')\n"
    )
    return package


@way("env: a package at a URL")
def _requirement_url(folder):
    package = setup_py(folder)
    _require(folder, f"evil @ {package.as_uri()}")


@way("env: a package at a path, and an index of its own")
def _requirement_path(folder):
    package = setup_py(folder)
    lines = (f"-e {package}", str(package), f"--find-links {package}", "-r ../evil.txt")
    _require(folder, *lines)


@way("env: a line that a shell would run")
def _requirement_shell(folder):
    _require(folder, f"numpy; {folder.command}", f"numpy`{folder.command}`")
    folder.function(python_version=f"3.11; {folder.command}")


def _require(folder, *lines):
    with (folder.path / "requirements.txt").open("a", encoding="utf-8") as file:
        file.write("".join(f"\n{line}" for line in lines))
    pip = {"pip": [*lines]}
    folder.write("conda.yaml", yaml.safe_dump({"dependencies": ["python", pip]}))
    folder.write("python_env.yaml", yaml.safe_dump({"dependencies": [*lines]}))
