"""All that is known of one model version, for who looks at it."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from nbmlops.deployment import records
from nbmlops.entities import (
    Column,
    ComparedMetric,
    LineageEdge,
    LineageNode,
    ModelVersion,
    RecordedReplay,
    Run,
    ServingEndpoint,
    SignatureColumn,
    StoredFile,
    Verdict,
    VersionDetail,
    mode_of,
)
from nbmlops.errors import NbmlopsError
from nbmlops.lifecycle.promote import CHAMPION
from nbmlops.scoring.example import read_example
from nbmlops.scoring.ranges import read_ranges
from nbmlops.scoring.signature import DTYPES, RANGES, read_mlmodel, read_signature
from nbmlops.store import Store, artifacts
from nbmlops.store.database import has_tables
from nbmlops.store.models.models import download_files, location_of
from nbmlops.store.registry.registered_models import get_model
from nbmlops.store.registry.versions import no_version, read_versions
from nbmlops.store.runs.fields import RunQuery
from nbmlops.store.runs.queries import experiment_ids, run_reader

IMAGES = (".jpeg", ".jpg", ".png", ".svg")
_COMMIT = "mlflow.source.git.commit"
_REPLAYED = re.compile(r"(?P<verdict>[a-z ]+) \((?P<run_id>[0-9a-f]{32})\)")
# The cells that made the run; else the whole notebook of a step.
_REPLAY, _EXECUTED = "nbmlops/replay.ipynb", "nbmlops/notebook.ipynb"
_MOST_FILES, _MOST_FIGURES = 1000, 50
_MOST_BYTES = 5_000_000
_MOST_ROWS = 20
_MOST_CURVES, _POINTS = 50, 100


def get_version_detail(store: Store, name: str, version: int) -> VersionDetail:
    """Return a model version with its run, signature, files, endpoints and lineage."""
    model = get_model(store, name)
    champion_number = model.aliases.get(CHAMPION, version)
    versions, runs = read_versions(store, model, (version, champion_number))
    if version not in versions:
        raise no_version(model, version)
    this = versions[version]
    champion = versions.get(champion_number) if champion_number != version else None
    run = runs.get(this.run_id or "")
    notes: list[str] = []
    of_run, of_model = _RunRecords(), _ModelFiles()
    if run:
        try:
            of_run = _read_run(store, run)
        except NbmlopsError as error:
            notes.append(error.problem)
    try:
        of_model = _read_model(store, this)
    except NbmlopsError as error:
        notes.append(error.problem)
    columns = of_model.columns
    if not columns and this.signature:
        columns = tuple(map(_column, this.signature.inputs))
    endpoints = tuple(_endpoints(store, this))
    commit = run.tags.get(_COMMIT) if run else None
    nodes, edges = _lineage(this, run, commit, endpoints)
    return VersionDetail(
        version=this,
        champion=champion,
        run=run,
        commit=commit,
        notebook=_notebook(store, run),
        cells=of_run.cells,
        has_notebook=of_run.has_notebook,
        replay=_replay(run),
        endpoints=endpoints,
        columns=columns,
        outputs=this.signature.outputs if this.signature else of_model.outputs,
        example=of_model.example,
        metrics=tuple(_compared(this, champion, of_run.curves)),
        files=of_model.files,
        figures=of_run.figures,
        nodes=nodes,
        edges=edges,
        notes=tuple(dict.fromkeys(notes)),
    )


_Curve = tuple[tuple[int, ...], tuple[float | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunRecords:
    """What a run recorded beside its params and metrics."""

    cells: tuple[int, ...] = ()
    has_notebook: bool = False
    figures: tuple[StoredFile, ...] = ()
    curves: Mapping[str, _Curve] = field(default_factory=dict)


def _read_run(store: Store, run: Run) -> _RunRecords:
    location = artifacts.location_of(store, run.run_id)
    files = artifacts.list_files(store, location, most=_MOST_FILES)
    images = [each for each in files if each.lower().endswith(IMAGES)]
    replay: bytes = b"{}"
    if 0 < files.get(_REPLAY, 0) <= _MOST_BYTES:
        replay = artifacts.read_file(store, run.run_id, _REPLAY, location=location)
    names = sorted(run.metrics)[:_MOST_CURVES]
    # A database finds a run by its id alone.
    among = () if has_tables(store) else experiment_ids(store, run.experiment)
    reader = run_reader(store, RunQuery(experiment_ids=tuple(among)))
    curves = reader.curves([run.run_id], names, n_points=_POINTS) if names else {}
    return _RunRecords(
        cells=_cells(replay),
        has_notebook=not files.keys().isdisjoint((_REPLAY, _EXECUTED)),
        figures=_stored((each, files[each]) for each in images[:_MOST_FIGURES]),
        curves={
            metric: (
                tuple(step for step, _ in points),
                tuple(value if math.isfinite(value) else None for _, value in points),
            )
            for (_, metric), points in curves.items()
        },
    )


def _cells(replay: bytes) -> tuple[int, ...]:
    """Return the execution counts of the cells in a notebook that replays a run."""
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        ran = [
            cell["metadata"].get("nbmlops", {}).get("execution_count")
            for cell in json.loads(replay).get("cells", ())
        ]
        return tuple(count for count in ran if isinstance(count, int))
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelFiles:
    """What the files of a model say."""

    columns: tuple[SignatureColumn, ...] = ()
    outputs: tuple[Column, ...] = ()
    example: dict[str, Any] | None = None
    files: tuple[StoredFile, ...] = ()


def _read_model(store: Store, version: ModelVersion) -> _ModelFiles:
    location = location_of(store, version)
    files = artifacts.list_files(store, location, most=_MOST_FILES)
    root = artifacts.local_root(location)
    with tempfile.TemporaryDirectory() as scratch:

        def folder_of(name: object) -> Path:
            """Return where a file can be read; where it is not when it cannot."""
            if not 0 < files.get(str(name), 0) <= _MOST_BYTES:  # nor is a link there
                return Path(scratch)
            if root is None:
                download_files(store, location, str(name), Path(scratch))
            return root or Path(scratch)

        document = read_mlmodel(folder_of("MLmodel"))
        info = document.get("saved_input_example_info")
        table: Mapping[str, Any] | None = None
        if isinstance(info, dict):
            with suppress(NbmlopsError, AttributeError):
                example = read_example(folder_of(info.get("artifact_path")))
                table = example.table() if example else None
    try:
        signature = read_signature(document)
    except (ValueError, LookupError, TypeError, AttributeError):  # written by hand
        signature = None
    metadata = document.get("metadata")
    stated = metadata if isinstance(metadata, dict) else {}
    ranges, dtypes = read_ranges(stated.get(RANGES)), stated.get(DTYPES)
    return _ModelFiles(
        columns=tuple(
            _column(each, ranges, dtypes if isinstance(dtypes, dict) else {})
            for each in (signature.inputs if signature else ())
        ),
        outputs=signature.outputs if signature else (),
        example={**table, "data": table["data"][:_MOST_ROWS]} if table else None,
        files=_stored(files.items()),
    )


def _column(
    column: Column,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    dtypes: Mapping[str, Any] | None = None,
) -> SignatureColumn:
    ends = (ranges or {}).get(column.name)
    low, high = ends if ends and all(map(math.isfinite, ends)) else (None, None)
    dtype = (dtypes or {}).get(column.name)
    categories = dtype.get("categories") if isinstance(dtype, dict) else None
    return SignatureColumn(
        name=column.name,
        type=column.type,
        is_required=column.is_required,
        low=low,
        high=high,
        categories=tuple(map(str, categories or ())),
    )


def _stored(files: Iterable[tuple[str, int]]) -> tuple[StoredFile, ...]:
    return tuple(StoredFile(path=path, size_bytes=size) for path, size in files)


def _compared(
    version: ModelVersion, champion: ModelVersion | None, curves: Mapping[str, _Curve]
) -> Iterator[ComparedMetric]:
    others = champion.metrics if champion else {}
    for name in sorted(version.metrics.keys() | others.keys()):
        mode = mode_of(name)
        change = version.metrics.get(name, math.nan) - others.get(name, math.nan)
        is_known = math.isfinite(change) and change != 0 and mode is not None
        steps, values = curves.get(name, ((), ()))
        yield ComparedMetric(
            name=name,
            mode=mode,
            change=change if math.isfinite(change) else None,
            is_better=(change > 0) == (mode == "max") if is_known else None,
            steps=steps,
            values=values,
        )


def _replay(run: Run | None) -> RecordedReplay | None:
    found = _REPLAYED.fullmatch(run.tags.get("nbmlops.replayed", "") if run else "")
    verdicts: Mapping[str, Verdict] = {each: each for each in get_args(Verdict)}
    if found is None or found["verdict"] not in verdicts:
        return None
    return RecordedReplay(verdict=verdicts[found["verdict"]], run_id=found["run_id"])


def _notebook(store: Store, run: Run | None) -> str | None:
    path = store.settings.project / ((run and run.source) or "")
    with suppress(OSError, ValueError):  # a name that no disk can have
        if path.suffix == ".ipynb" and path.is_file():
            return str(path)
    return None


def _endpoints(store: Store, version: ModelVersion) -> Iterator[ServingEndpoint]:
    """Yield the endpoints of the project that have the version, by their records."""
    folder = records.root(store.settings)
    for name in records.list_names(folder):
        record = records.find_record(folder, name)
        if record is None:
            continue
        canary = record.canary
        roles: Mapping[Any, tuple[records.Served | None, float | None]] = {
            "champion": (record.champion, 1 - canary.share if canary else 1.0),
            "canary": (canary.served, canary.share) if canary else (None, None),
            "shadow": (record.shadow, None),
            "previous": (record.previous, None),
        }
        for role, (served, share) in roles.items():
            if served and (served.model, served.version) == (
                version.model,
                version.version,
            ):
                yield ServingEndpoint(name=name, role=role, share=share)


def _lineage(
    version: ModelVersion,
    run: Run | None,
    commit: str | None,
    endpoints: Iterable[ServingEndpoint],
) -> tuple[tuple[LineageNode, ...], tuple[LineageEdge, ...]]:
    """Return what the version comes from and goes to, from left to right."""
    nodes: list[LineageNode] = []
    edges: list[tuple[str, str]] = []

    def add(kind: Any, name: str, title: str, detail: str) -> str:  # noqa: ANN401
        node_id = f"{kind} {len(nodes)}"
        nodes.append(
            LineageNode(id=node_id, kind=kind, name=name, title=title, detail=detail)
        )
        return node_id

    sources = []
    if run:
        sources = [add("data", d.name, d.name, d.digest) for d in run.datasets]
        if run.source:
            title = PurePosixPath(run.source).name
            sources.append(add("notebook", run.source, title, (commit or "")[:12]))
        made_by = add("run", run.run_id, run.name, run.status)
        edges += [(each, made_by) for each in sources]
    this = add(
        "version", version.model, f"{version.model}/{version.version}",
        ", ".join(version.aliases),
    )  # fmt: skip
    if run:
        edges.append((made_by, this))
    for endpoint in endpoints:
        edges.append(
            (this, add("endpoint", endpoint.name, endpoint.name, endpoint.role))
        )
    return tuple(nodes), tuple(LineageEdge(first=a, second=b) for a, b in edges)
