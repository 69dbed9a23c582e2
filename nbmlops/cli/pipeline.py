"""Commands for pipelines of notebooks, and for their cached results."""

from __future__ import annotations

import re
from typing import Any

import click

from nbmlops._masking import mask_tree
from nbmlops.cli.output import json_option, print_progress, show
from nbmlops.errors import UsageError

_SIZES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ALL = "*"
Pairs = tuple[tuple[str, str], ...]

_params = click.option(
    "-p",
    "params",
    nargs=2,
    multiple=True,
    metavar="STEP.NAME VALUE",
    help="A parameter of a step, or a name of the file's params.",
)
_force = click.option(
    "--force",
    multiple=True,
    is_flag=False,
    flag_value=_ALL,
    metavar="[STEP]",
    help="Run this step, or all, cached or not.",
)
_from_step = click.option(
    "--from",
    "from_step",
    metavar="STEP",
    help="Run this step and those after it, cached or not.",
)


@click.group()
def pipeline() -> None:
    """Run notebooks that depend on each other; only what has changed."""


@pipeline.command()
@click.argument("file", required=False)
@_params
@_force
@_from_step
@click.option("--jobs", type=click.IntRange(1), help="Steps at once; the cores.")
@click.option("--keep-going", is_flag=True, help="Run on past a failed step.")
@click.option("--engine", default="local", show_default=True, help="Where steps run.")
@click.option("--step", metavar="NAME", help="Run this one; those it needs are done.")
@click.option("--no-retries", is_flag=True, help="Leave with 75 where one is due.")
@json_option
def run(
    file: str | None,
    force: tuple[str, ...],
    params: Pairs,
    as_json: bool,
    no_retries: bool,
    **options: Any,
) -> None:
    """Run the steps of FILE that are not cached."""
    from nbmlops.entities import to_json
    from nbmlops.lifecycle.pipelines import Pipeline

    file, force = _apart(file, force)
    loaded = Pipeline.load(file)
    given = loaded.parse(params)
    view = loaded.run(
        params=given, force=force, retries=not no_retries, say=print_progress, **options
    )
    show(mask_tree(to_json(view.report)), as_json=as_json, text=view)


@pipeline.command()
@click.argument("file", required=False)
@_params
@_force
@_from_step
@json_option
def plan(
    file: str | None,
    force: tuple[str, ...],
    params: Pairs,
    as_json: bool,
    **options: Any,
) -> None:
    """Say for each step of FILE whether it would run, and why."""
    from nbmlops.lifecycle.pipelines import Pipeline

    file, force = _apart(file, force)
    loaded = Pipeline.load(file)
    view = loaded.plan(params=loaded.parse(params), force=force, **options)
    show(view.steps, as_json=as_json, text=view)


def _apart(file: str | None, force: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return FILE, also where ``--force`` right before it took it for its step."""
    if file is None and force and force[-1] != _ALL:
        return force[-1], (*force[:-1], _ALL)
    if file is None:
        raise click.MissingParameter(param_type="argument", param_hint="'FILE'")
    return file, force


@pipeline.command()
@click.argument("file")
@json_option
def graph(file: str, as_json: bool) -> None:
    """Draw the steps of FILE."""
    from nbmlops.lifecycle.pipelines import Pipeline

    loaded = Pipeline.load(file)
    show(loaded.spec, as_json=as_json, text=loaded.graph())


@pipeline.command()
@click.argument("to", metavar="airflow|github")
@click.argument("file")
@click.option("-o", "path", metavar="OUT", help="Where to write; stdout by default.")
@_params
@click.option("--force", is_flag=True, help="Overwrite a file that was not exported.")
@json_option
def export(
    to: str, file: str, params: Pairs, as_json: bool, path: str | None, force: bool
) -> None:
    """Write an Airflow DAG, or a GitHub workflow, that runs the steps of FILE."""
    from nbmlops.lifecycle.pipelines import Pipeline

    loaded = Pipeline.load(file)
    made = loaded.export(to, params=loaded.parse(params), path=path, force=force)
    for note in made.notes:
        print_progress(note)
    show(made, as_json=as_json, text=made.path or made.text)


@pipeline.command()
@click.argument("file")
@json_option
def status(file: str, as_json: bool) -> None:
    """Show the last run of FILE and its steps."""
    from nbmlops.lifecycle.pipelines import Pipeline

    view = Pipeline.load(file).status()
    show(view.report, as_json=as_json, text=view)


@click.group()
def cache() -> None:
    """See and remove the cached results of steps."""


@cache.command("ls")
@json_option
def list_entries(as_json: bool) -> None:
    """List the cached results, the newest first."""
    from nbmlops.config import load_settings
    from nbmlops.pipeline.cache.step_cache import Cache
    from nbmlops.render.pipelines import cache_table

    entries = tuple(Cache(load_settings().home).list_entries())
    show(entries, as_json=as_json, text=cache_table(entries))


@cache.command("gc")
@click.option("--max-size", metavar="SIZE", help="What may stay, such as 10GB.")
@click.option("--older-than", metavar="AGE", help="What goes, such as 30d.")
@json_option
def collect(max_size: str | None, older_than: str | None, as_json: bool) -> None:
    """Remove the results unused for longest, and files without a result."""
    from nbmlops.config import load_settings
    from nbmlops.pipeline.cache.gc import collect as collect_entries
    from nbmlops.pipeline.cache.step_cache import Cache

    limits = {
        "max_bytes": None if max_size is None else int(_read(max_size, _SIZES)),
        "older_than_s": None if older_than is None else _read(older_than, _TIMES),
    }
    done = collect_entries(Cache(load_settings().home), **limits)  # type: ignore[arg-type]
    text = (
        f"{done.n_entries} results and {done.n_files} files taken out: "
        f"{done.freed_bytes:,} bytes; {done.left_bytes:,} stay."
    )
    show(done, as_json=as_json, text=text)


def _read(text: str, units: dict[str, int]) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in units:
        known = ", ".join(filter(None, units))
        raise UsageError(
            f"{text!r} is no number with a unit.", fix=f"Use one of: {known}."
        )
    return float(found[1]) * units[found[2]]
