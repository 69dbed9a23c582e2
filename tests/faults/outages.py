"""A tracking server that dies and comes back under a logging loop."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import mlflow

from tests.faults.kills import ROOT
from tests.faults.ledger import METRIC, Ledger


@dataclass
class Loop:
    """A script that logs all the time, and what it has said so far."""

    name: str
    process: subprocess.Popen
    ledger: Ledger = field(default_factory=Ledger)
    reported: dict = field(default_factory=dict)

    @property
    def last(self):
        """Return the newest acknowledged step."""
        entry = self.ledger.entries.get(self.name)
        return max(entry.acknowledged, default=-1) if entry else -1

    def listen(self):
        """Take down its lines until it ends."""
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "done":
                self.reported = json.loads(rest)
            else:
                self.ledger.note(self.name, word, rest or None)

    def wait_until(self, step, limit_s=60):
        """Wait until a step is acknowledged."""
        deadline = time.monotonic() + limit_s
        while self.last < step:
            assert self.process.poll() is None, "the loop has ended"
            assert time.monotonic() < deadline, "the loop stands still"
            time.sleep(0.02)


@contextmanager
def logging_loop(project, uri, name="steady"):
    """Give a logging loop in a process of its own; leaving the block ends its run."""
    with (
        (project / "loop.log").open("ab") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.steady", name],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        loop = Loop(name, process)
        listener = threading.Thread(target=loop.listen)
        listener.start()
        loop.wait_until(20)
        try:
            yield loop
        finally:
            process.stdin.close()
            listener.join(120)
        assert process.wait(60) == 0, (project / "loop.log").read_text()


def outages(n, *, project, server, gap_s):
    """Kill a server ``n`` times under a loop, and return the loop and the delays.

    Each delay is how many seconds after the server was back it had all that was
    acknowledged before.
    """
    delays = []
    with logging_loop(project, server.url) as loop:
        for _ in range(n):
            server.kill()
            before = loop.last
            time.sleep(gap_s)
            server.start()
            delays.append(_caught_up(server.url, loop.name, loop.last))
            assert loop.last > before, "nothing was logged in the outage"
    return loop, delays


def _caught_up(uri, name, step, limit_s=60):
    """Return the seconds until the store has the step."""
    client, began = mlflow.MlflowClient(tracking_uri=uri), time.monotonic()
    experiment = client.get_experiment_by_name("faults").experiment_id
    (run,) = client.search_runs([experiment], f"attributes.run_name = '{name}'")
    while True:
        history = client.get_metric_history(run.info.run_id, METRIC)
        waited_s = time.monotonic() - began
        if max((metric.step for metric in history), default=-1) >= step:
            return waited_s
        assert waited_s < limit_s, "the store did not catch up"
        time.sleep(0.1)
