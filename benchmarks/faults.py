"""The faults of the tests, as often as a figure needs, each beside bare MLflow.

``kills``: kill -9 at a random moment of a run, on SQLite, on a server, on a server that
is down, on a full disk; then `nbmlops sync` and `nbmlops doctor --fix` from outside.
``outages``: a server that is killed and started again under a loop. ``replies``: the
request is served and its reply lost. A count of 0 in n trials means below 3/n at 95 %.

``damage``: journals of killed runs whose files are damaged at random places, then sent.

    python -m benchmarks.faults kills|outages|replies|damage [-n N] [--seed S]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stores import prepare, project, versions
from nbmlops.store import connect, embedded
from tests.chaos import chaos
from tests.faults import damage, full_disk, kills, outages, replies
from tests.faults.broken import break_if_asked
from tests.faults.ledger import Ledger, Tally
from tests.servers import MlflowServer, serving

BATCH = 125
N_CONTROL = 20
SHARE = 0.3
GAP_S = 5.0


@contextmanager
def new_project() -> Iterator[Path]:
    """Work in a new, empty project."""
    with tempfile.TemporaryDirectory() as folder, project(Path(folder, "project")):
        yield Path.cwd()


def say(what: str, tally: Tally, n: int, began: float) -> None:
    """Print a line of what came of ``n`` trials."""
    print(
        f"{what}: n={n}, {tally.runs} runs open, {tally.acknowledged:,} acknowledged, "
        f"{tally.refused} refused, {tally.lost} lost, {tally.twice} twice, "
        f"{tally.unexplained} unexplained, {tally.missing} runs missing, "
        f"{tally.twins} twins, {tally.running} running "
        f"(0 of {n}: below {3 / n:.1%} at 95 %; {time.monotonic() - began:.0f} s)",
        flush=True,
    )


def kill_in_batches(mode: str, n: int, seed: int, server: MlflowServer) -> Tally:
    """Kill loggers in one mode, in new projects of a batch each."""
    total = Tally()
    for start in range(0, n, BATCH):
        size, at = min(BATCH, n - start), seed + start
        if mode == "disk full":
            total += full_disk.in_namespace(size, at)
            continue
        with new_project() as folder, chaos(server.port, seed=at) as proxy:
            if mode == "sqlite":
                embedded.ensure(folder / ".nbmlops")
                uri, read = None, embedded.tracking_uri(folder / ".nbmlops")
            else:
                uri = read = proxy.url
                proxy.set("down" if mode == "server down" else "pass")
            ledger = kills.kill_loggers(size, at, project=folder, uri=uri)
            proxy.set("pass")
            kills.sync_and_reap(folder, uri)
            total += ledger.compare(read)
    return total


def all_kills(n: int, seed: int, folder: Path) -> None:
    """Kill ``n`` loggers in all, the same number in each mode, and MLflow's."""
    modes = ("sqlite", "server", "server down", "disk full")
    with serving(folder) as server:
        for mode in modes:
            began, each = time.monotonic(), max(n // len(modes), 1)
            tally = kill_in_batches(mode, each, seed, server)
            say(f"kill -9, {mode}", tally, each, began)
    for logger in ("mlflow", "mlflow async"):
        began, each = time.monotonic(), min(n, N_CONTROL)
        with new_project() as here:
            embedded.ensure(here / ".nbmlops")
            ledger = kills.kill_loggers(each, seed, project=here, logger=logger)
            tally = ledger.compare(embedded.tracking_uri(here / ".nbmlops"))
        say(f"kill -9, control {logger}, sqlite", tally, each, began)


def all_outages(n: int, folder: Path) -> None:
    """Let a server die ``n`` times under a loop."""
    with serving(folder) as server, new_project() as here:
        began = time.monotonic()
        loop, delays = outages.outages(n, project=here, server=server, gap_s=GAP_S)
        say("outages", loop.ledger.compare(server.url), n, began)
    print(
        f"outages: longest call {loop.told['longest_s'] * 1e3:.1f} ms, end of the run "
        f"{loop.told['end_s']:.2f} s, caught up {max(delays):.1f} s after the server "
        f"answered at the longest"
    )


def all_replies(n: int, seed: int, folder: Path) -> None:
    """Lose replies of ``n`` operations, and of bare MLflow's."""
    n_runs, n_models = n // replies.OPERATIONS_A_RUN, max(n // 20, 1)
    with serving(folder) as server, chaos(server.port, seed=seed) as proxy:
        with new_project() as here:
            os.environ["MLFLOW_TRACKING_URI"] = proxy.url
            break_if_asked()
            began = time.monotonic()
            proxy.set("drop_reply", share=SHARE)
            ledger: Ledger = replies.track_many(n_runs, prefix="ours")
            lost = f"{proxy.n_spoilt} of {proxy.n_replies} replies lost"
            proxy.set("pass")
            kills.sync_and_reap(here, proxy.url)
            say(f"replies ({lost})", ledger.compare(server.url), n, began)

            run_id = replies.make_model()
            proxy.set("drop_reply", share=SHARE)
            done = replies.register_many(n_models, run_id=run_id, prefix="ours")
            made = replies.n_versions(server.url, "ours")
            twins = sum(made.values()) - len(made)
            print(
                f"replies: {n_models} models registered, {len(done)} told so, "
                f"{len(set(done) - set(made))} of these missing, {twins} twin versions"
            )
        proxy.set("drop_reply", share=SHARE)
        n_control = min(n, N_CONTROL)
        names = replies.bare_runs(n_control, proxy.url, prefix="bare")
        found = replies.n_runs(server.url, "bare")
        print(
            f"replies, control: {n_control} x MlflowClient.create_run, {len(names)} "
            f"told so, {sum(found.values())} runs made"
        )


def all_damage(n: int, seed: int) -> None:
    """Damage ``n`` journals, in new projects of a batch each, and have them sent."""
    began, total = time.monotonic(), damage.Tally()
    for start in range(0, n, BATCH):
        with new_project() as here:
            embedded.ensure(here / ".nbmlops")
            size = min(BATCH, n - start)
            total += damage.damage_journals(connect(), size, seed + start)
    print(
        f"damage: {total.journals} journals, {total.good:,} records good, "
        f"{total.damaged:,} damaged: {total.crashes} crashes, {total.wrong} wrong "
        f"values, {total.lost} good records lost, {total.unnamed} journals unnamed, "
        f"{total.running} runs running, {total.unknown} journals unknown "
        f"(0 of {n}: below {3 / n:.1%} at 95 %; {time.monotonic() - began:.0f} s)"
    )


def main() -> None:
    """Do one kind of fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("fault", choices=("kills", "outages", "replies", "damage"))
    parser.add_argument("-n", type=int)
    parser.add_argument("--seed", type=int, default=20261120)
    options = parser.parse_args()
    usual = {"kills": 1000, "outages": 20, "replies": 2000, "damage": 1000}
    n = options.n or usual[options.fault]
    prepare()
    print(f"{versions()}; n={n}, seed={options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.fault == "kills":
            all_kills(n, options.seed, folder)
        elif options.fault == "outages":
            all_outages(n, folder)
        elif options.fault == "damage":
            all_damage(n, options.seed)
        else:
            all_replies(n, options.seed, folder)


if __name__ == "__main__":
    main()
