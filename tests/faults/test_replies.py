"""A request that is served and whose reply is lost is not made a second time."""

import secrets

import pytest

from tests.chaos import chaos
from tests.faults import replies
from tests.faults.kills import sync_and_reap

N = 6
SHARE = 0.3


@pytest.fixture
def proxy(project, mlflow_server, monkeypatch):
    with chaos(mlflow_server.port, seed=20261120) as running:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", running.url)
        yield running


@pytest.mark.server
def test_lost_replies_make_no_twin_run_and_lose_nothing(proxy, project, mlflow_server):
    proxy.set("drop_reply", share=SHARE)
    ledger = replies.track_many(N, prefix=f"one {secrets.token_hex(4)}")
    assert proxy.n_spoilt > N / 2
    proxy.set("pass")
    sync_and_reap(project, proxy.url)
    assert ledger.compare(mlflow_server.url).faults == {}


@pytest.mark.server
def test_lost_replies_make_no_twin_version(proxy, mlflow_server):
    prefix = f"model-{secrets.token_hex(4)}"
    run_id = replies.make_model()
    proxy.set("drop_reply", share=SHARE)
    done = replies.register_many(N, run_id=run_id, prefix=prefix)
    assert proxy.n_spoilt > N / 2
    versions = replies.n_versions(mlflow_server.url, prefix)
    assert set(versions.values()) == {1}
    assert set(done) <= set(versions)
