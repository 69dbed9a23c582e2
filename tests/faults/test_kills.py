"""What was acknowledged survives kill -9 at any moment."""

import pytest

from nbmlops.store import embedded
from tests.chaos import chaos
from tests.faults.full_disk import in_namespace
from tests.faults.kills import N_VALUES, kill_loggers, sync_and_reap

SEED = 20261120
N = 8
MANY = 2 * N_VALUES  # those of the two whole lives alone would prove nothing


@pytest.mark.server
def test_killed_loggers_lose_nothing_in_the_own_store(project):
    ledger = kill_loggers(N, SEED, project=project)
    sync_and_reap(project)
    tally = ledger.compare(embedded.tracking_uri(project / ".nbmlops"))
    assert tally.acknowledged > MANY
    assert tally.faults == {}


@pytest.mark.slow
@pytest.mark.server
def test_killed_loggers_lose_nothing_on_a_server(project, mlflow_server):
    ledger = kill_loggers(N, SEED, project=project, uri=mlflow_server.url)
    sync_and_reap(project, mlflow_server.url)
    tally = ledger.compare(mlflow_server.url)
    assert tally.acknowledged > MANY
    assert tally.faults == {}


@pytest.mark.server
def test_killed_loggers_lose_nothing_while_the_server_is_down(project, mlflow_server):
    with chaos(mlflow_server.port) as proxy:
        proxy.set("down")
        ledger = kill_loggers(N, SEED, project=project, uri=proxy.url)
        proxy.set("pass")
        sync_and_reap(project, proxy.url)
    tally = ledger.compare(mlflow_server.url)
    assert tally.acknowledged > MANY
    assert tally.faults == {}


@pytest.mark.server
@pytest.mark.slow
def test_killed_loggers_lose_nothing_on_a_full_disk():
    tally = in_namespace(N, SEED)
    assert tally.acknowledged > MANY
    assert tally.faults == {}
