"""Commands that register model versions and serve them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from nbmlops.cli.output import CommandOutput, command, experiment_option, print_progress


@command()
@click.argument("model")
@click.option(
    "--run",
    default="latest",
    show_default=True,
    metavar="RUN",
    help="A run id, its first characters, latest or best:METRIC[:min|max].",
)
@click.option("--alias", help="Alias to set on the version, such as champion.")
@experiment_option
def register(model: str, **options: Any) -> CommandOutput:
    """Register the model of a run as a version of MODEL."""
    from nbmlops.lifecycle.register import register
    from nbmlops.render.tables import version_table

    version = register(model, **options)
    return version, version_table(version)


@command()
@click.argument("target", metavar="MODEL[@ALIAS|/VERSION]")
@click.option("--name", help="The endpoint's name; the model's by default.")
@click.option("--alias", help="Moves to the version when the endpoint has answered.")
@click.option("--port", type=int, help="TCP port on loopback; a free one by default.")
@click.option("--no-auth", is_flag=True, help="Answer without a token.")
@click.option("--trust", is_flag=True, help="Run the code that the model brings.")
def deploy(target: str, **options: Any) -> CommandOutput:
    """Serve a model version on this machine."""
    from nbmlops.lifecycle.deploy import deploy
    from nbmlops.render.tables import endpoints_table

    print_progress(f"deploying {target}")
    handle = deploy(target, **options)
    return handle.endpoint, endpoints_table([handle.endpoint])


@command()
def endpoints() -> CommandOutput:
    """List the endpoints, dead ones included."""
    from nbmlops.lifecycle.deploy import endpoints
    from nbmlops.render.tables import endpoints_table

    found = endpoints()
    return found, endpoints_table(found)


@command()
@click.argument("endpoint")
@click.argument("file", default="-")
def predict(endpoint: str, file: str) -> CommandOutput:
    """Send FILE (.csv, or JSON in MLflow's scoring protocol; - is stdin)."""
    from nbmlops.errors import NotFoundError
    from nbmlops.lifecycle.deploy import endpoint as get_endpoint

    handle = get_endpoint(endpoint)
    if file == "-":
        payload = sys.stdin.buffer.read()
        is_csv = not payload.lstrip().startswith(b"{")
    else:
        if not Path(file).is_file():
            raise NotFoundError(f"No file {file!r}.", fix="Check the path.")
        payload, is_csv = Path(file).read_bytes(), file.endswith(".csv")
    predictions = handle.send(payload, "text/csv" if is_csv else "application/json")
    text = "\n".join(map(str, predictions))
    return {"predictions": predictions}, text


@command()
@click.argument("endpoint")
def undeploy(endpoint: str) -> CommandOutput:
    """Stop an endpoint and remove all it left."""
    from nbmlops.lifecycle.deploy import undeploy

    undeploy(endpoint)
    return {"undeployed": endpoint}, f"{endpoint} is gone"


@command()
@click.argument("target", metavar="MODEL/VERSION")
@click.option("--endpoint", required=True, help="Whose logged requests to take.")
@click.option(
    "--since", default="7d", show_default=True, help="A duration before now, or a time."
)
@click.option("--until", help="The same; now by default.")
@click.option(
    "--max-rows",
    type=int,
    default=100_000,
    show_default=True,
    help="The newest rows, if there are more.",
)
@click.option("--trust", is_flag=True, help="Run the code that the model brings.")
def rehearse(target: str, **options: Any) -> CommandOutput:
    """Compare a model version with the answers that an endpoint has given."""
    from nbmlops.lifecycle.rehearse import rehearse

    print_progress(f"rehearsing {target} on the requests of {options['endpoint']}")
    view = rehearse(target, **options)
    return view.rehearsal, view
