"""Commands that look after a project: doctor, sync, and the fork server."""

from __future__ import annotations

import click

from nbmlops.cli.output import CommandOutput, command


@command()
@click.option(
    "--fix", is_flag=True, help="End the runs of dead processes; send what is pending."
)
def doctor(fix: bool) -> CommandOutput:
    """Show each setting and where it is from, and what is wrong."""
    from nbmlops.lifecycle.doctor import doctor

    found = doctor(fix=fix)
    return found, found, 0 if found.is_well else 1


@command()
def sync() -> CommandOutput:
    """Send to the store what it could not take when it was logged."""
    from nbmlops.tracking.sync.sync import sync

    report = sync()
    return report.runs, report, 0 if report.is_complete else 1


@click.group()
def warm() -> None:
    """See and stop the processes that notebooks are forked from."""


@command(warm)
def status() -> CommandOutput:
    """List them, with what they have imported."""
    from nbmlops.forkserver.registry import list_servers
    from nbmlops.render.formats import format_time
    from nbmlops.render.tables import Table

    parents = list_servers()
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
    return parents, table


@command(warm)
def stop() -> CommandOutput:
    """Have them exit when their runs have ended."""
    from nbmlops.forkserver.registry import stop_servers

    parents = stop_servers()
    named = ", ".join(str(parent.pid) for parent in parents)
    text = f"asked to exit: {named}" if parents else "No process is warm."
    return parents, text
