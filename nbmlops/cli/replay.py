"""Commands that run runs again: to see that they hold, and why they differ."""

from __future__ import annotations

from typing import Any

import click

from nbmlops.cli.output import json_option, print_progress, show

_EXPERIMENT = click.option("-e", "--experiment", help="Where latest and best: look.")
_TIMEOUT = click.option(
    "--timeout", "timeout_s", type=float, help="Seconds each replay may take."
)


@click.command()
@click.argument("run", default="latest")
@click.option(
    "--in-env", is_flag=True, help="In a virtual environment of the run's packages."
)
@click.option(
    "--tolerance",
    type=float,
    default=0.0,
    show_default=True,
    help="How far apart metrics may be.",
)
@_TIMEOUT
@_EXPERIMENT
@json_option
def replay(run: str, as_json: bool, **options: Any) -> int:
    """Run RUN again in a clean kernel and compare; exit code 1 when it differs."""
    from nbmlops.lifecycle.replay import replay
    from nbmlops.render.tables import replay_table

    print_progress(f"replaying {run}")
    result = replay(run, **options)
    show(result, as_json=as_json, text=replay_table(result))
    return int(result.verdict == "different")


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--metric", help="By default the only one that differs.")
@_TIMEOUT
@_EXPERIMENT
@json_option
def explain(a: str, b: str, as_json: bool, **options: Any) -> None:
    """Say which factor changed a metric between the runs A and B."""
    from nbmlops.lifecycle.explain import explain
    from nbmlops.render.tables import explanation_table

    print_progress(f"replaying {a} with what differs in {b}, one factor at a time")
    why = explain(a, b, **options)
    show(why, as_json=as_json, text=explanation_table(why))
