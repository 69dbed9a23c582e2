"""Commands that serve model versions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from nbmlops.cli.output import json_option, print_progress, show


@click.command()
@click.argument("target", metavar="MODEL[@ALIAS|/VERSION]")
@click.option("--name", help="The endpoint's name; the model's by default.")
@click.option("--alias", help="Moves to the version when the endpoint has answered.")
@click.option("--port", type=int, help="TCP port on loopback; a free one by default.")
@click.option("--no-auth", is_flag=True, help="Answer without a token.")
@click.option("--trust", is_flag=True, help="Run the code that the model brings.")
@json_option
def deploy(target: str, as_json: bool, **options: Any) -> None:
    """Serve a model version on this machine."""
    from nbmlops.lifecycle.deploy import deploy
    from nbmlops.render.tables import endpoints_table

    print_progress(f"deploying {target}")
    handle = deploy(target, **options)
    show(handle.endpoint, as_json=as_json, text=endpoints_table([handle.endpoint]))


@click.command()
@json_option
def endpoints(as_json: bool) -> None:
    """List the endpoints, dead ones included."""
    from nbmlops.lifecycle.deploy import endpoints
    from nbmlops.render.tables import endpoints_table

    found = endpoints()
    show(found, as_json=as_json, text=endpoints_table(found))


@click.command()
@click.argument("endpoint")
@click.argument("file", default="-")
@json_option
def predict(endpoint: str, file: str, as_json: bool) -> None:
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
    show({"predictions": predictions}, as_json=as_json, text=text)


@click.command()
@click.argument("endpoint")
@json_option
def undeploy(endpoint: str, as_json: bool) -> None:
    """Stop an endpoint and remove all it left."""
    from nbmlops.lifecycle.deploy import undeploy

    undeploy(endpoint)
    show({"undeployed": endpoint}, as_json=as_json, text=f"{endpoint} is gone")
