"""Commands that make runs, list and compare them, and run them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbmlops.cli.output import (
    CellLine,
    CommandOutput,
    command,
    experiment_option,
    params_option,
    print_progress,
)
from nbmlops.errors import UsageError

_all_params = click.option(
    "--all-params", is_flag=True, help="All params that autolog recorded."
)
_timeout = click.option(
    "--timeout", "timeout_s", type=float, help="Seconds each replay may take."
)


def _refuse_folder(_: click.Context, __: click.Parameter, folder: str | None) -> None:
    """Say what papermill's option of this name would be here."""
    if folder is not None:
        raise UsageError(
            "The working folder is the notebook's own.",
            fix="Leave --cwd out, or move the notebook.",
        )


@command()
@click.argument("notebook")
@click.argument("output", required=False)
@params_option("NAME VALUE", "A parameter.")
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
def run(
    notebook: str,
    output: str | None,
    params: tuple[tuple[str, str], ...],
    file: str | None,
    **options: Any,
) -> CommandOutput:
    """Run NOTEBOOK as one tracked step; write it, executed, to OUTPUT."""
    from nbmlops.execution.notebooks.notebook import find_notebook, read_quickly
    from nbmlops.execution.parameters.parameters import parameters, parse_text
    from nbmlops.execution.subprocess_run import run_in_subprocess
    from nbmlops.pipeline.runner import worker_process

    declared = parameters(read_quickly(find_notebook(notebook)))
    given: dict[str, object] = {}
    if file:
        from nbmlops.pipeline.spec.file import read_parameters

        given = read_parameters(Path(file))
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
    return result, "\n".join([text, *result.notes])


@command()
@click.option("-e", "--experiment", help="By default the project's.")
@click.option("--filter", default="", help='Such as "metrics.auc > 0.8".')
@click.option("--by", metavar="METRIC", help="Order by a metric, the best first.")
@click.option("--asc/--desc", default=None, help="The smallest, or the largest first.")
@click.option(
    "-n", "limit", type=click.IntRange(1, 1000), default=20, show_default=True
)
@click.option("--columns", metavar="A,B,...", help="Metrics, params, tags to show.")
@click.option("--all", is_flag=True, help="Older attempts and child runs too.")
@_all_params
def runs(**query: Any) -> CommandOutput:
    """List runs, newest first."""
    from nbmlops.lifecycle.runs import runs

    table = runs(**query)
    return table.page, table


@command()
@click.argument("runs", nargs=-1, metavar="RUN RUN ...")
@experiment_option
@_all_params
def compare(runs: tuple[str, ...], **options: Any) -> CommandOutput:
    """Show what differs between runs.

    RUN is an id, its first characters, latest, best:METRIC or best:METRIC:min|max.
    """
    from nbmlops.lifecycle.compare import compare

    view = compare(*runs, **options)
    return view.comparison, view


@command()
@click.argument("run", default="latest")
@click.option(
    "--in-env", is_flag=True, help="In a virtual environment of the run's packages."
)
@click.option(
    "--tolerance",
    type=float,
    default=0.0,
    show_default=True,
    help="How far apart metrics may be.",
)
@_timeout
@experiment_option
def replay(run: str, **options: Any) -> CommandOutput:
    """Run RUN again in a clean kernel and compare; exit code 1 when it differs."""
    from nbmlops.lifecycle.replay.replay import replay
    from nbmlops.render.tables import replay_table

    print_progress(f"replaying {run}")
    result = replay(run, **options)
    return result, replay_table(result), int(result.verdict == "different")


@command()
@click.argument("a")
@click.argument("b")
@click.option("--metric", help="By default the only one that differs.")
@_timeout
@experiment_option
def explain(a: str, b: str, **options: Any) -> CommandOutput:
    """Say which factor changed a metric between the runs A and B."""
    from nbmlops.lifecycle.explain import explain
    from nbmlops.render.tables import explanation_table

    print_progress(f"replaying {a} with what differs in {b}, one factor at a time")
    why = explain(a, b, **options)
    return why, explanation_table(why)
