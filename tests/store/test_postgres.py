"""The same work on a PostgreSQL database, with no MLflow server between."""

import logging
import subprocess
import sys
import time
from types import SimpleNamespace
from urllib.parse import quote

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.errors import StoreError
from nbmlops.store import connect
from nbmlops.store.artifacts import read_file
from nbmlops.store.registry import versions
from nbmlops.store.registry.registered_models import list_models
from tests import postgres as postgres_programs

X = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})


@pytest.fixture
def tracked_in_postgres(project, monkeypatch, postgres_uri):
    """Have the project track in a database of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_uri)
    return project


@pytest.mark.server
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_tracking_searching_and_registering_work(
    project, monkeypatch, postgres_uri, scheme, capfd
):
    uri = postgres_uri.replace("postgresql", scheme, 1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for auc in (0.7, 0.9):
        with nm.track("it", params={"C": 1, "text": "naïve 🦆"}) as run:
            run.log(auc=auc)
            for step in range(3):
                run.log(step=step, loss=1 / (step + 1))
            run.log_dataset(X, name="train")
            run.log_model(LogisticRegression().fit(X, [0, 0, 1, 1]), X)
    environment = read_file(connect(), run.run_id, "nbmlops/environment.txt")
    assert "pandas==" in environment.decode()
    best, other = nm.runs(by="auc").page.items
    assert best.run_id == run.run_id
    assert best.params == {"C": "1", "text": "naïve 🦆"}
    assert (best.status, other.metrics["auc"]) == ("FINISHED", 0.7)
    curve = connect().client.get_metric_history(run.run_id, "loss")
    assert [(m.step, m.value) for m in curve] == [(0, 1), (1, 1 / 2), (2, 1 / 3)]
    version = nm.register("credit", run="best:auc", alias="champion")
    assert version.metrics["auc"] == 0.9
    assert version.signature is not None
    nm.register("credit", run=other.run_id)
    page = versions.list_versions(connect(), "credit", limit=1)
    assert [v.version for v in page] == [2]
    assert page.next_page_token
    token = page.next_page_token
    page = versions.list_versions(connect(), "credit", limit=1, page_token=token)
    assert [(v.version, v.datasets[0].name) for v in page] == [(1, "train")]
    connect().client.create_registered_model("more", tags={"team": "risk"})
    page = list_models(connect(), limit=1)
    assert [(model.name, model.aliases) for model in page] == [
        ("credit", {"champion": 1})
    ]
    page = list_models(connect(), limit=1, page_token=page.next_page_token)
    assert [(model.name, model.tags) for model in page] == [("more", {"team": "risk"})]
    assert page.next_page_token is None
    assert not (project / ".nbmlops" / "mlflow.db").exists()
    assert capfd.readouterr().out == ""


@pytest.mark.server
def test_runs_are_compared_with_their_curves(tracked_in_postgres):
    ids = []
    for scale in (1, 2):
        with nm.track("it", params={"scale": scale}) as run:
            run.log_dataset(X * scale, name="X")
            for step, value in enumerate([3.0, 1.0, float("nan"), float("inf"), 2.0]):
                run.log(step=step, loss=value * scale, Loss=1.0)
        ids.append(run.run_id)
    found = nm.compare(*ids).comparison
    (metric,) = found.metrics
    first, second = [(h.last, h.best, h.best_step) for h in metric.histories]
    assert (first, second) == ((2.0, 1.0, 1), (4.0, 2.0, 1))
    points = [value for _, value in metric.histories[0].points]
    assert repr(points) == "[3.0, 1.0, nan, inf, 2.0]"
    assert found.equal_metrics == {"Loss": 1.0}
    assert [dataset.name for dataset in found.datasets] == ["X"]


@pytest.mark.server
def test_artifacts_stay_in_the_project_whatever_the_working_folder(
    tracked_in_postgres, monkeypatch
):
    (tracked_in_postgres / "deep").mkdir()
    monkeypatch.chdir(tracked_in_postgres / "deep")
    with nm.track("it") as run:
        run.log_bytes(b"here", "note.txt")
    (stored,) = (tracked_in_postgres / ".nbmlops" / "artifacts").rglob("note.txt")
    assert stored.read_bytes() == b"here"
    assert not (tracked_in_postgres / "deep" / "mlruns").exists()
    ignored = tracked_in_postgres / ".nbmlops" / ".gitignore"
    assert ignored.read_text(encoding="utf-8") == "*\n"
    assert read_file(connect(), run.run_id, "note.txt") == b"here"


@pytest.mark.server
def test_password_is_shown_nowhere(
    project, monkeypatch, postgres, postgres_uri, caplog
):
    caplog.set_level(logging.DEBUG)
    written = (postgres.password, quote(postgres.password, safe=""))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_uri)
    store, seen = connect(), []
    assert store.shown_uri == postgres_uri.replace(written[1], "[masked]")
    with nm.track("it") as run:
        run.log(auc=1.0)
    info = store.client.get_run(run.run_id)
    seen.append(repr((info.data.tags, info.data.params, nm.runs())))

    wrong = postgres_uri.replace(written[1], written[1] + "x")
    socket = f"postgresql://nbmlops@/none?host={postgres.folder}&password={written[1]}"
    refused = {"port": wrong, "socket": f"{socket}&port={postgres.port}"}
    for case, uri in refused.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        began = time.monotonic()
        with pytest.raises(StoreError, match="does not answer") as caught:
            nm.runs()
        assert time.monotonic() - began < 20, case  # MLflow retries for 100 s
        seen += [str(caught.value), *caught.value._render_traceback_()]
        done = subprocess.run(
            [sys.executable, "-m", "nbmlops.cli", "runs"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done
        assert "[masked]" in done.stderr
        seen += [done.stdout, done.stderr]
    everywhere = "\n".join([*seen, caplog.text])
    assert [secret for secret in written if secret in everywhere] == []


@pytest.mark.server
def test_older_schema_is_said_with_a_command_that_holds_no_password(
    project, monkeypatch, postgres, postgres_uri
):
    database = postgres_uri.rpartition("/")[2]
    older = "UPDATE alembic_version SET version_num = '1bd49d398cd23'"
    postgres.execute(older, database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_uri)
    with pytest.raises(StoreError, match="another MLflow version") as caught:
        nm.runs()
    assert 'mlflow db upgrade "$MLFLOW_TRACKING_URI"' in caught.value.fix
    assert quote(postgres.password, safe="") not in str(caught.value)


def test_missing_server_programs_name_the_package(monkeypatch):
    nowhere = SimpleNamespace(glob=lambda pattern: [])
    monkeypatch.setattr(postgres_programs, "Path", lambda path: nowhere)
    monkeypatch.setattr(postgres_programs.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="apt-get install postgresql"):
        postgres_programs.programs()
