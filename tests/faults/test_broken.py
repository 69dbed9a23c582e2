"""A build that loses values, or sends them twice, does not pass the fault tests."""

import pytest

from nbmlops.store import embedded
from tests.chaos import chaos
from tests.faults.broken import VARIABLE
from tests.faults.kills import kill_loggers, sync_and_reap


@pytest.mark.server
@pytest.mark.slow
def test_values_kept_in_memory_alone_are_found_to_be_lost(
    project, mlflow_server, monkeypatch
):
    monkeypatch.setenv(VARIABLE, "memory")
    with chaos(mlflow_server.port) as proxy:
        proxy.set("down")
        ledger = kill_loggers(2, 7, project=project, uri=proxy.url)
        proxy.set("pass")
        sync_and_reap(project, proxy.url)
    tally = ledger.compare(mlflow_server.url)
    assert tally.lost == tally.acknowledged > 0


@pytest.mark.server
def test_values_sent_twice_are_found_to_be_there_twice(project, monkeypatch):
    monkeypatch.setenv(VARIABLE, "double")
    ledger = kill_loggers(0, 7, project=project)
    tally = ledger.compare(embedded.tracking_uri(project / ".nbmlops"))
    assert tally.faults == {"twice": tally.acknowledged}
