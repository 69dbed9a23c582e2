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
from nbmlops.notebook.magics.options import LineParser
from nbmlops.notebook.session import Session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.render.tables import Renderable, Table

_TRACK_WORDS = ("on", "off", "log", "params", "artifact")


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
        """Say what is tracked, or begin, fill and end a run over many cells.

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

    @no_var_expand
    @line_magic
    def runs(self, line: str) -> Any:  # noqa: ANN401 - a table or a frame
        """List the runs of an experiment.

        ``%runs [-e EXPERIMENT] [--filter EXPR] [--by METRIC] [--asc|--desc] [-n 20]
        [--columns A,B,...] [--all] [--all-params] [--frame]``
        """
        from nbmlops import lifecycle

        parser = LineParser("%runs")
        parser.add_argument("-e", "--experiment")
        parser.add_argument("--filter", default="")
        parser.add_argument("--by", metavar="METRIC")
        parser.add_argument("--asc", action="store_true", default=None)
        parser.add_argument("--desc", dest="asc", action="store_false", default=None)
        parser.add_argument("-n", dest="limit", type=int, default=20)
        parser.add_argument("--columns", metavar="A,B,...")
        parser.add_argument("--all", action="store_true")
        parser.add_argument("--all-params", action="store_true")
        parser.add_argument("--frame", action="store_true")
        found = vars(parser.parse_line(line))
        wants_frame = found.pop("frame")
        with parser.speaking():
            table = lifecycle.runs(**found)
        return table.frame() if wants_frame else table

    @no_var_expand
    @line_magic
    def compare(self, line: str) -> Renderable:
        """Show what differs between runs: ``%compare RUN RUN ... [--all-params]``."""
        from nbmlops import lifecycle

        parser = LineParser("%compare")
        parser.add_argument(
            "runs", nargs="*", metavar="RUN|latest|best:METRIC[:min|max]"
        )
        parser.add_argument("-e", "--experiment")
        parser.add_argument("--all-params", action="store_true")
        found = vars(parser.parse_line(line))
        with parser.speaking():
            return lifecycle.compare(*found.pop("runs"), **found)

    @no_var_expand
    @line_magic
    def register(self, line: str) -> Renderable:
        """Register the model of a run: ``%register MODEL [--run RUN] [--alias A]``."""
        from nbmlops import lifecycle
        from nbmlops.render.tables import version_table

        parser = LineParser("%register")
        parser.add_argument("model", metavar="MODEL")
        parser.add_argument(
            "--run", default="latest", metavar="RUN|latest|best:METRIC[:min|max]"
        )
        parser.add_argument("--alias")
        parser.add_argument("-e", "--experiment")
        with parser.speaking():
            return version_table(lifecycle.register(**vars(parser.parse_line(line))))

    @no_var_expand
    @line_magic
    def deploy(self, line: str) -> Any:  # noqa: ANN401 - the endpoint's handle
        """Serve a model version.

        ``%deploy MODEL[@ALIAS|/VERSION] [--name E] [--alias A] [--port P]
        [--no-auth]``
        """
        from nbmlops import lifecycle

        parser = LineParser("%deploy")
        parser.add_argument("target", metavar="MODEL[@ALIAS|/VERSION]")
        parser.add_argument("--name", metavar="ENDPOINT")
        parser.add_argument("--alias")
        parser.add_argument("--port", type=int)
        parser.add_argument("--no-auth", action="store_true")
        parser.add_argument("--trust", action="store_true")
        with parser.speaking():
            return lifecycle.deploy(**vars(parser.parse_line(line)))

    @no_var_expand
    @line_magic
    def endpoints(self, line: str) -> Renderable:
        """List the endpoints of the project: ``%endpoints``."""
        from nbmlops import lifecycle
        from nbmlops.render.tables import endpoints_table

        LineParser("%endpoints").parse_line(line)
        return endpoints_table(lifecycle.endpoints())

    @no_var_expand
    @line_magic
    def predict(self, line: str) -> Table:
        """Ask an endpoint: ``%predict ENDPOINT FRAME``."""
        from nbmlops import lifecycle
        from nbmlops.render.tables import predictions_table

        parser = LineParser("%predict")
        parser.add_argument("endpoint", metavar="ENDPOINT")
        parser.add_argument("frame", metavar="FRAME")
        found = parser.parse_line(line)
        rows = self._session.look_up((("rows", found.frame),))["rows"]
        return predictions_table(lifecycle.endpoint(found.endpoint).predict(rows))

    @no_var_expand
    @line_magic
    def undeploy(self, line: str) -> None:
        """Stop an endpoint and remove all it left: ``%undeploy ENDPOINT``."""
        from nbmlops import lifecycle

        parser = LineParser("%undeploy")
        parser.add_argument("name", metavar="ENDPOINT")
        lifecycle.undeploy(parser.parse_line(line).name)

    @no_var_expand
    @line_magic
    def pipeline(self, line: str) -> Renderable:
        """Run, plan, draw or look at a pipeline file.

        ``%pipeline run FILE [-p STEP.NAME=VALUE] [--jobs N] [--force [STEP]]
        [--keep-going] [--engine local]`` · ``%pipeline plan|graph|status FILE``
        """
        from nbmlops.notebook.magics.pipeline_line import pipeline

        return pipeline(line)

    @no_var_expand
    @line_magic
    def replay(self, line: str) -> Table:
        """Run a run again in a clean kernel, and compare the two.

        ``%replay [RUN] [-e EXPERIMENT] [--in-env] [--tolerance T] [--timeout S]``
        """
        from nbmlops import lifecycle
        from nbmlops.render.tables import replay_table

        parser = LineParser("%replay")
        parser.add_argument(
            "run",
            nargs="?",
            default="latest",
            metavar="RUN|latest|best:METRIC[:min|max]",
        )
        parser.add_argument("-e", "--experiment")
        parser.add_argument("--in-env", action="store_true")
        parser.add_argument("--tolerance", type=float, default=0.0)
        parser.add_argument("--timeout", dest="timeout_s", type=float)
        with parser.speaking():
            return replay_table(lifecycle.replay(**vars(parser.parse_line(line))))

    @no_var_expand
    @line_magic
    def explain(self, line: str) -> Table:
        """Attribute the change of a metric between two runs to what differs.

        ``%explain A B [--metric M] [-e EXPERIMENT] [--timeout S]``
        """
        from nbmlops import lifecycle
        from nbmlops.render.tables import explanation_table

        parser = LineParser("%explain")
        parser.add_argument("a", metavar="A")
        parser.add_argument("b", metavar="B")
        parser.add_argument("--metric")
        parser.add_argument("-e", "--experiment")
        parser.add_argument("--timeout", dest="timeout_s", type=float)
        found = vars(parser.parse_line(line))
        with parser.speaking():
            return explanation_table(lifecycle.explain(**found))
