"""``%pipeline``: a pipeline file, run with its progress below the cell."""

from __future__ import annotations

from pathlib import Path

from nbmlops.errors import UsageError, did_you_mean
from nbmlops.notebook.magics.options import LineParser
from nbmlops.render.tables import Renderable

_WORDS = ("run", "plan", "graph", "status")


def pipeline(line: str) -> Renderable:
    """Return what a line of ``%pipeline`` asks for."""
    word, _, rest = line.strip().partition(" ")
    if word not in _WORDS:
        raise UsageError(
            f"%pipeline knows no word {word!r}.{did_you_mean(word, _WORDS)}",
            fix=f"Write %pipeline {'|'.join(_WORDS)} FILE.",
        )
    from nbmlops.lifecycle.pipelines import Pipeline

    parser = LineParser(f"%pipeline {word}")
    parser.add_argument("file", metavar="FILE", nargs="?")
    if word in ("run", "plan"):
        parser.add_argument(
            "-p", action="append", default=[], metavar="STEP.NAME=VALUE"
        )
        parser.add_argument(
            "--force", nargs="?", const="*", action="append", default=[]
        )
        parser.add_argument("--from", dest="from_step", metavar="STEP")
    if word == "run":
        parser.add_argument("--engine", default="local")
        parser.add_argument("--jobs", type=int)
        parser.add_argument("--keep-going", action="store_true")
        parser.add_argument("--step")
    found = vars(parser.parse_line(rest))
    path, force = found.pop("file"), found.get("force")
    if path is None and force and force[-1] != "*":  # it took FILE for its step
        path, force[-1] = force[-1], "*"
    if path is None:
        parser.error("the following arguments are required: FILE")
    with parser.naming_options():
        loaded = Pipeline.load(path)
        if word in ("graph", "status"):
            return loaded.graph() if word == "graph" else loaded.status()
        given = loaded.parse(_pair(each) for each in found.pop("p"))
        if word == "plan":
            return loaded.plan(params=given, **found)
        from nbmlops.tracking.live_output import LiveOutput

        live = LiveOutput(f"running {Path(path).name}")
        try:
            return loaded.run(params=given, say=live.add, **found)
        finally:
            live.show()


def _pair(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark:
        raise UsageError(f"{text!r} gives no value.", fix="Write -p STEP.NAME=VALUE.")
    return name, value
