"""A Jupyter server with the extension, over a project with something in it."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import nbmlops as nm
from nbmlops.config import Settings
from nbmlops.entities import Order
from nbmlops.store import artifacts, connect, embedded
from nbmlops.store.models.models import log_model
from nbmlops.store.runs.queries import get_run
from nbmlops.store.runs.runs import create_run, end_run, log_values

SAMPLES = Path(__file__).parent / "samples"
NOTEBOOK = "notebooks/credit study.ipynb"


@pytest.fixture
def jp_server_config():
    return {
        "ServerApp": {
            "jpserver_extensions": {"nbmlops": True},
            "allow_unauthenticated_access": False,
        }
    }


@pytest.fixture
def jp_root_dir(project):
    (project / "notebooks").mkdir()
    return project


@pytest.fixture
def http_server_client(http_server_client):
    """Let more than tornado's ten requests be under way at once."""
    http_server_client.max_clients = 100
    return http_server_client


@pytest.fixture
def call(jp_fetch):
    """Return a function that asks a route and returns status and document."""

    async def ask(method, route, body=None, **query):
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        response = await jp_fetch(
            "nbmlops/api",
            route,
            method=method,
            params=query,
            body=content,
            headers={"Content-Type": "application/json"},
            raise_error=False,
            allow_nonstandard_methods=True,
        )
        return response.code, json.loads(response.body or b"null")

    return ask


@pytest.fixture
def record(store):
    """Return a function that records a finished run of the notebook."""

    def add(name, **options):
        return add_run(store, name, **options)

    return add


def add_run(store, name, *, with_model=True, source=NOTEBOOK, cells=(), **metrics):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"Age": rng.normal(size=40), "Income": rng.normal(size=40)})
    run_id = create_run(
        store,
        name=name,
        experiment="main",
        tags={
            "nbmlops.kind": "cell",
            "mlflow.source.name": source,
            **Order(cells=cells).tags(),
        },
    )
    log_values(store, run_id, params={"C": 1.0}, metrics=metrics)
    if with_model:
        labels = np.where(frame.Age > 0, "good", "bad")
        log_model(store, run_id, LogisticRegression().fit(frame, labels), frame)
    end_run(store, run_id, "FINISHED")
    return get_run(store, run_id)


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    """Return a store with two versions, an alias, and a run without a model."""
    store = connect(Settings(project=tmp_path_factory.mktemp("filled")))
    first = add_run(store, "baseline", roc_auc=0.79)
    nm.register("credit", run=first, store=store)
    second = add_run(
        store, "boosting", cells=(3, 7), roc_auc=0.83, log_loss=float("inf")
    )
    nm.register("credit", run=second, alias="champion", store=store)
    nm.register("Churn", run=first, store=store)
    plain = add_run(store, "no model", with_model=False, roc_auc=float("nan"))
    content = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    artifacts.log_bytes(store, plain.run_id, content, "nbmlops/notebook.ipynb")
    return store, SimpleNamespace(first=first, second=second, plain=plain)


@pytest.fixture
def recorded(filled, project):
    """Return the runs of a copy of that store, which is the project's."""
    store, runs = filled
    with (
        closing(sqlite3.connect(embedded.database(store.settings.home))) as source,
        closing(sqlite3.connect(embedded.database(project / ".nbmlops"))) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = WAL")
    return runs


@pytest.fixture
def keep_sample(project):
    """Return a function that writes an answer as a sample, the same at every run."""

    def keep(name, document):
        text = json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True)
        text = text.replace(str(project), "/home/ada/study")
        for number, found in enumerate(
            dict.fromkeys(re.findall(r"\b[0-9a-f]{32}\b", text)), start=1
        ):
            text = text.replace(found, f"{number:032x}")
        text = re.sub(r'"\d{4}-\d\d-\d\dT[\d:.]+Z"', '"2026-11-20T10:00:00Z"', text)
        text = re.sub(r'"port": \d+', '"port": 43210', text)
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:43210", text)
        text = re.sub(r'"pid": \d+', '"pid": 4321', text)
        text = re.sub(r'"version": "\d[^"]*"', '"version": "0.0.0"', text)
        path = SAMPLES / f"{name}.json"
        if not path.exists() or path.read_text("utf-8") != text + "\n":
            path.write_text(text + "\n", "utf-8")
        return document

    return keep


def nbmlops_rules(serverapp):
    """Return the rules of the router that nbmlops added."""

    def walk(rules):
        for rule in rules:
            if hasattr(rule.target, "rules"):
                yield from walk(rule.target.rules)
            elif rule.target.__module__.startswith("nbmlops."):
                yield rule

    return list(walk(serverapp.web_app.default_router.rules))


def pytest_collection_modifyitems(items):
    """Mark the tests of this folder: they start a server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.server)
