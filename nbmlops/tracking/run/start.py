"""How a run begins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal
from uuid import uuid4

from nbmlops._hashing import set_hash
from nbmlops._masking import mask, mask_value
from nbmlops.entities import check_key
from nbmlops.processes.process_id import ProcessId
from nbmlops.store import Store, connect, embedded, fluent
from nbmlops.store.runs.fields import KERNEL_ID, REPLAY_OF
from nbmlops.tracking.journal.clock import start_ms
from nbmlops.tracking.journal.reader import RunHeader
from nbmlops.tracking.journal.writer import Journal, prepare
from nbmlops.tracking.provenance.notebook_path import kernel_id
from nbmlops.tracking.provenance.source import UNKNOWN, installed, source_tags
from nbmlops.tracking.run.active import ActiveRun
from nbmlops.tracking.run.attempts import group_of
from nbmlops.tracking.run.values import LONGEST_TAG, check_name, shortened
from nbmlops.tracking.sync.sync import store_hash

RunKind = Literal["cell", "session", "fit", "step", "pipeline", "sweep"]


def open_run(
    store: Store | None = None,
    *,
    name: str,
    kind: RunKind = "session",
    experiment: str | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    notebook: str | None = None,
    cell: str | None = None,
) -> ActiveRun:
    """Open a run; never blocks on an unreachable store."""
    for key in (*(params or ()), *(tags or ())):
        check_key(key)
    check_name("a run", name)
    store = store or connect(must_answer=False)
    if experiment is not None:
        check_name("an experiment", experiment)
    experiment = experiment or fluent.default_experiment(store)
    packages = installed()
    header = make_header(
        store,
        name=name,
        experiment=experiment,
        carried={
            **source_tags(
                store.settings.project, notebook=notebook, environ=os.environ
            ),
            "nbmlops.kind": kind,
            "nbmlops.environment_hash": set_hash(packages),
            **(tags or {}),
        },
        cell=cell,
    )
    later = {k: v for k, v in header.tags.items() if shortened(v, LONGEST_TAG, "")}
    for key in later:
        del header.tags[key]
    home = store.settings.home
    try:
        journal = Journal.create(home, header)
    except OSError as error:
        raise embedded.disk_error(error, home / "journal") from error
    run = ActiveRun(store, journal, header)
    run.begin()
    if REPLAY_OF not in header.tags:  # a replay is looked at, not worked in
        fluent.note_experiment(store, experiment)
    try:
        run.log_tags(later)
        run.log_params(**(params or {}))
        listed = "\n".join([*packages, ""])
        run.log_bytes(listed.encode(), "nbmlops/environment.txt")
    except BaseException as error:
        run.close(error)
        raise
    return run


def make_header(
    store: Store,
    *,
    name: str,
    experiment: str,
    carried: Mapping[str, str],
    cell: str | None = None,
    started_at_ms: int | None = None,
) -> RunHeader:
    """Return what a run is made from."""
    owner = ProcessId.me()
    name = mask(name)
    owned = {"nbmlops.kernel": owner.kernel, "nbmlops.boot": owner.boot}
    if (session := kernel_id()) is not None:
        owned[KERNEL_ID] = session
    tags = {key: mask_value(value, key) for key, value in (owned | {**carried}).items()}
    source = tags["mlflow.source.name"]
    if source == UNKNOWN:  # notebooks that nothing tells apart are not one
        source = f"{source} {owner.kernel}"
    tags["nbmlops.attempt_of"] = group_of(source, name, cell)
    home = store.settings.home
    if started_at_ms is None:
        prepare(home)
        started_at_ms = start_ms(home)
    return RunHeader(
        key=f"k{uuid4().hex[1:]}",
        name=name,
        experiment=experiment,
        tags=tags,
        started_at_ms=started_at_ms,
        store=store_hash(store),
        kernel=owner.kernel,
        boot=owner.boot,
    )
