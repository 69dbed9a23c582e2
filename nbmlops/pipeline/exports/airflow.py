"""A pipeline as a DAG file of Airflow 3."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nbmlops.config import Settings
from nbmlops.entities import PipelineSpec, Step
from nbmlops.pipeline.exports.command import crons_of, limit_s

_HEAD = '''
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, task
{imports}
try:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
except ImportError:  # an older Airflow 3
    from airflow.exceptions import AirflowException, AirflowFailException

FOLDER = {folder}
COMMAND = {words}


def run_step(name):
    """Run one step; what it needs is done, and kept in the project's cache."""
    words = [*COMMAND, "--no-retries", "--step", name]
    code = subprocess.run(words, cwd=FOLDER, check=False).returncode
    if code == 75:
        raise AirflowException(f"Step {{name!r}} failed, and may be tried again.")
    if code != 0:
        raise AirflowFailException(f"Step {{name!r}} ended with exit code {{code}}.")


with DAG(
    dag_id={dag_id},
    description={description},
    schedule={schedule},
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["nbmlops"],
) as dag:
    steps = {{
'''


def write(
    spec: PipelineSpec, words: list[str], settings: Settings, path: Path | None
) -> str:
    """Return the text of a DAG file: a task a step, with its retries and its limit."""
    crons = crons_of(spec)
    several = f"MultipleCronTriggerTimetable({', '.join(map(repr, crons))}, "
    schedule = {0: "None", 1: repr(crons[0] if crons else None)}.get(
        len(crons), several + 'timezone="UTC")'
    )
    module = "from airflow.timetables.trigger import MultipleCronTriggerTimetable\n"
    text = _HEAD.format(
        imports=module if len(crons) > 1 else "",
        folder=_folder(Path(spec.path).parent, settings.project, path),
        words=repr(words),
        dag_id=repr(re.sub(r"[^A-Za-z0-9_.-]", "_", spec.name)[:250]),
        description=repr(f"Pipeline {spec.name}"),
        schedule=schedule,
    )
    for step in spec.steps:
        options = "".join(f"            {each},\n" for each in _options(step))
        text += f"        {step.name!r}: task(\n{options}        )(run_step)"
        text += f"({step.name!r}),\n"
    text += "    }\n"
    for step in spec.steps:
        for name in step.needs:
            text += f"    steps[{name!r}] >> steps[{step.name!r}]\n"
    return text


def _folder(folder: Path, project: Path, path: Path | None) -> str:
    if path is None or not path.is_relative_to(project):
        return f"Path({str(folder)!r})"
    way = Path(os.path.relpath(folder, path.parent)).as_posix()
    return f"(Path(__file__).parent / {way!r}).resolve()"


def _options(step: Step) -> list[str]:
    found = [f"task_id={step.name!r}", f"retries={step.retries}"]
    if step.retries:
        found += [
            f"retry_delay=timedelta(seconds={step.retry_wait_s!r})",
            "retry_exponential_backoff=True",
            "max_retry_delay=timedelta(seconds=60)",
        ]
    seconds = limit_s(step, attempts=1)
    if seconds is not None:
        found.append(f"execution_timeout=timedelta(seconds={seconds!r})")
    return found
