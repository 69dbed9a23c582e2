"""A new endpoint process, brought to its first answer or undone."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from nbmlops.deployment import process, records
from nbmlops.deployment.client import UNANSWERED, ask
from nbmlops.deployment.records import Record
from nbmlops.entities import ModelVersion
from nbmlops.errors import DeployError, StoreError, UsageError
from nbmlops.processes.process_id import ProcessId
from nbmlops.scoring.example import Example, read_example
from nbmlops.scoring.signature import NOT_SERVED, read_input_spec, read_mlmodel
from nbmlops.store import Store
from nbmlops.store.embedded import disk_error
from nbmlops.store.models.models import download_model
from nbmlops.store.models.own_code import Trust

_LITTLE_BYTES = 1_000_000


def launch(
    store: Store,
    version: ModelVersion,
    *,
    name: str,
    alias: str | None,
    port: int | None,
    token: str | None,
    trust: Trust,
) -> Record:
    """Return the record of a new process that has answered."""
    settings = store.settings
    with ExitStack() as undo:
        listener = undo.enter_context(process.listen(port))
        folder = records.make_folder(settings, name)
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        if token is not None:
            records.write_token(folder, token)
        deadline = time.monotonic() + settings.deploy_timeout_s
        # It imports what every model needs while the files of this one are fetched.
        child = process.start(folder, listener, no_auth=token is None, trust=trust)
        started = ProcessId.of(child.pid)
        undo.callback(process.stop, started)
        record = Record(
            name=name,
            model=version.model,
            version=version.version,
            alias=alias,
            port=listener.getsockname()[1],
            process=started,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            model_id=version.model_id,
            run_id=version.run_id,
            no_auth=token is None,
            max_request_bytes=settings.max_request_bytes,
            trust=list(trust),
        )
        records.write_record(folder, record)
        listener.close()
        model_folder = folder / "model"
        _fetch(store, version, model_folder)
        mlmodel = read_mlmodel(model_folder)
        example = read_example(model_folder)
        if example is not None or NOT_SERVED in (mlmodel.get("metadata") or {}):
            read_input_spec(mlmodel)  # refuses what cannot be served
        if example is None:
            raise UsageError(
                f"{version.model}/{version.version} has no input example to try an "
                "endpoint with.",
                fix="Log the model with rows it takes, run.log_model(model, X), and "
                "register it again.",
            )
        process.let_load(child)
        _try(child, folder, record, example, token=token, deadline=deadline)
        records.switch(settings, name, folder)
        undo.pop_all()
    return record


def _fetch(store: Store, version: ModelVersion, folder: Path) -> None:
    try:
        download_model(store, version, folder)
    except StoreError as error:
        # MLflow tells a full disk as a download that failed, without the reason.
        if shutil.disk_usage(folder.parent).free < _LITTLE_BYTES:
            full = OSError(errno.ENOSPC, "No space left on device")
            raise disk_error(full, folder) from error
        raise


def _try(
    child: subprocess.Popen[bytes],
    folder: Path,
    record: Record,
    example: Example,
    *,
    token: str | None,
    deadline: float,
) -> None:
    """Wait until the endpoint has answered its own input example as it should."""
    target = f"{record.model}/{record.version}"
    fix = f"See that {target} predicts rows as it was logged with, then deploy again."
    try:
        # The socket already listens: the request waits in it until it is served, and
        # is broken off at once when the process dies.
        answer = ask(
            record.port,
            f"/endpoints/{record.name}/invocations",
            token=token,
            timeout_s=max(0.1, deadline - time.monotonic()),
            body=json.dumps(example.request()).encode(),
        )
    except TimeoutError as error:
        raise DeployError(
            f"{target} did not answer in time. {records.last_words(folder)}".strip(),
            fix="Set NBMLOPS_DEPLOY_TIMEOUT_S to more seconds, or see what is slow.",
        ) from error
    except UNANSWERED as error:
        try:
            ended = process.exit_reason(child.wait(timeout=5))
        except subprocess.TimeoutExpired:
            ended = "it closed the connection"
        if refusal := records.read_refusal(folder):
            raise DeployError(**refusal) from None
        last = records.last_words(folder) or "Its log is empty."
        raise DeployError(
            f"The process of {target} ended ({ended}): {last}", fix=fix
        ) from error
    if answer.status != 200:
        why = records.last_words(folder) if answer.status >= 500 else answer.error()[0]
        raise DeployError(f"{target} fails on its own input example: {why}", fix=fix)
    predicted = json.loads(answer.body)["predictions"]
    if len(predicted) != example.n_rows:
        raise DeployError(
            f"{target} answers {len(predicted)} predictions for {example.n_rows} rows.",
            fix="Deploy a model that predicts one value for each row.",
        )
