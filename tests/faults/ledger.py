"""What loggers were reported is safe, and what of it the store has.

A value is acknowledged when the call that logged it has returned. Of the acknowledged
ones none may be missing, none may be there twice, and nothing may be there that nobody
logged: a logger goes from step to step, so it has tried those it reported, and at most
one more.
"""

import zlib
from collections import Counter
from dataclasses import asdict, dataclass, field, fields

import mlflow

METRIC = "loss"


def value_of(name, step):
    """Return the value a run logs at a step, unlike that of any other."""
    return zlib.crc32(f"{name} {step}".encode()) / 2**32


@dataclass(kw_only=True)
class Tally:
    """What came of a number of runs; the sums add up with ``+``.

    Attributes
    ----------
    runs : int
        Runs that reported they were open.
    acknowledged, refused : int
        Values whose call returned, and whose call raised.
    lost : int
        Acknowledged values that the store does not have.
    twice : int
        Values that it has more than once.
    unexplained : int
        Values in it that were not logged, or not with this number.
    missing : int
        Runs with acknowledged values that the store does not have at all.
    twins : int
        Runs that it has beside the one that was opened.
    running : int
        Runs that it still takes for running.
    """

    runs: int = 0
    acknowledged: int = 0
    refused: int = 0
    lost: int = 0
    twice: int = 0
    unexplained: int = 0
    missing: int = 0
    twins: int = 0
    running: int = 0

    def __add__(self, other):
        names = [field.name for field in fields(self)]
        return Tally(**{n: getattr(self, n) + getattr(other, n) for n in names})

    @property
    def faults(self):
        """Return what must not be, by name; empty when all went well."""
        fine = ("runs", "acknowledged", "refused")
        return {k: v for k, v in asdict(self).items() if v and k not in fine}


@dataclass
class Entry:
    """What one logger said of its run."""

    is_open: bool = False
    acknowledged: set = field(default_factory=set)
    refused: set = field(default_factory=set)


class Ledger:
    """What all loggers said, by the names of their runs."""

    def __init__(self):
        self.entries = {}

    def note(self, name, word, step=None):
        """Take down a line of a logger: ``open``, ``ack STEP`` or ``no STEP``."""
        entry = self.entries.setdefault(name, Entry())
        if word == "open":
            entry.is_open = True
        elif word == "ack":
            entry.acknowledged.add(int(step))
        elif word == "no":
            entry.refused.add(int(step))
        else:
            raise ValueError(word)

    def compare(self, uri):
        """Return the tally of this ledger against a store, read with plain MLflow."""
        client = mlflow.MlflowClient(tracking_uri=uri)
        stored = {}
        for run in _all_runs(client):
            stored.setdefault(run.info.run_name, []).append(run)
        total = Tally()
        for name, entry in self.entries.items():
            total += _tally(client, name, entry, stored.get(name, []))
        return total


def _all_runs(client):
    ids, token = [e.experiment_id for e in client.search_experiments()], None
    while True:
        page = client.search_runs(ids, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _tally(client, name, entry, runs):
    tally = Tally(
        runs=entry.is_open,
        acknowledged=len(entry.acknowledged),
        refused=len(entry.refused),
        missing=not runs and bool(entry.acknowledged),
        twins=max(len(runs) - 1, 0),
        running=sum(run.info.status == "RUNNING" for run in runs),
    )
    steps = Counter()
    tried = entry.acknowledged | entry.refused
    tried.add(max(tried, default=-1) + 1)  # killed before it could tell
    for run in runs:
        for metric in client.get_metric_history(run.info.run_id, METRIC):
            steps[metric.step] += 1
            is_right = abs(metric.value - value_of(name, metric.step)) < 1e-12
            tally.unexplained += not is_right or metric.step not in tried
    tally.lost = len(entry.acknowledged - steps.keys())
    tally.twice = sum(count - 1 for count in steps.values())
    return tally
