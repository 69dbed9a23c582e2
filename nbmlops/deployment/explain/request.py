"""A logged request, and the model version that answered it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.deployment import records
from nbmlops.entities import Contributions, RowContributions
from nbmlops.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from nbmlops.scoring.signature import InputSpec

_INPUT = "in."


def explain_request(folder: Path, request_id: str) -> Contributions:
    """Return what the columns of a request contributed; loads its model here."""
    from nbmlops.deployment.request_log import find_answered
    from nbmlops.serving.files import checked_files

    record = records.find_record(folder.parent, folder.name)
    if record is None:
        raise NotFoundError(f"No endpoint {folder.name!r}.", fix="Deploy it again.")
    logged = find_answered(folder / "requests", request_id)
    if logged is None:
        raise NotFoundError(
            f"The log of endpoint {record.name!r} has no request {request_id[:80]!r}.",
            fix="Give the x-request-id of an answer. A request is logged within two "
            "seconds, unless log_share leaves it out, and kept for log_days.",
        )
    if (status := int(logged.status.max())) >= 400:
        raise UsageError(
            f"Request {request_id} has no answer to explain: its status is {status}.",
            fix="Choose one that was answered.",
        )
    version = int(logged.version.iloc[0])
    model = folder / "versions" / str(version) / "model"
    served = [each for each in record.all_served if each.version == version]
    if not served or not model.is_dir():
        raise NotFoundError(
            f"{record.champion.model}/{version}, which answered the request, is not "
            "among the endpoint's files any more.",
            fix="Explain requests of the version that is served, or of the one before.",
        )
    found = served[0]
    with checked_files(
        model, str(found), digest=found.digest, trust=found.trust
    ) as files:
        return _explain(files, found, logged)


def _explain(
    folder: Path, served: records.Served, logged: pd.DataFrame
) -> Contributions:
    from nbmlops.deployment.explain.shapley import explain_rows
    from nbmlops.scoring.signature import read_input_spec, read_mlmodel
    from nbmlops.serving.files import prepare_loading
    from nbmlops.serving.offline import named, prepare_of
    from nbmlops.store.models.files import load_model

    spec = read_input_spec(read_mlmodel(folder))
    inputs = [name for name in map(str, logged) if name.startswith(_INPUT)]
    rows = logged[inputs].rename(columns=lambda name: name.removeprefix(_INPUT))
    if spec.kind == "sparse":
        raise UsageError(
            f"{served} takes sparse rows, which are not explained.",
            fix="Explain a model that takes a table of columns.",
        )
    rows = named(rows, spec)
    prepared = prepare_of(spec)(rows)
    prepare_loading()
    estimator = load_model(folder, served.trust)
    # Fitted with names, and predicting an array of which the columns are known.
    warnings.filterwarnings("ignore", "X does not have valid feature names")
    names = _column_names(prepared, spec)
    found = explain_rows(estimator, prepared, _example(folder, spec), len(names))
    return Contributions(
        request_id=str(logged.request_id.iloc[0]),
        model=served.model,
        version=served.version,
        of=found.of,
        method=found.method,
        rows=tuple(
            RowContributions(
                row=int(row),
                prediction=prediction,
                label=None if found.labels is None else found.labels[n],
                base=float(found.base[n]),
                output=float(found.output[n]),
                columns=dict(zip(names, found.contributions[n].tolist(), strict=True)),
            )
            for n, (row, prediction) in enumerate(
                zip(logged.row.tolist(), logged.prediction.tolist(), strict=True)
            )
        ),
    )


def _example(folder: Path, spec: InputSpec) -> Any:  # noqa: ANN401 - what it takes
    from nbmlops.scoring.example import read_example
    from nbmlops.scoring.request import read_request
    from nbmlops.scoring.rows import to_rows

    example = read_example(folder)
    if example is None:
        raise NotFoundError(
            "The model's input example is not among its files.",
            fix="Deploy a version that was logged with rows.",
        )
    request = json.dumps(example.request()).encode()
    return to_rows(read_request(request, "application/json", kind=spec.kind), spec)


def _column_names(rows: Any, spec: InputSpec) -> list[str]:  # noqa: ANN401
    if spec.kind == "frame":
        return [str(name) for name in rows]
    return [column.name for column in spec.columns]
