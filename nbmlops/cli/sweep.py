"""The command that runs a notebook with many sets of parameters."""

from __future__ import annotations

from typing import Any

import click

from nbmlops._masking import mask_tree
from nbmlops.cli.output import json_option, print_progress, show

Texts = tuple[str, ...]


@click.command()
@click.argument("notebook")
@click.option("--grid", multiple=True, metavar="NAME=V1,V2", help="Each combination.")
@click.option("--sets", metavar="FILE", help="A list of sets in YAML, JSON or CSV.")
@click.option(
    "--space",
    multiple=True,
    metavar="NAME=LOW..HIGH[:log]",
    help="Ranges, or choices NAME=A,B, that Optuna searches.",
)
@click.option(
    "-p",
    "params",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A parameter that is the same in all runs.",
)
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
@json_option
def sweep(
    notebook: str,
    grid: Texts,
    space: Texts,
    params: tuple[tuple[str, str], ...],
    stop_on_failure: bool,
    no_cache: bool,
    as_json: bool,
    **options: Any,
) -> int:
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
    show(mask_tree(to_json(view.report)), as_json=as_json, text=view)
    return 0 if view.report.status == "FINISHED" else 1
