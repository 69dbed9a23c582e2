"""Published clients, unchanged, against an endpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbmlops.deployment import actions, records

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]

# KServe's client, for version 2 of the protocol.
_KSERVE = """
import asyncio, json, sys

from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

url, token, columns = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])


async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    headers = {"authorization": f"Bearer {token}"}
    inputs = [
        InferInput(name=name, shape=[len(data)], datatype="FP64", data=data)
        for name, data in columns.items()
    ]
    outputs = [RequestedOutput(name) for name in ("probabilities", "predictions")]
    request = InferRequest("credit", inputs, "mine", request_outputs=outputs)
    found = {
        "live": await client.is_server_live(url, headers=headers),
        "ready": await client.is_server_ready(url, headers=headers),
        "model": await client.is_model_ready(url, "credit", headers=headers),
    }
    answer = await client.infer(url, request, model_name="credit", headers=headers)
    found["name"], found["id"] = answer.model_name, answer.id
    found["outputs"] = {
        output.name: output.as_numpy().tolist() for output in answer.outputs
    }
    plain = InferRequest("credit", inputs)
    answer = await client.infer(url, plain, model_name="credit", headers=headers)
    found["plain"] = {output.name: output.data for output in answer.outputs}
    try:
        await client.infer(url, plain, model_name="other", headers=headers)
    except Exception as error:
        found["error"] = str(error)
    print(json.dumps(found))


asyncio.run(main())
"""


def test_mlflows_scoring_client_works(store, versions, models, frame):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    endpoint, _ = actions.deploy(store, versions[0], name="credit", no_auth=True)
    # It takes a host and a port, and sends no token.
    client = ScoringServerClient("127.0.0.1", endpoint.port)
    client.wait_server_ready(timeout=30)
    client.ping()
    assert client.get_version()
    expected = models[0].predict(frame).tolist()
    assert client.invoke(frame).get_predictions()[0].tolist() == expected
    proba = client.invoke(frame, {"output": "probabilities"})["predictions"]
    assert proba == pytest.approx(models[0].predict_proba(frame))
    with pytest.raises(Exception, match="error code 400"):
        client.invoke(frame.rename(columns={"a": "c"}))


def test_a_client_without_the_token_is_refused(store, versions, frame):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    with pytest.raises(Exception, match="error code 401"):
        ScoringServerClient("127.0.0.1", endpoint.port).invoke(frame)


@pytest.fixture(scope="session")
def kserve(tmp_path_factory):
    """Return a Python that has KServe's client."""
    from scripts import install

    folder = tmp_path_factory.mktemp("kserve") / "venv"
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", folder], check=True)
    python = folder / "bin" / "python"
    words = [sys.executable, "-m", "uv", "pip", "install", "--quiet"]
    subprocess.run(
        [*words, "--python", python, "kserve==0.21.0"],
        env=install.uv_environ(os.environ, install.pip_options()),
        check=True,
    )
    return str(python)


@pytest.mark.slow
def test_kserves_client_works(store, versions, models, frame, kserve):
    endpoint, _ = actions.deploy(store, versions[0], name="credit")
    token = records.read_token(store.settings, "credit")
    rows = frame.head(5)
    for url in (f"http://127.0.0.1:{endpoint.port}", endpoint.url):
        done = subprocess.run(
            [kserve, "-c", _KSERVE, url, token, json.dumps(rows.to_dict("list"))],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert [found[each] for each in ("live", "ready", "model")] == [True] * 3
        assert (found["name"], found["id"]) == ("credit", "mine")
        predictions = models[0].predict(rows).tolist()
        proba = models[0].predict_proba(rows)
        outputs = found["outputs"]
        assert list(outputs) == ["probabilities", "predictions"]
        assert outputs["probabilities"] == pytest.approx(proba)
        assert outputs["predictions"] == predictions
        assert found["plain"] == {"predictions": predictions}
        assert "serves 'credit', not 'other'" in found["error"]
