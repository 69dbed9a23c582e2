"""The command's entry: families of commands, errors in two lines, exit codes."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from nbmlops._masking import mask, secrets_in
from nbmlops.cli.demo import demo
from nbmlops.cli.endpoints import (
    deploy,
    endpoints,
    predict,
    register,
    rehearse,
    undeploy,
)
from nbmlops.cli.governance import audit, card, history, promote, rollback
from nbmlops.cli.maintenance import doctor, sync, warm
from nbmlops.cli.output import in_shell, option_words
from nbmlops.cli.pipeline import cache, pipeline, sweep
from nbmlops.cli.runs import compare, explain, replay, run, runs
from nbmlops.errors import (
    ConflictError,
    DependencyError,
    NbmlopsError,
    NotFoundError,
    UsageError,
    did_you_mean,
    in_words,
)

_MAY_PASS = 75  # EX_TEMPFAIL of sysexits.h
_WRONG_REQUEST = (UsageError, NotFoundError, ConflictError, DependencyError)


class _Group(click.Group):
    """A group that names the nearest command when one is unknown."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            raise UsageError(
                f"No command {args[0]!r}.{did_you_mean(args[0], self.commands)}",
                fix="List the commands with: nbmlops --help",
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--debug", is_flag=True, help="Print the traceback of an error.")
@click.version_option(package_name="nbmlops")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Track, run, register and deploy: what the notebook does, from the shell."""
    if context.invoked_subcommand is None:
        print(context.get_help())


for _command in (
    *(run, sweep, runs, compare, replay, explain, register, deploy, endpoints, predict),
    *(
        promote,
        rollback,
        card,
        history,
        audit,
        undeploy,
        rehearse,
        pipeline,
        cache,
        warm,
        sync,
        doctor,
        demo,
    ),
):
    cli.add_command(_command)


def main() -> NoReturn:
    """Run the command with the words of this process, and exit."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(words: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    try:
        code: Any = cli.main(list(words), prog_name="nbmlops", standalone_mode=False)
    except NbmlopsError as error:
        return _report(error, words)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "nbmlops"
        problem = " ".join(error.format_message().split())
        return _report(UsageError(problem, fix=f"See: {path} --help"), words)
    except (KeyboardInterrupt, click.Abort):
        print("Interrupted.", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def _report(error: NbmlopsError, words: Sequence[str]) -> int:
    # A message may quote a part of a word, where nothing marks it as a secret.
    typed = secrets_in("\n".join(words))
    words_of = in_words(error.fix, option_words(cli))
    problem, fix = (in_shell(mask(t, typed)) for t in (error.problem, words_of))
    if "--debug" in words:
        trace = "".join(traceback.format_exception(error))
        print(mask(trace, typed), end="", file=sys.stderr)
    elif "--json" in words:
        document = {
            "error": type(error).__name__,
            "message": problem,
            "fix": fix,
        }
        print(json.dumps(document))
    print(problem, fix, sep="\n", file=sys.stderr)
    if getattr(error, "may_pass", False):
        return _MAY_PASS
    return 2 if isinstance(error, _WRONG_REQUEST) else 1
