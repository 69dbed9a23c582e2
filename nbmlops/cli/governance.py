"""Commands that move aliases on purpose, and say who changed what."""

from __future__ import annotations

from typing import Any

import click

from nbmlops.cli.output import CommandOutput, command

_reason = click.option("--reason", default="", help="Why; it goes into the audit log.")


@command()
@click.argument("model")
@click.argument("version", type=int)
@click.option("--to", default="champion", show_default=True, help="The alias to move.")
@click.option(
    "--expected", type=int, help="Only if the alias names this version; 0 is none."
)
@_reason
def promote(**options: Any) -> CommandOutput:
    """Move an alias of MODEL to VERSION, unless somebody else has just moved it."""
    from nbmlops.lifecycle.promote import promote
    from nbmlops.render.tables import version_table

    version = promote(**options)
    return version, version_table(version, "promoted")


@command()
@click.argument("model")
@click.option("--alias", default="champion", show_default=True, help="The alias.")
@_reason
def rollback(model: str, **options: Any) -> CommandOutput:
    """Move an alias of MODEL back to the version that it named before."""
    from nbmlops.lifecycle.promote import rollback
    from nbmlops.render.tables import version_table

    version = rollback(model, **options)
    return version, version_table(version, "rolled back")


@command()
@click.argument("model")
@click.option("--alias", default="champion", show_default=True, help="The alias.")
@click.option("--at", metavar="TIME", help="A duration before now, or a time in UTC.")
def history(model: str, **options: Any) -> CommandOutput:
    """Show which versions an alias of MODEL named, and who moved it."""
    from nbmlops.lifecycle.history import history

    view = history(model, **options)
    return view.history, view


@command()
@click.argument("model")
@click.argument("version", type=int)
@click.option("--output", metavar="FILE", help="Write it: HTML if it ends so.")
def card(model: str, version: int, output: str | None) -> CommandOutput:
    """Show the model card of a VERSION of MODEL, or write it to a file."""
    from nbmlops.lifecycle.card import card

    made = card(model, version)
    if output is None:
        return {"markdown": made.markdown}, made
    path = str(made.save(output))
    return {"file": path}, path


@click.group()
def audit() -> None:
    """See who changed what, and check that the record is whole."""


@command(audit)
@click.argument("model", required=False)
@click.option(
    "-n", "limit", type=click.IntRange(1, 100_000), default=20, show_default=True
)
def show(model: str | None, limit: int) -> CommandOutput:
    """List the changes, of MODEL or of all, newest first."""
    from nbmlops.config import load_settings
    from nbmlops.governance.audit_log import AuditLog
    from nbmlops.render.audit import events_table

    page = AuditLog(load_settings()).page(model, limit=limit)
    return page, events_table(page.items, has_more=page.next_page_token is not None)


@command(audit)
@click.option("--head", metavar="HASH", help="A newest hash that you noted before.")
def verify(head: str | None) -> CommandOutput:
    """Look for lines that were changed, removed or moved; exit code 1 with one."""
    from nbmlops.config import load_settings
    from nbmlops.governance.audit_log import AuditLog
    from nbmlops.render.audit import AuditCheck

    report = AuditLog(load_settings()).verify(head)
    return report, AuditCheck(report), 1 if report.faults else 0
