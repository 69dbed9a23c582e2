"""The server's thread that ends runs: what fails is tried less and less often."""

from itertools import pairwise
from pathlib import Path

from nbmlops.server import recovery


def test_runs_that_cannot_be_ended_are_tried_less_and_less_often(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    thread = recovery.Reaper(list)
    thread.stop()
    tried = []
    for second in range(0, 4 * 3600, 20):
        now[0] = second
        if thread._is_due(Path("project"), frozenset({"k1"})):
            tried.append(second)
    assert tried[:4] == [0, 20, 60, 140]
    assert len(tried) < 15
    assert max(b - a for a, b in pairwise(tried)) <= 3600
    assert thread._is_due(Path("project"), frozenset({"k1", "k2"}))
    assert not thread._is_due(Path("project"), frozenset())
