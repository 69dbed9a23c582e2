"""Crafted model folders through a whole deploy: none of their code runs."""

import contextlib
import gzip
import io
import os
import pickle
import shutil
import subprocess
import sys
import warnings
import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression

from nbmlops.deployment import records
from nbmlops.errors import NbmlopsError
from nbmlops.lifecycle.deploy import deploy, undeploy
from nbmlops.scoring.example import read_example
from nbmlops.store.models.files import save_model
from tests.crafted_folders import WAYS, ModelFolder

pytestmark = pytest.mark.server
# With those that did run code, or hung, once.
SHORT = [
    name
    for number, name in enumerate(WAYS)
    if number % 3 == 0 or name.startswith(("cache of", "env:", "files:"))
]
# What is code to a library that is not here, or to no reader any more.
NOT_LIVE = {
    *(name for name in WAYS if name.startswith("pyfunc: predict_fn")),
    "files: a link to a device",
    "files: a pipe, which nobody writes to",
    "links: to themselves, to nothing",
    "input example: a tag of YAML",
    "env: a line that a shell would run",
    "MLmodel: the signature is no JSON",
    "skops: files that would be unpacked outside of the folder",
    "skops: tree, os.system",
    "skops: factory, os.system",
    "skops: function, os.system",
    "skops: the name of a bit generator",
    "skops: operator.methodcaller",
}


@pytest.fixture(scope="module")
def good(frame, tmp_path_factory):
    """Return the folder of a model that is served."""
    folder = tmp_path_factory.mktemp("good") / "model"
    folder.mkdir()
    save_model(LogisticRegression().fit(frame, frame.a > 0), folder, frame)
    return folder


@pytest.fixture
def craft(good, store, tmp_path):
    """Return what changes a good model's folder by a way."""

    def make(name, way):
        path = tmp_path / name / "model"
        served = records.root(store.settings) / name / "versions/1/model"
        shutil.copytree(good, path)
        folder = ModelFolder(path, served, tmp_path / f"canary of {name}")
        WAYS[way](folder)
        return folder

    return make


@pytest.fixture
def register(store):
    """Return what registers a folder with MLflow's client."""

    def add(name, folder):
        store.client.create_registered_model(name)
        store.client.create_model_version(name, source=folder.path.as_uri())

    return add


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param(SHORT, id="some"),
        pytest.param([*WAYS], marks=pytest.mark.slow, id="all"),
    ],
)
def test_no_way_runs_code(store, frame, craft, register, left_behind, ways):
    tried, ran, unclear = 0, [], []
    for number, way in enumerate(ways):
        name = f"crafted-{number}-of-{len(ways)}"
        folder = craft(name, way)
        register(name, folder)
        try:
            handle = deploy(f"{name}/1", env=way.startswith("env:"), store=store)
            assert len(handle.predict(frame.head(3))) == 3
            undeploy(name, store=store)
            outcome = "served without it"
        except NbmlopsError as error:
            outcome = f"refused: {error.problem}"
            if not error.fix or "Traceback" in str(error):
                unclear.append((way, str(error)))
        if left := left_behind():
            unclear.append((way, left))
        tried += 1
        if folder.canary.exists():
            ran.append(way)
        n_run = int(folder.canary.exists())
        sys.stdout.write(f"{n_run} run  {way}: {outcome[:150]}\n")
    sys.stdout.write(f"{tried} ways tried, {len(ran)} run\n")
    assert (tried, ran, unclear) == (len(ways), [], [])


def test_the_command_refuses_without_a_trace(store, craft, register):
    way = "sklearn: cloudpickle"
    register("crafted", folder := craft("crafted", way))
    environ = os.environ | {"MLFLOW_TRACKING_URI": store.uri}
    done = subprocess.run(
        [sys.executable, "-m", "nbmlops.cli", "deploy", "crafted/1"],
        cwd=store.settings.project,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "saved with 'cloudpickle'" in done.stderr
    assert "Log it again" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not folder.canary.exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in WAYS if way not in NOT_LIVE])
def test_a_reader_that_believes_all_runs_the_code(good, craft, way):
    folder = craft("believed", way)
    example = pd.DataFrame(**read_example(good).table())
    shutil.copytree(folder.path, folder.endpoint, symlinks=True, dirs_exist_ok=True)
    try:
        for path in (*folder.path.rglob("*"), *folder.outside.rglob("*")):
            if path.is_file():
                believe(path.name, path.read_bytes(), example)
    finally:
        shutil.rmtree(folder.endpoint.parents[1])
    assert folder.canary.exists()


def believe(name, content, example):
    """Read a file in each way that runs what is in it: it makes a canary."""
    file = io.BytesIO(content)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for part in archive.namelist():
                believe(part, archive.read(part), example)
    readers = [
        lambda: pickle.loads(content),  # noqa: S301
        lambda: pickle.loads(gzip.decompress(content)),  # noqa: S301
        lambda: pickle.loads(content.strip(b"{}")),  # noqa: S301
        lambda: joblib.load(io.BytesIO(content)),
        lambda: np.load(io.BytesIO(content), allow_pickle=True),
        lambda: believe_skops(content, example),
    ]
    if name.endswith(".py"):
        readers = [lambda: exec(content, {})]  # noqa: S102
    elif name == "MLmodel":
        readers = [lambda: yaml.unsafe_load(content)]
    for read in readers:
        with contextlib.suppress(Exception, SystemExit), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()


def believe_skops(content, example):
    types = skops.io.get_untrusted_types(data=content)
    model = skops.io.loads(content, trusted=types)
    for method in ("transform", "fit_transform", "predict"):
        with contextlib.suppress(Exception):
            getattr(model, method)(example)
