"""A version written out for a container or KServe; the folder really serves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from dockerfile_parse import DockerfileParser
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.errors import ConflictError, UsageError

X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
MODEL = LogisticRegression().fit(X, ["no", "no", "yes", "yes"])
KSERVE = Path(__file__).with_name("kserve_models.py")
TOKEN = "for-this-test"  # noqa: S105


@pytest.fixture
def version(project):
    with nm.track("fit") as run:
        run.log_model(MODEL, X)
    return nm.register("My_churn", run=run.run_id)


@pytest.fixture
def folder(project, version):
    return nm.export_endpoint("My_churn/1", "image", name="churn")


def instructions(folder):
    parser = DockerfileParser(fileobj=(folder / "Dockerfile").open("rb"))
    return [(each["instruction"], each["value"]) for each in parser.structure]


@contextmanager
def served(folder, *words, python=sys.executable, **environment):
    """Run what the image runs, as it would there, on a free port of this machine."""
    entry = json.loads(dict(instructions(folder))["ENTRYPOINT"])
    assert entry[:4] == ["python", "-m", "nbmlops.serving", "/endpoint"]
    assert entry[4:8] == ["--host", "0.0.0.0", "--port", "8080"]  # noqa: S104
    command = [python, *entry[1:3], folder, *entry[4:7], "0", *entry[8:]]
    process = subprocess.Popen(
        [*command, *words],
        cwd=folder,  # its nbmlops, not ours
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search("listening on port ([0-9]+)", line):
                break
        assert found, "".join(said)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process, f"http://127.0.0.1:{found[1]}"
    finally:
        process.kill()
        process.wait()


def ask(url, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(  # noqa: S310
        url, data, {"content-type": "application/json", **headers}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        return answer.read(), answer.headers


@pytest.mark.server
def test_the_folder_serves_as_an_endpoint_does(folder):
    split = {"dataframe_split": X.to_dict("split", index=False)}
    bearer = {"authorization": f"Bearer {TOKEN}"}
    with served(folder, NBMLOPS_ENDPOINT_TOKEN=TOKEN) as (process, url):
        body, headers = ask(
            f"{url}/endpoints/churn/invocations", split, host="churn.example", **bearer
        )
        assert json.loads(body)["predictions"] == MODEL.predict(X).tolist()
        assert headers["x-model-version"] == "My_churn/1"
        body, _ = ask(f"{url}/v2/models/My_churn/ready", **bearer)
        inputs = [
            {"name": n, "shape": [4], "datatype": "FP64", "data": X[n].tolist()}
            for n in X
        ]
        asked = {"inputs": inputs, "outputs": [{"name": "probabilities"}]}
        body, _ = ask(f"{url}/v2/models/My_churn/infer", asked, **bearer)
        found = json.loads(body)["outputs"][0]
        values = np.array(found["data"]).reshape(found["shape"])
        np.testing.assert_allclose(values, MODEL.predict_proba(X))
        assert b"My_churn/1" in ask(f"{url}/metrics", **bearer)[0]
        foreign = {**bearer, "origin": "http://evil.example"}
        for wrong, status in (({}, 401), (foreign, 403)):
            with pytest.raises(urllib.error.HTTPError) as error:
                ask(f"{url}/invocations", split, **wrong)
            assert error.value.code == status
        process.terminate()
        assert process.wait(30) == 0


def test_it_does_not_start_without_a_token(folder):
    done = subprocess.run(
        [sys.executable, "-m", "nbmlops.serving", folder],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "NBMLOPS_ENDPOINT_TOKEN is not set" in done.stderr


def test_the_image_has_the_pins_of_the_model_and_of_what_serves_it(folder):
    assert instructions(folder) == [
        ("FROM", f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"),
        ("WORKDIR", "/endpoint"),
        ("COPY", "requirements.txt ."),
        ("RUN", "pip install --no-cache-dir --no-deps -r requirements.txt"),
        ("COPY", ". ."),
        ("USER", "1000"),
        ("EXPOSE", "8080"),
        instructions(folder)[-1],
    ]
    pins = (folder / "requirements.txt").read_text("utf-8").split()
    names = {pin.partition("==")[0] for pin in pins}
    assert all(re.fullmatch(r"[a-z0-9-]+==[^=]+", pin) for pin in pins)
    assert {"scikit-learn", "httptools", "python-dateutil", "joblib"} <= names
    assert not {"mlflow", "jupyterlab", "nbmlops"} & names
    model = (folder / "model" / "requirements.txt").read_text("utf-8").split()
    assert set(model) - set(pins) == {p for p in model if p.startswith("mlflow==")}
    assert not list(folder.rglob("__pycache__"))
    assert {path.name for path in folder.iterdir()} == {
        *("model", "nbmlops", "served.json", "requirements.txt", "Dockerfile"),
        *(".dockerignore", f"nbmlops-{nm.__version__}.dist-info"),
    }


def test_an_export_is_whole_or_not_there(project, version, capsys):
    with pytest.raises(ConflictError, match="holds files"):
        nm.export_endpoint("My_churn/1", project)
    with pytest.raises(UsageError, match="KServe's"):
        nm.export_endpoint("My_churn/1", "other", canary=0.1)
    words = ["deploy", "My_churn/1", "--export", "docker", "out"]
    assert invoke([*words, "--shadow"]) == 2
    assert "An export takes no --shadow." in capsys.readouterr().err
    left = {path.name for path in project.iterdir()}
    assert not {"other", "out"} & left
    assert nm.endpoints() == ()


def test_an_inference_service_runs_the_image(project, version, capsys):
    words = ["deploy", "My_churn/1", "--export", "kserve", "out", "--json"]
    assert invoke([*words, "--image", "shop/churn:1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "Dockerfile" in found["files"]
    service = yaml.safe_load((project / "out" / "inferenceservice.yaml").read_text())
    assert service["kind"] == "InferenceService"
    assert service["metadata"]["name"] == "my-churn"
    (container,) = service["spec"]["predictor"]["containers"]
    assert container["image"] == "shop/churn:1"
    protocol, token = container["env"]
    assert protocol == {"name": "PROTOCOL", "value": "v2"}
    assert token["valueFrom"]["secretKeyRef"]["name"] == "my-churn-token"


def test_a_canary_is_a_patch_of_the_service(project, version):
    words = ["deploy", "My_churn/1", "--export", "kserve", "out", "--no-auth"]
    assert invoke([*words, "--canary", "10%"]) == 0
    patch = yaml.safe_load((project / "out" / "canary.yaml").read_text())
    (canary,) = patch["spec"]["canary"]
    assert canary["trafficPercent"] == 10
    (container,) = canary["predictor"]["containers"]
    assert container["image"] == "my-churn:1"
    assert [each["name"] for each in container["env"]] == ["PROTOCOL"]
    assert "--no-auth" in dict(instructions(project / "out"))["ENTRYPOINT"]
    with pytest.raises(UsageError, match="whole percents"):
        nm.export_endpoint("My_churn/1", "b", to="kserve", canary=0.005)


@pytest.mark.slow
@pytest.mark.server
def test_its_requirements_are_all_that_serving_takes(folder, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    pip = [python, "-m", "pip", "install", "-q", "--no-deps", "-r"]
    subprocess.run([*pip, folder / "requirements.txt"], check=True)
    split = {"dataframe_split": X.to_dict("split", index=False)}
    bearer = {"authorization": f"Bearer {TOKEN}"}
    environment = {"NBMLOPS_ENDPOINT_TOKEN": TOKEN, "PYTHONPATH": ""}
    with served(folder, python=python, **environment) as (_, url):
        body, _ = ask(f"{url}/invocations", split, **bearer)
        assert json.loads(body)["predictions"] == MODEL.predict(X).tolist()
        assert ask(f"{url}/version", **bearer)[0].startswith(b"3.")
        assert b"nbmlops_requests_total" in ask(f"{url}/metrics", **bearer)[0]
        for path in ("openapi.json", "v2", "v2/models/My_churn", "ping"):
            ask(f"{url}/{path}", **bearer)
        label = {"request_id": "a", "label": "yes"}
        assert ask(f"{url}/feedback", label, **bearer)[0] == b"{}"


@pytest.mark.slow
@pytest.mark.server
def test_kserve_knows_all_fields(project, version, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    pip = [python, "-m", "pip", "install", "-q", "kserve>=0.20"]
    subprocess.run(pip, check=True)
    nm.export_endpoint("My_churn/1", "whole", to="kserve")
    nm.export_endpoint("My_churn/1", "canary", to="kserve", canary=0.1)
    for path in ("whole/inferenceservice.yaml", "canary/canary.yaml"):
        subprocess.run([python, KSERVE, project / path], check=True)
