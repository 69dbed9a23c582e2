"""Commands that register model versions and serve them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from nbmlops.cli.output import CommandOutput, command, experiment_option, print_progress
from nbmlops.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from nbmlops.deployment.request_log_view import RequestLogView


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
@click.argument("model", metavar="MODEL[@ALIAS|/VERSION]")
@click.option("--name", help="The endpoint's name; the model's by default.")
@click.option("--alias", help="Moves to the version when the endpoint has answered.")
@click.option("--port", type=int, help="TCP port on loopback; a free one by default.")
@click.option("--no-auth", is_flag=True, help="Answer without a token.")
@click.option("--trust", is_flag=True, help="Run the code that the model brings.")
@click.option("--workers", type=int, help="Processes that share the port; 1.")
@click.option("--env", is_flag=True, help="Use the packages of the model's log.")
@click.option("--target", metavar="local|ray", help="Where it runs; local.")
@click.option("--canary", metavar="SHARE", help="Answer this share only, such as 10%.")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="NAME=VALUE",
    help="What ends the canary by itself: error_share, latency_ms_p99, "
    "prediction_shift, min_requests.",
)
@click.option("--shadow", is_flag=True, help="Get copies of requests, answer nobody.")
@click.option(
    "--export",
    type=(click.Choice(["docker", "kserve"]), str),
    metavar="docker|kserve DIR",
    help="Write a folder to build an image from, and serve nothing.",
)
@click.option("--image", help="The image that KServe runs; NAME:VERSION by default.")
def deploy(
    model: str,
    rules: tuple[str, ...],
    export: tuple[str, str] | None,
    image: str | None,
    **options: Any,
) -> CommandOutput:
    """Serve a model version, or export it."""
    from nbmlops.lifecycle.deploy import deploy, read_rule
    from nbmlops.render.endpoints import endpoints_table

    if export is not None:
        return _export(model, *export, image, rules=rules, **options)
    if image is not None:
        raise UsageError("--image is for --export kserve.", fix="Leave out --image.")
    print_progress(f"deploying {model}")
    if rules:
        options["rules"] = dict(map(read_rule, rules))
    handle = deploy(model, **options)
    return handle.endpoint, endpoints_table([handle.endpoint])


def _export(
    model: str,
    to: str,
    folder: str,
    image: str | None,
    **options: Any,
) -> CommandOutput:
    from nbmlops.lifecycle.export import export_endpoint

    for name in ("alias", "port", "shadow", "rules", "workers", "env", "target"):
        if options.pop(name):
            raise UsageError(
                f"An export takes no --{name.removesuffix('s')}.", fix="Leave it out."
            )
    kind = cast(Literal["docker", "kserve"], to)
    path = export_endpoint(model, folder, to=kind, image=image, **options)
    names = sorted(each.name for each in path.iterdir())
    found = {"folder": str(path), "files": names}
    return found, f"Build it: docker build {shlex.quote(str(path))}"


@command()
@click.argument("action", default="list", metavar="[ACTION]")
@click.argument("name", required=False)
@click.option(
    "--since", help="For log: a duration before now, or a time; 1h by default."
)
@click.option("--output", metavar="FILE", help="For systemd: write it to a file.")
def endpoints(action: str, name: str | None, **options: Any) -> CommandOutput:
    r"""List the endpoints, or do something to one.

    ACTION is one of

    \b
    up                 start what was served before a reboot
    systemd            write a user unit that does so at boot
    promote NAME       make the canary the champion
    abort NAME         end the canary
    rollback NAME      end the canary, or serve the version before
    log NAME           show the requests that it has answered
    rotate-token NAME  ask for a new token from now on
    """
    from nbmlops.lifecycle import deploy
    from nbmlops.render.endpoints import endpoints_table

    known = (
        *("list", "up", "systemd", "promote", "abort", "rollback", "log"),
        "rotate-token",
    )
    if action not in known:
        raise UsageError(
            f"Unknown action {action!r}.{did_you_mean(action, known)}",
            fix=f"Use one of: {', '.join(known)}.",
        )
    for option, value in options.items():
        if value is not None and action != _ACTION_OF[option]:
            raise UsageError(
                f"{action} takes no --{option}.", fix=f"Leave out --{option}."
            )
    if action == "systemd":
        return _systemd(options["output"])
    if action in ("list", "up"):
        found = deploy.endpoints() if action == "list" else deploy.endpoints_up()
        return found, endpoints_table(found)
    if name is None:
        raise UsageError(
            f"{action} needs the name of an endpoint.",
            fix=f"nbmlops endpoints {action} NAME",
        )
    handle = deploy.endpoint(name)
    if action == "log":
        return _log(handle.log(since=options["since"] or "1h"))
    if action == "rotate-token":
        token = handle.rotate_token()
        return {"token": token}, token
    endpoint = getattr(handle, action)()
    return endpoint, endpoints_table([endpoint])


_ACTION_OF = {"since": "log", "output": "systemd"}


def _systemd(output: str | None) -> CommandOutput:
    from nbmlops.config import load_settings
    from nbmlops.deployment.systemd import endpoints_unit
    from nbmlops.store.embedded import writing

    unit = endpoints_unit(load_settings().project)
    if output is None:
        return {"unit": unit}, unit.rstrip("\n")
    path = Path(output).absolute()
    with writing(path):
        path.write_text(unit, "utf-8")
    text = f"Enable it: systemctl --user enable --now {shlex.quote(str(path))}"
    return {"unit": unit, "path": str(path)}, text


def _log(view: RequestLogView) -> CommandOutput:
    text = view.frame().to_json(
        orient="records", date_format="iso", date_unit="us", double_precision=15
    )
    return {"items": json.loads(text)}, view


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
    from nbmlops.lifecycle.rehearsal.rehearse import rehearse

    print_progress(f"rehearsing {target} on the requests of {options['endpoint']}")
    view = rehearse(target, **options)
    return view.rehearsal, view
