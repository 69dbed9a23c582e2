"""What a logged metric costs: `run.log` against `mlflow.log_metric`, on four stores.

First what one call costs the loop that makes it; then how long it takes until a hundred
thousand are in the store, which a plain MLflow client counts; also against a bare loop
over `MlflowClient.log_batch`, the fastest way MLflow has. Last, what a call costs while
the server is gone. Ours and theirs take turns, each alone on the machine: our sender
has done its work before theirs starts. Ratios are of medians.

    python -m benchmarks.metrics [--stores sqlite,mlflow.db,postgresql,http,gone]
        [--rounds 3] [-n 100000]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
from mlflow.entities import Metric

import nbmlops as nm
from benchmarks.stores import STORES, prepare, project, tracked_in, versions
from tests.chaos import Chaos, chaos
from tests.servers import serving

SEED = 20261120
BATCH = 1000
N_THEIRS = 500
ARRIVAL_LIMIT_S = 600
PAUSE_S = 0.001


def timed(
    call: Callable[[float, int], object],
    values: list[float],
    *,
    first: int = 0,
    pause_s: float = 0,
) -> list[int]:
    """Return the nanoseconds of each call; with a pause, as a training loop has one."""
    taken, now = [], time.perf_counter_ns
    for step, value in enumerate(values, first):
        began = now()
        call(value, step)
        taken.append(now() - began)
        if pause_s:
            time.sleep(pause_s)
    return taken


def n_stored(uri: str, run_id: str) -> int:
    """Return how many values of the metric the store has, asked with plain MLflow."""
    history = mlflow.MlflowClient(tracking_uri=uri).get_metric_history(run_id, "loss")
    return len({(metric.step, metric.value) for metric in history})


def ours(uri: str, values: list[float]) -> tuple[list[int], float]:
    """Log with nbmlops; return nanoseconds a call, and seconds until all was stored."""
    began = time.perf_counter()
    with nm.track("ours", experiment="benchmark") as run:
        taken = timed(lambda value, step: run.log(loss=value, step=step), values)
    arrived = time.perf_counter() - began
    while (there := n_stored(uri, run.run_id)) < len(values):
        arrived = time.perf_counter() - began
        if arrived > ARRIVAL_LIMIT_S:
            raise TimeoutError(f"{there} of {len(values)} values have arrived")
        time.sleep(0.1)
    assert there == len(values)
    return taken, arrived


def theirs(uri: str, values: list[float]) -> list[int]:
    """Log one by one with MLflow; return nanoseconds a call."""
    with mlflow.start_run(run_name="theirs") as run:
        taken = timed(lambda x, step: mlflow.log_metric("loss", x, step=step), values)
    assert n_stored(uri, run.info.run_id) == len(values)
    return taken


def bare(uri: str, values: list[float]) -> float:
    """Log with nothing but batches; return seconds until all was stored."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    run_id = client.create_run("0", run_name="bare").info.run_id
    began = time.perf_counter()
    for start in range(0, len(values), BATCH):
        now = int(time.time() * 1000)
        batch = enumerate(values[start : start + BATCH], start)
        metrics = [Metric("loss", value, now, step) for step, value in batch]
        client.log_batch(run_id, metrics=metrics)
    taken = time.perf_counter() - began
    assert n_stored(uri, run_id) == len(values)
    return taken


def spread(taken: list[int]) -> str:
    """Return median, 99th percentile and maximum, in microseconds."""
    ordered = sorted(taken)
    p99 = ordered[int(len(ordered) * 0.99)]
    return (
        f"median {statistics.median(ordered) / 1e3:9.1f} us  p99 {p99 / 1e3:9.1f} us  "
        f"max {ordered[-1] / 1e3:11.1f} us"
    )


def compare(kind: str, uri: str, values: list[float], rounds: int) -> None:
    """Print what a call costs, and what an arrived value costs."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("benchmark")
    ours(uri, values[:100])  # MLflow's first use of a store is no part of it
    theirs(uri, values[:10])
    calls: dict[str, list[int]] = {"ours": [], "theirs": []}
    arrivals: dict[str, list[float]] = {"ours": [], "theirs": [], "bare": []}
    n = len(values)
    for _ in range(rounds):
        taken, arrived = ours(uri, values)
        calls["ours"] += taken
        arrivals["ours"].append(arrived / n)
        taken = theirs(uri, values[:N_THEIRS])
        calls["theirs"] += taken
        arrivals["theirs"].append(sum(taken) / 1e9 / len(taken))
        arrivals["bare"].append(bare(uri, values) / n)
    print(f"{kind}: one call, run.log             {spread(calls['ours'])}")
    print(f"{kind}: one call, mlflow.log_metric   {spread(calls['theirs'])}")
    ratio = statistics.median(calls["theirs"]) / statistics.median(calls["ours"])
    print(f"{kind}: one call, ratio               {ratio:.0f}x (wanted 500x)")
    each = {name: statistics.median(of) for name, of in arrivals.items()}
    for name, told in (
        ("ours", f"run.log, {n:,}"),
        ("theirs", f"mlflow.log_metric, {N_THEIRS}"),
        ("bare", f"log_batch, {n:,} by {BATCH:,}"),
    ):
        print(f"{kind}: until stored, {told:32} {each[name] * 1e6:9.1f} us a metric")
    to_theirs, to_bare = each["theirs"] / each["ours"], each["ours"] / each["bare"]
    print(f"{kind}: until stored, ratio to log_metric {to_theirs:.0f}x (wanted 30x)")
    print(f"{kind}: until stored, ratio to log_batch  {to_bare:.2f} (wanted 2)")


def server_gone(folder: Path, values: list[float]) -> None:
    """Print what calls cost while nobody answers, and what the end of the run costs."""
    (folder / "server").mkdir()
    with serving(folder / "server") as server:
        for mode in ("down", "hang"):
            with chaos(server.port) as proxy, project(folder / mode, proxy.url):
                silent_for(proxy, mode, values)


def silent_for(proxy: Chaos, mode: str, values: list[float]) -> None:
    """Log while the server does not answer, and end the run."""
    run = nm.track("gone", experiment="gone").__enter__()

    def call(value: float, step: int) -> None:
        run.log(loss=value, step=step)

    call(0.0, 0)
    proxy.set(mode)
    tight = timed(call, values, first=1)
    paced = timed(call, values[:5000], first=len(values) + 1, pause_s=PAUSE_S)
    began = time.perf_counter()
    run.close()
    ended = time.perf_counter() - began
    print(f"server {mode}: one call, {len(tight):,} in a row  {spread(tight)}")
    print(f"server {mode}: one call, {len(paced):,} by 1 ms   {spread(paced)}")
    print(f"server {mode}: end of the run {ended:.2f} s (wanted below 5)")


def main() -> None:
    """Measure on each store, and print a line a figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stores", default=",".join([*STORES, "gone"]))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-n", type=int, default=100_000)
    options = parser.parse_args()
    prepare()
    print(f"{versions()}; n={options.n}, rounds={options.rounds}, seed={SEED}")
    source = random.Random(SEED)  # noqa: S311
    values = [source.random() for _ in range(options.n)]
    for kind in options.stores.split(","):
        with tempfile.TemporaryDirectory() as folder:
            if kind == "gone":
                server_gone(Path(folder), values)
            else:
                with tracked_in(kind, Path(folder, "project")) as uri:
                    compare(kind, uri, values, options.rounds)


if __name__ == "__main__":
    main()
