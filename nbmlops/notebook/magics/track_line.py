"""The words of ``%track``."""

from __future__ import annotations

import numbers
from pathlib import Path

from nbmlops.errors import UsageError
from nbmlops.notebook.magics.options import LineParser, named_expressions, parse_track
from nbmlops.notebook.session import Session
from nbmlops.render.tables import RunLine, Table


def status(session: Session) -> Table:
    """Return what is tracked now, and where."""
    from nbmlops.store import connect, fluent

    store = connect()
    tracked = session.cell or session.lasting
    run = f"{tracked.run.name} ({tracked.run.run_id})" if tracked else "none open"
    experiment = tracked.run.experiment if tracked else fluent.default_experiment(store)
    rows = [
        ("run", run),
        ("experiment", experiment),
        ("store", store.shown_uri),
        ("project", str(store.settings.project)),
    ]
    return Table(["tracking", ""], rows, empty="")


def on(session: Session, line: str) -> RunLine:
    """Begin a run over many cells."""
    options = parse_track(line, prog="%track on", default_name="session")
    return session.start_run(options).line()


def off(session: Session, line: str) -> RunLine:
    """End the run over many cells."""
    LineParser("%track off").parse_line(line)
    return session.end_run().line()


def log(session: Session, line: str) -> None:
    """Append metrics to the open run."""
    parser = LineParser("%track log")
    parser.add_argument("values", nargs="+", metavar="KEY=EXPR")
    parser.add_argument("--step", metavar="EXPR", default="0")
    found = parser.parse_line(line)
    ((_, step),) = named_expressions(parser, [f"step={found.step}"])
    at = session.evaluate((("step", step),))["step"]
    if not isinstance(at, numbers.Integral):
        parser.error(f"the step {at!r} is not an integer")
    values = session.evaluate(named_expressions(parser, found.values))
    session.active.run.log_metrics(values, step=int(at))


def params(session: Session, line: str) -> None:
    """Add params to the open run."""
    parser = LineParser("%track params")
    parser.add_argument("values", nargs="+", metavar="KEY=EXPR")
    found = parser.parse_line(line)
    values = session.evaluate(named_expressions(parser, found.values))
    session.active.run.log_params(**values)


def artifact(session: Session, line: str) -> None:
    """Copy a file or folder into the open run's artifacts."""
    parser = LineParser("%track artifact")
    parser.add_argument("path", metavar="PATH")
    path = Path(parser.parse_line(line).path).expanduser()
    if not path.exists():
        raise UsageError(f"No file {str(path)!r}.", fix="Check the path.")
    session.active.run.log_artifact(path)
