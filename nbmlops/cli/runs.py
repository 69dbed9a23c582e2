"""Commands that make runs, list them and register their models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbmlops.cli.output import CellLine, json_option, print_progress, show
from nbmlops.errors import UsageError


def _refuse_folder(_: click.Context, __: click.Parameter, folder: str | None) -> None:
    """Say what papermill's option of this name would be here."""
    if folder is not None:
        raise UsageError(
            "The working folder is the notebook's own.",
            fix="Leave --cwd out, or move the notebook.",
        )


@click.command()
@click.argument("notebook")
@click.argument("output", required=False)
@click.option(
    "-p", "params", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter."
)
@click.option("-f", "file", metavar="FILE", help="Parameters in YAML; -p wins.")
@click.option("-e", "--experiment", help="Experiment of the run.")
@click.option("--name", help="The run's name; the notebook's by default.")
@click.option("--timeout", "timeout_s", type=float, help="Seconds it may take.")
@click.option(
    "--cell-timeout", "cell_timeout_s", type=float, help="Seconds a cell may take."
)
@click.option("--kernel", "kernel_name", help="Kernel to use.")
@click.option("--cold", is_flag=True, help="Start a kernel, even where a fork will do.")
@click.option("--cwd", hidden=True, expose_value=False, callback=_refuse_folder)
@json_option
def run(
    notebook: str,
    output: str | None,
    params: tuple[tuple[str, str], ...],
    file: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run NOTEBOOK as one tracked step; write it, executed, to OUTPUT."""
    from nbmlops.execution.notebooks.kernelspecs import read_quickly
    from nbmlops.execution.notebooks.notebook import find_notebook, parameters
    from nbmlops.execution.parameters.parameters import parse_text
    from nbmlops.execution.subprocess_run import run_in_subprocess
    from nbmlops.pipeline.runner import worker_process
    from nbmlops.pipeline.spec.parameters_file import read_parameters

    declared = parameters(read_quickly(find_notebook(notebook)))
    given = read_parameters(Path(file)) if file else {}
    given |= {name: parse_text(declared, name, text) for name, text in params}
    print_progress(f"running {notebook}")
    with CellLine() as line:
        result = run_in_subprocess(
            notebook,
            worker=worker_process.__name__,
            params=given,
            output=output,
            on_progress=line,
            **options,
        )
    text = (
        f"{result.status} in {result.duration_s:.1f} s: run {result.run_id}, "
        f"{len(result.run_ids)} tracked in it"
    )
    show(result, as_json=as_json, text="\n".join([text, *result.notes]))


@click.command()
@click.option("-e", "--experiment", help="By default the project's.")
@click.option("--filter", default="", help='Such as "metrics.auc > 0.8".')
@click.option("--by", metavar="METRIC", help="Order by a metric, the best first.")
@click.option("--asc/--desc", default=None, help="The smallest, or the largest first.")
@click.option(
    "-n", "limit", type=click.IntRange(1, 1000), default=20, show_default=True
)
@click.option("--columns", metavar="A,B,...", help="Metrics, params, tags to show.")
@click.option("--all", is_flag=True, help="Older attempts and child runs too.")
@click.option("--all-params", is_flag=True, help="All params that autolog recorded.")
@json_option
def runs(as_json: bool, **query: Any) -> None:
    """List runs, newest first."""
    from nbmlops.lifecycle.runs import runs

    table = runs(**query)
    show(table.page, as_json=as_json, text=table)


@click.command()
@click.argument("runs", nargs=-1, metavar="RUN RUN ...")
@click.option("-e", "--experiment", help="Where latest and best: look.")
@click.option("--all-params", is_flag=True, help="All params that autolog recorded.")
@json_option
def compare(
    runs: tuple[str, ...], experiment: str | None, all_params: bool, as_json: bool
) -> None:
    """Show what differs between runs.

    RUN is an id, its first characters, latest, best:METRIC or best:METRIC:min|max.
    """
    from nbmlops.lifecycle.compare import compare

    view = compare(*runs, experiment=experiment, all_params=all_params)
    show(view.comparison, as_json=as_json, text=view)


@click.command()
@click.argument("model")
@click.option(
    "--run",
    default="latest",
    show_default=True,
    metavar="RUN",
    help="A run id, its first characters, latest or best:METRIC[:min|max].",
)
@click.option("--alias", help="Alias to set on the version, such as champion.")
@click.option("-e", "--experiment", help="Where latest and best: look.")
@json_option
def register(model: str, as_json: bool, **options: Any) -> None:
    """Register the model of a run as a version of MODEL."""
    from nbmlops.lifecycle.register import register
    from nbmlops.render.tables import version_table

    version = register(model, **options)
    show(version, as_json=as_json, text=version_table(version))
