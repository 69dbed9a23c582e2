"""Commands that look after a project: what is wrong, what is still to be sent."""

from __future__ import annotations

import click

from nbmlops.cli.output import json_option, show


@click.command()
@click.option(
    "--fix", is_flag=True, help="End the runs whose process is gone; send what is kept."
)
@json_option
def doctor(fix: bool, as_json: bool) -> int:
    """Show each setting and where it is from, and what is wrong."""
    from nbmlops import lifecycle

    found = lifecycle.doctor(fix=fix)
    show(found.diagnosis, as_json=as_json, text=found)
    return 0 if found.is_well else 1


@click.command()
@json_option
def sync(as_json: bool) -> int:
    """Send to the store what it did not take when it was logged."""
    from nbmlops.tracking.sync.sync import sync

    report = sync()
    show(report.runs, as_json=as_json, text=report)
    return 0 if report.is_complete else 1
