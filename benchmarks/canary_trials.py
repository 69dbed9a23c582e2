"""Canaries under load: bad ones are rolled back by a rule, good ones never.

Each trial begins a canary of one kind on an endpoint that clients ask all the time: one
that raises for some rows, a slow one, one whose answers are shifted, and a good one,
the same model fitted again. All rules hold for all kinds. Printed is how many were
rolled back, by which rule, and after how many answers.

    python benchmarks/canary_trials.py [--trials 30]
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.serving import register
from nbmlops.config import Settings
from nbmlops.deployment import actions, control, endpoints, records
from nbmlops.entities import Endpoint, ModelVersion
from nbmlops.store import Store, connect

CITIES = ["Basel", "Bern", "Chur"]
RULES = {"error_share": 0.02, "latency_ms_p99": 40, "prediction_shift": 0.1}
REASONS = {
    "raising": "error_share",
    "slow": "latency_ms_p99",
    "shifted": "prediction_shift",
    "good": "",
}
N_KEPT = 1000
"""How many answers a canary gives before it counts as kept."""
MOST_S = 60.0


@dataclass
class Trials:
    """What became of the canaries of one kind."""

    reasons: Counter[str] = field(default_factory=Counter)
    n_answers: list[int] = field(default_factory=list)


def people(n: int, seed: int) -> pd.DataFrame:
    """Return rows such as clients send."""
    rng = np.random.default_rng(seed)
    ages = rng.integers(20, 60, n).astype(float)
    return pd.DataFrame({"city": rng.choice(CITIES, n), "age": ages})


def versions(store: Store) -> dict[str, ModelVersion]:
    """Return a champion, and a canary of each kind."""
    rows = people(600, seed=0)

    def fit(frame, classifier, *, oldest=40, unknown="ignore"):  # noqa: ANN001, ANN202
        columns = make_column_transformer(
            (StandardScaler(), ["age"]),
            (OneHotEncoder(handle_unknown=unknown), ["city"]),
        )
        target = np.where(frame.age > oldest, "old", "young")
        return make_pipeline(columns, classifier).fit(frame, target)

    known = rows[rows.city != "Chur"]  # its example has no row that it fails on
    linear, forest = LogisticRegression(), RandomForestClassifier(2000, max_depth=2)
    found = {
        "champion": (fit(rows, linear), rows),
        "raising": (fit(known, LogisticRegression(), unknown="error"), known),
        "slow": (fit(rows, forest), rows),
        "shifted": (fit(rows, LogisticRegression(), oldest=25), rows),
        "good": (
            fit(rows.sample(frac=0.8, random_state=1), LogisticRegression()),
            rows,
        ),
    }
    return {
        kind: register(store, "visitors", model, frame.head(5))
        for kind, (model, frame) in found.items()
    }


class Clients:
    """Ask an endpoint all the time, each over its own connection."""

    def __init__(self, store: Store, endpoint: Endpoint) -> None:
        self.answers: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self._endpoint = endpoint
        self._token = records.read_token(store.settings, endpoint.name)
        self._is_over = threading.Event()

    @contextmanager
    def asking(self, n_clients: int = 4) -> Iterator[None]:
        """Ask for as long as the block takes."""
        threads = [
            threading.Thread(target=self._ask, args=(seed,))
            for seed in range(n_clients)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def _ask(self, seed: int) -> None:
        headers = {"content-type": "application/json"}
        headers["authorization"] = f"Bearer {self._token}"
        path = f"/endpoints/{self._endpoint.name}/invocations"
        connection = http.client.HTTPConnection("127.0.0.1", self._endpoint.port, 60)
        rows = people(5000, seed + 1).to_dict("records")
        for row in itertools.cycle(rows):
            if self._is_over.is_set():
                return
            body = json.dumps({"dataframe_records": [row]})
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            self.statuses[answer.status] += 1
            self.answers[answer.headers["x-model-version"]] += 1


def try_canary(
    store: Store, version: ModelVersion, clients: Clients
) -> tuple[str, int]:
    """Return the rule that ended a canary, "" for none, and how many it answered."""
    named = f"{version.model}/{version.version}"
    before, until = clients.answers[named], time.monotonic() + MOST_S
    rules = {**RULES, "min_requests": 50}
    actions.begin_canary(store, version, name="visitors", share=0.5, rules=rules)
    while True:
        time.sleep(0.05)
        found = endpoints.get_endpoint(store.settings, "visitors")
        n_answers = clients.answers[named] - before
        if found.canary_version is None:
            head = f"{named} was rolled back: "
            if not found.message.startswith(head):
                raise SystemExit(f"it ended otherwise: {found.message!r}")
            return found.message.removeprefix(head).split()[0], n_answers
        if n_answers >= N_KEPT or time.monotonic() > until:
            actions.abort(store.settings, "visitors")
            return "", n_answers


def run(store: Store, n_trials: int) -> dict[str, Trials]:
    """Try canaries of each kind in turn, as many times as asked."""
    registered = versions(store)
    endpoint, _ = actions.deploy(store, registered["champion"], name="visitors")
    clients = Clients(store, endpoint)
    found = {kind: Trials() for kind in REASONS}
    with clients.asking():
        for _ in range(n_trials):
            for kind, trials in found.items():
                reason, n_answers = try_canary(store, registered[kind], clients)
                trials.reasons[reason] += 1
                trials.n_answers.append(n_answers)
    if set(clients.statuses) != {200}:
        raise SystemExit(f"clients got {dict(clients.statuses)}")
    return found


def main() -> None:
    """Print a line for each kind of canary."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = connect(Settings(project=Path(folder)))
        begun = time.monotonic()
        try:
            found = run(store, options.trials)
        finally:
            control.request(records.root(store.settings), {"type": "stop"})
        seconds = time.monotonic() - begun
    print("canary    trials  rolled back by               answers, median and most")
    for kind, trials in found.items():
        reasons = ", ".join(f"{k or 'kept'} {n}" for k, n in trials.reasons.items())
        middle, most = statistics.median(trials.n_answers), max(trials.n_answers)
        print(f"{kind:8s}{options.trials:8d}  {reasons:30s}{middle:8.0f}{most:8d}")
    print(f"{seconds:.0f} s, load of the machine {os.getloadavg()[0]:.1f}")
    is_right = all(set(found[kind].reasons) == {REASONS[kind]} for kind in REASONS)
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
