"""The magics: each parses its line, calls one function, returns what shows itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import (
    Magics,
    cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)

from nbmlops.errors import UsageError, did_you_mean
from nbmlops.notebook.magics.options import argument, with_arguments
from nbmlops.notebook.session import Session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.render.tables import Renderable, Table

_TRACK_WORDS = ("on", "off", "log", "params", "artifact")
_RUN = "RUN|latest|best:METRIC[:min|max]"
_EXPERIMENT = argument("-e", "--experiment", metavar="EXPERIMENT")
_ALL_PARAMS = argument("--all-params", action="store_true")
_ALIAS = argument("--alias", metavar="ALIAS")
_TIMEOUT = argument("--timeout", dest="timeout_s", type=float, metavar="SECONDS")
_MODEL = argument("model", metavar="MODEL")
_REASON = argument("--reason", default="", metavar="TEXT")
_ENDPOINT = argument("name", metavar="ENDPOINT")


@magics_class
class NbmlopsMagics(Magics):
    """The magics of nbmlops."""

    def __init__(self, shell: InteractiveShell, session: Session) -> None:
        super().__init__(shell)
        self._session = session

    @cell_magic("track")  # type: ignore[arg-type]
    @no_var_expand
    def track_cell(self, line: str, cell: str) -> None:
        """Record the cell as one run.

        ``%%track [NAME] [-e EXPERIMENT] [-p NAME[=EXPR] ...] [-m NAME[=EXPR] ...]
        [-t KEY=VALUE ...] [-d NAME[=EXPR] ...] [--nested] [--no-autolog]``
        """
        raise UsageError(
            "%%track must be the first line of the cell.", fix="Move it to the top."
        )

    @no_var_expand
    @line_magic
    def track(self, line: str) -> Renderable | None:
        """Show what is tracked, or begin, fill and end a run over many cells.

        ``%track`` · ``%track on [NAME] [options of %%track]`` · ``%track off`` ·
        ``%track log KEY=EXPR ... [--step N]`` · ``%track params KEY=EXPR ...`` ·
        ``%track artifact PATH``
        """
        from nbmlops.notebook.magics import track_line

        word, _, rest = line.strip().partition(" ")
        if word == "":
            return track_line.status(self._session)
        if word not in _TRACK_WORDS:
            raise UsageError(
                f"%track knows no word {word!r}.{did_you_mean(word, _TRACK_WORDS)}",
                fix=f"Use one of {', '.join(_TRACK_WORDS)}, or %%track for a cell.",
            )
        function: Any = getattr(track_line, word)
        result: Renderable | None = function(self._session, rest)
        return result

    @with_arguments(
        _EXPERIMENT,
        argument("--filter", default="", metavar="EXPR"),
        argument("--by", metavar="METRIC"),
        argument("--asc", action="store_true", default=None),
        argument("--desc", dest="asc", action="store_false", default=None),
        argument("-n", dest="limit", type=int, default=20, metavar="ROWS"),
        argument("--columns", metavar="A,B,..."),
        argument("--all", action="store_true"),
        _ALL_PARAMS,
        argument("--frame", action="store_true"),
    )
    def runs(self, *, frame: bool, **options: Any) -> Any:  # noqa: ANN401 - or a frame
        """List the runs of an experiment."""
        from nbmlops.lifecycle.runs import runs

        table = runs(**options)
        return table.frame() if frame else table

    @with_arguments(argument("runs", nargs="*", metavar=_RUN), _EXPERIMENT, _ALL_PARAMS)
    def compare(self, *, runs: list[str], **options: Any) -> Renderable:
        """Show what differs between runs."""
        from nbmlops.lifecycle.compare import compare

        return compare(*runs, **options)

    @with_arguments(
        _MODEL,
        argument("--run", default="latest", metavar=_RUN),
        _ALIAS,
        _EXPERIMENT,
    )
    def register(self, **options: Any) -> Renderable:
        """Register the model of a run."""
        from nbmlops.lifecycle.register import register
        from nbmlops.render.tables import version_table

        return version_table(register(**options))

    @with_arguments(
        _MODEL,
        argument("version", metavar="VERSION", type=int),
        argument("--to", default="champion", metavar="ALIAS"),
        argument("--expected", type=int, metavar="VERSION"),
        _REASON,
    )
    def promote(self, **options: Any) -> Renderable:
        """Move an alias to a version."""
        from nbmlops.lifecycle.promote import promote
        from nbmlops.render.tables import version_table

        return version_table(promote(**options), "promoted")

    @with_arguments(
        _MODEL, argument("--alias", default="champion", metavar="ALIAS"), _REASON
    )
    def rollback(self, **options: Any) -> Renderable:
        """Move an alias back to the version before."""
        from nbmlops.lifecycle.promote import rollback
        from nbmlops.render.tables import version_table

        return version_table(rollback(**options), "rolled back")

    @with_arguments(
        argument("model", metavar="MODEL[@ALIAS|/VERSION]"),
        argument("--name", metavar="ENDPOINT"),
        _ALIAS,
        argument("--port", type=int),
        argument("--no-auth", action="store_true"),
        argument("--trust", action="store_true"),
        argument("--workers", type=int),
        argument("--env", action="store_true"),
        argument("--target", metavar="local|ray"),
        argument("--canary", metavar="SHARE"),
        argument("--shadow", action="store_true"),
    )
    def deploy(self, **options: Any) -> Any:  # noqa: ANN401 - the endpoint's handle
        """Serve a model version."""
        from nbmlops.lifecycle.deploy import deploy

        return deploy(**options)

    @with_arguments()
    def endpoints(self) -> Renderable:
        """List the endpoints of the project."""
        from nbmlops.config import load_settings
        from nbmlops.deployment.metrics import list_metrics
        from nbmlops.lifecycle.deploy import endpoints
        from nbmlops.render.endpoints import endpoints_table

        return endpoints_table(endpoints(), list_metrics(load_settings()))

    @with_arguments(_ENDPOINT, argument("frame", metavar="FRAME"))
    def predict(self, *, name: str, frame: str) -> Table:
        """Ask an endpoint."""
        from nbmlops.lifecycle.deploy import endpoint as get_endpoint
        from nbmlops.render.tables import predictions_table

        rows = self._session.evaluate((("rows", frame),))["rows"]
        return predictions_table(get_endpoint(name).predict(rows))

    @with_arguments(_ENDPOINT)
    def undeploy(self, *, name: str) -> None:
        """Stop an endpoint and remove all it left."""
        from nbmlops.lifecycle.deploy import undeploy

        undeploy(name)

    @no_var_expand
    @line_magic
    def pipeline(self, line: str) -> Renderable:
        """Run, plan, draw or look at a pipeline file.

        ``%pipeline run FILE [-p STEP.NAME=VALUE] [--jobs N] [--force [STEP]]
        [--keep-going] [--engine local]`` · ``%pipeline plan|graph|status FILE``
        """
        from nbmlops.notebook.magics.pipeline_line import pipeline

        return pipeline(line)

    @with_arguments(
        argument("run", nargs="?", default="latest", metavar=_RUN),
        _EXPERIMENT,
        argument("--in-env", action="store_true"),
        argument("--tolerance", type=float, default=0.0),
        _TIMEOUT,
    )
    def replay(self, **options: Any) -> Table:
        """Run a run again in a clean kernel, and compare the two."""
        from nbmlops.lifecycle.replay.replay import replay
        from nbmlops.render.tables import replay_table

        return replay_table(replay(**options))

    @with_arguments(
        argument("a", metavar="A"),
        argument("b", metavar="B"),
        argument("--metric"),
        _EXPERIMENT,
        _TIMEOUT,
    )
    def explain(self, **options: Any) -> Table:
        """Attribute the change of a metric between two runs to what differs."""
        from nbmlops.lifecycle.explain import explain
        from nbmlops.render.tables import explanation_table

        return explanation_table(explain(**options))
