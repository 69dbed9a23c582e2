"""A server that dies and comes back leaves no trace in a run."""

import pytest

from tests.faults.outages import outages


@pytest.mark.server
def test_outages_lose_nothing_and_hold_nobody_up(project, mlflow_server):
    loop, delays = outages(2, project=project, server=mlflow_server, gap_s=1)
    assert loop.ledger.compare(mlflow_server.url).faults == {}
    assert loop.reported["longest_s"] < 1
    assert max(delays) < 20
