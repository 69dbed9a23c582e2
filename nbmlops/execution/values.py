"""What a notebook hands on: ``nm.emit(rows=3)``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops._masking import mask_tree
from nbmlops.errors import UsageError
from nbmlops.execution.parameters.parameters import plain
from nbmlops.secrets import Secret

if TYPE_CHECKING:
    from nbmlops.tracking.run.active import ActiveRun

VALUES_FILE = "NBMLOPS_VALUES_FILE"
"""Where the kernel of a step leaves what it emits."""
TAG = "nbmlops.value."
ARTIFACT = "nbmlops/values.json"
_MOST_BYTES = 1_000_000


def emit(**values: object) -> None:
    """Hand values on: to the steps behind this one, and to the run that is open.

    In a step they become the step's: a later notebook gets one as a parameter through
    ``${{ steps.STEP.values.NAME }}``. Numbers become metrics of the step's run, other
    values its tags, and all of them its artifact ``nbmlops/values.json``. Outside of a
    step the run that is open in this thread gets them.

    Parameters
    ----------
    **values : object
        What JSON knows, and NumPy scalars; a tuple arrives as a list. At most a
        megabyte in all. Of a name emitted twice the last value counts.

    Raises
    ------
    UsageError
        A value is none of these or a secret, or nothing is there to record it.

    Examples
    --------
    >>> emit(model=object())
    Traceback (most recent call last):
        ...
    nbmlops.errors.UsageError: Value 'model' is a object, not a bool, ...
    """
    checked = {name: _checked(name, value) for name, value in values.items()}
    path = os.environ.get(VALUES_FILE)
    if path:
        _append(Path(path), checked)
        return
    from nbmlops.tracking.run.active import innermost

    run = innermost()
    if run is None:
        raise UsageError(
            "Nothing is open that could record what is emitted.",
            fix="Run the notebook as a step (nm.run_notebook, a pipeline), or open a "
            "run with %%track or nm.track.",
        )
    record_values(run, checked)


def _checked(name: str, value: object) -> Any:  # noqa: ANN401
    try:
        found = plain(value)
    except ValueError as error:
        raise UsageError(
            f"Value {name!r} is {error}.",
            fix="Emit numbers, texts, lists and dicts; the rest goes to a file that is "
            "an output of the step.",
        ) from error
    if _has_secret(found):
        raise UsageError(
            f"Value {name!r} is a secret.",
            fix="Look it up by its name where it is needed: nm.secret(NAME).",
        )
    return found


def _has_secret(value: object) -> bool:
    match value:
        case Secret():
            return True
        case list() | tuple():
            return any(map(_has_secret, value))
        case dict():
            return any(map(_has_secret, value.values()))
    return False


def _append(path: Path, values: Mapping[str, object]) -> None:
    text = json.dumps(values) + "\n"
    before = path.stat().st_size if path.exists() else 0
    if before + len(text) > _MOST_BYTES:
        raise UsageError(
            f"The values of the step have more than {_MOST_BYTES:,} bytes.",
            fix="Write the large ones to a file that is an output of the step.",
        )
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def read_values(path: Path) -> dict[str, Any]:
    """Return what the kernel of a step emitted."""
    found: dict[str, Any] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            found |= json.loads(line)
        except (ValueError, TypeError):
            continue
    return found


def record_values(run: ActiveRun, values: Mapping[str, Any]) -> None:
    """Log emitted values to a run, their secrets masked."""
    if not values:
        return
    shown = mask_tree(dict(values))
    numbers = {
        name: float(value)
        for name, value in shown.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    run.log_metrics(numbers)
    run.log_tags(
        {
            f"{TAG}{name}": value if isinstance(value, str) else json.dumps(value)
            for name, value in shown.items()
            if name not in numbers
        }
    )
    run.log_bytes(json.dumps(shown, indent=2).encode(), ARTIFACT)
