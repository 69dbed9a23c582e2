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
