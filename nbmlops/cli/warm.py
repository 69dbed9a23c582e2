"""Commands for the processes that notebooks are forked from."""

from __future__ import annotations

import click

from nbmlops.cli.output import json_option, show


@click.group()
def warm() -> None:
    """See and stop the processes that notebooks are forked from."""


@warm.command()
@json_option
def status(as_json: bool) -> None:
    """List them, with what they have imported."""
    from nbmlops.forkserver.registry import list_parents
    from nbmlops.render.formats import format_time
    from nbmlops.render.tables import Table

    parents = list_parents()
    rows = [
        (
            parent.pid,
            parent.state,
            format_time(parent.started_at),
            f"{parent.n_runs} ({parent.n_running} running)",
            ", ".join(parent.modules),
        )
        for parent in parents
    ]
    table = Table(
        ["process", "state", "started", "runs", "has imported"],
        rows,
        empty="No process is warm: the next nbmlops run starts one.",
    )
    show(parents, as_json=as_json, text=table)


@warm.command()
@json_option
def stop(as_json: bool) -> None:
    """Have them leave when what they run has ended."""
    from nbmlops.forkserver.registry import stop_parents

    parents = stop_parents()
    named = ", ".join(str(parent.pid) for parent in parents)
    text = f"told to exit: {named}" if parents else "No process is warm."
    show(parents, as_json=as_json, text=text)
