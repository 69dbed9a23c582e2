"""A JupyterLab server on a project of its own, and a browser before it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.ports import free_port
from tests.ui.lab import Lab

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "test-output"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 30_000
QUIET = {"fetchNews": "false", "checkForUpdates": False}


@dataclass(frozen=True)
class Server:
    """A running JupyterLab."""

    url: str
    token: str
    root: Path


@pytest.fixture(autouse=True)
def jp_asyncio_loop():
    """Stand in for pytest-jupyter's loop, which the browser's cannot share."""


@pytest.fixture(autouse=True)
def jp_server_cleanup():
    """Stand in for pytest-jupyter's clean-up, which needs its loop."""


@pytest.fixture
def own_folders(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which Jupyter reads and writes below tmp_path."""
    return folders_in(tmp_path)


def folders_in(tmp_path: Path) -> dict[str, str]:
    """Return the same for any folder."""
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    folders = {name: str(tmp_path / "jupyter" / sub) for name, sub in names.items()}
    for folder in folders.values():
        Path(folder).mkdir(parents=True)
    news = Path(folders["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab/apputils-extension")
    news.mkdir(parents=True)
    (news / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    # A module's server begins before its first test has forgotten the one before.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    return clean | folders


@pytest.fixture
def server(
    request: pytest.FixtureRequest, tmp_path: Path, own_folders
) -> Iterator[Server]:
    """Start JupyterLab on a project with the quickstart in it.

    Parametrize indirectly with command-line options to add.
    """
    with serving(tmp_path, own_folders, *getattr(request, "param", ())) as server:
        yield server


@contextmanager
def serving(
    tmp_path: Path, own_folders: dict[str, str], *options: str
) -> Iterator[Server]:
    """Give a JupyterLab that runs in a folder, and end it."""
    root = tmp_path / "loans of a bank"
    (root / ".nbmlops").mkdir(parents=True)
    (root / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "quickstart.ipynb", root / "notebooks")
    # The extension built in this tree, whichever one the environment has.
    built = tmp_path / "jupyter" / "labextensions"
    built.mkdir()
    (built / "nbmlops").symlink_to(ROOT / "nbmlops" / "labextension")
    port, token = free_port(), secrets.token_hex(8)
    command = [
        sys.executable, "-m", "jupyter", "lab", "--allow-root", "--no-browser",
        "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}", "--ServerApp.base_url=/user/me/",
        "--LabApp.extension_manager=readonly", "--LabApp.expose_app_in_browser=True",
        f"--LabServerApp.extra_labextensions_path={built}",
        *options,
    ]  # fmt: skip
    log = tmp_path / "jupyter" / "server.log"
    with log.open("w") as written:
        process = subprocess.Popen(
            command, cwd=root, env=own_folders, stdout=written, stderr=written
        )
    url = f"http://127.0.0.1:{port}/user/me/"
    try:
        _wait_until_it_answers(f"{url}api", process, log)
        yield Server(url, token, root)
    finally:
        _undeploy_all(root)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="package")  # its loop must not outlive these tests
def browser() -> Iterator[Browser]:
    """Start the machine's own chromium."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def lab(server: Server, browser: Browser) -> Iterator[Lab]:
    """Return JupyterLab in a fresh page."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    lab = Lab(page, server.root, server.url, server.token)
    yield lab
    context.close()


def _wait_until_it_answers(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def _undeploy_all(root: Path) -> None:
    from nbmlops.config import load_settings
    from nbmlops.deployment import actions, endpoints

    settings = load_settings(root)
    for endpoint in endpoints.list_endpoints(settings):
        actions.undeploy(settings, endpoint.name)
