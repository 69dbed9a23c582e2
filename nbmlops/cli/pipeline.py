"""Commands for pipelines and sweeps of notebooks, and for their cached results."""

from __future__ import annotations

import re
from typing import Any

import click

from nbmlops._masking import mask_tree
from nbmlops.cli.output import CommandOutput, command, params_option, print_progress
from nbmlops.errors import UsageError

_SIZES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ALL = "*"
Pairs = tuple[tuple[str, str], ...]

_params = params_option(
    "STEP.NAME VALUE", "A parameter of a step, or a name of the file's params."
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


@command(pipeline)
@click.argument("file", required=False)
@_params
@_force
@_from_step
@click.option("--jobs", type=click.IntRange(1), help="Steps at once; the cores.")
@click.option("--keep-going", is_flag=True, help="Run on past a failed step.")
@click.option("--engine", default="local", show_default=True, help="Where steps run.")
@click.option("--step", metavar="NAME", help="Run this one; those it needs are done.")
@click.option("--no-retries", is_flag=True, help="Leave with 75 where one is due.")
def run(
    file: str | None,
    force: tuple[str, ...],
    params: Pairs,
    no_retries: bool,
    **options: Any,
) -> CommandOutput:
    """Run the steps of FILE that are not cached."""
    from nbmlops.entities import to_json
    from nbmlops.lifecycle.pipelines import Pipeline

    file, force = _apart(file, force)
    loaded = Pipeline.load(file)
    given = loaded.parse(params)
    view = loaded.run(
        params=given, force=force, retries=not no_retries, say=print_progress, **options
    )
    return mask_tree(to_json(view.report)), view


@command(pipeline)
@click.argument("file", required=False)
@_params
@_force
@_from_step
def plan(
    file: str | None,
    force: tuple[str, ...],
    params: Pairs,
    **options: Any,
) -> CommandOutput:
    """Say for each step of FILE whether it would run, and why."""
    from nbmlops.lifecycle.pipelines import Pipeline

    file, force = _apart(file, force)
    loaded = Pipeline.load(file)
    view = loaded.plan(params=loaded.parse(params), force=force, **options)
    return view.steps, view


def _apart(file: str | None, force: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return FILE, also where ``--force`` right before it took it for its step."""
    if file is None and force and force[-1] != _ALL:
        return force[-1], (*force[:-1], _ALL)
    if file is None:
        raise click.MissingParameter(param_type="argument", param_hint="'FILE'")
    return file, force


@command(pipeline)
@click.argument("file")
def graph(file: str) -> CommandOutput:
    """Draw the steps of FILE."""
    from nbmlops.lifecycle.pipelines import Pipeline

    loaded = Pipeline.load(file)
    return loaded.spec, loaded.graph()


@command(pipeline)
@click.argument("to", metavar="airflow|github")
@click.argument("file")
@click.option("-o", "path", metavar="OUT", help="Where to write; stdout by default.")
@_params
@click.option("--force", is_flag=True, help="Overwrite a file that was not exported.")
def export(
    to: str, file: str, params: Pairs, path: str | None, force: bool
) -> CommandOutput:
    """Write an Airflow DAG, or a GitHub workflow, that runs the steps of FILE."""
    from nbmlops.lifecycle.pipelines import Pipeline

    loaded = Pipeline.load(file)
    made = loaded.export(to, params=loaded.parse(params), path=path, force=force)
    for note in made.notes:
        print_progress(note)
    return made, made.path or made.text


@command(pipeline)
@click.argument("file")
def status(file: str) -> CommandOutput:
    """Show the last run of FILE and its steps."""
    from nbmlops.lifecycle.pipelines import Pipeline

    view = Pipeline.load(file).status()
    return view.report, view


@click.group()
def cache() -> None:
    """See and remove the cached results of steps."""


@command(cache, "ls")
def list_entries() -> CommandOutput:
    """List the cached results, the newest first."""
    from nbmlops.config import load_settings
    from nbmlops.pipeline.cache.step_cache import Cache
    from nbmlops.render.pipelines import cache_table

    entries = tuple(Cache(load_settings().home).list_entries())
    return entries, cache_table(entries)


@command(cache, "gc")
@click.option("--max-size", metavar="SIZE", help="What may stay, such as 10GB.")
@click.option("--older-than", metavar="AGE", help="What goes, such as 30d.")
def collect(max_size: str | None, older_than: str | None) -> CommandOutput:
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
    return done, text


def _read(text: str, units: dict[str, int]) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in units:
        known = ", ".join(filter(None, units))
        raise UsageError(
            f"{text!r} is no number with a unit.", fix=f"Use one of: {known}."
        )
    return float(found[1]) * units[found[2]]


@command()
@click.argument("notebook")
@click.option("--grid", multiple=True, metavar="NAME=V1,V2", help="Each combination.")
@click.option("--sets", metavar="FILE", help="A list of sets in YAML, JSON or CSV.")
@click.option(
    "--space",
    multiple=True,
    metavar="NAME=LOW..HIGH[:log]",
    help="Ranges, or choices NAME=A,B, that Optuna searches.",
)
@params_option("NAME VALUE", "A parameter that is the same in all runs.")
@click.option("--metric", help="What runs are compared by.")
@click.option("--mode", type=click.Choice(["max", "min"]), help="Which is the best.")
@click.option("--trials", type=click.IntRange(1), help="Runs of a search.")
@click.option("--time", "time_s", type=float, help="Seconds after which no run starts.")
@click.option("--seed", type=click.IntRange(0), help="Of a search; 0.")
@click.option("--pruner", help="median, halving, hyperband or none.")
@click.option("--input", "inputs", multiple=True, metavar="PATH", help="What it reads.")
@click.option("-e", "--experiment", help="Experiment of the runs.")
@click.option("--name", help="The sweep's name; the notebook's by default.")
@click.option("--timeout", "timeout_s", type=float, help="Seconds each run may take.")
@click.option("--retries", type=click.IntRange(0), default=0, help="Of a dead kernel.")
@click.option("--kernel", "kernel_name", help="Kernel to use.")
@click.option(
    "--engine", default="local", show_default=True, help="Where runs are done."
)
@click.option("--jobs", type=click.IntRange(1), help="Runs at once; the cores.")
@click.option("--stop-on-failure", is_flag=True, help="Start none after a failed one.")
@click.option("--force", is_flag=True, help="Run all sets, cached or not.")
@click.option("--no-cache", is_flag=True, help="Use no cached result.")
def sweep(
    notebook: str,
    grid: tuple[str, ...],
    space: tuple[str, ...],
    params: Pairs,
    stop_on_failure: bool,
    no_cache: bool,
    **options: Any,
) -> CommandOutput:
    """Run NOTEBOOK with many sets of parameters: a grid, a list or a search."""
    from nbmlops.entities import to_json
    from nbmlops.execution.parameters.parameters import parse_text
    from nbmlops.pipeline.sweeps.grid import declared_by, parse_grid, parse_space
    from nbmlops.pipeline.sweeps.sweep import sweep as run_sweep

    declared = declared_by(notebook)
    view = run_sweep(
        notebook,
        grid=parse_grid(declared, grid) if grid else None,
        space=parse_space(declared, space) if space else None,
        params={name: parse_text(declared, name, text) for name, text in params},
        keep_going=not stop_on_failure,
        cache=not no_cache,
        say=print_progress,
        **options,
    )
    code = 0 if view.report.status == "FINISHED" else 1
    return mask_tree(to_json(view.report)), view, code
