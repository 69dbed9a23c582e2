"""An endpoint's copy of a model is changed between its check and its load."""

import contextlib
import importlib
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LinearRegression

from nbmlops.deployment import actions, endpoints, records
from nbmlops.errors import DeployError, NbmlopsError
from nbmlops.lifecycle.deploy import deploy, undeploy
from nbmlops.store.models.files import save_model
from tests.crafted import crafted
from tests.crafted_folders.skops_files import calls
from tests.deployment.conftest import stop_endpoints

pytestmark = pytest.mark.server
MODULE = "changed_own"
SOURCE = """
from sklearn.dummy import DummyRegressor

class Own(DummyRegressor):
    pass
"""
PAUSE_S = 0.002
LARGE = 30_000_000  # bytes that are read between a check of the code and its end


class Change:
    """Changes a folder and back, again and again if it is to."""

    def __init__(self, folder: Path, evil: Path) -> None:
        self.folder, self.evil = folder, evil
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def apply(self):
        raise NotImplementedError

    def undo(self):
        raise NotImplementedError

    def _go_on(self):
        while not self._is_over.is_set():
            for act in (self.apply, self.undo):
                with contextlib.suppress(OSError):  # it is not there yet, or gone
                    act()
                time.sleep(PAUSE_S)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()


class Replaced(Change):
    names = ()

    def apply(self):
        self._take("bad")

    def undo(self):
        self._take("good")

    def _take(self, kind):
        for name in self.names:
            beside = self.folder / f"{name}.new"
            shutil.copyfile(self.evil / kind / name, beside)
            beside.replace(self.folder / name)


class Code(Replaced):
    """The code is replaced"""

    names = (f"code/{MODULE}.py",)


class Skops(Replaced):
    """The model's file is replaced"""

    names = ("model.skops",)


class Loader(Replaced):
    """MLmodel is replaced, and names another loader"""

    names = ("MLmodel", "code/evil.py")


class Linked(Change):
    """The code becomes a link to a file outside"""

    def apply(self):
        self._link("bad")

    def undo(self):
        self._link("good")

    def _link(self, kind):
        name = f"code/{MODULE}.py"
        (beside := self.folder / f"{name}.new").symlink_to(self.evil / kind / name)
        beside.replace(self.folder / name)


class Package(Change):
    """A link to a package hides the module"""

    def apply(self):
        (self.folder / "code" / MODULE).symlink_to(self.evil / "package")

    def undo(self):
        (self.folder / "code" / MODULE).unlink()


class Folder(Change):
    """The folder becomes a link to another"""

    def apply(self):
        self.folder.rename(self.folder.with_name("aside"))
        self.folder.symlink_to(self.evil / "bad")

    def undo(self):
        self.folder.unlink()
        self.folder.with_name("aside").rename(self.folder)


CHANGES = (Code, Skops, Loader, Linked, Package, Folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, frame):
    """Return folders: of good models, of the same with bad code, and a bad package."""
    root = tmp_path_factory.mktemp("evil")
    canary = root / "canary"
    source = f"open({str(canary)!r}, 'w').close()\n"
    (root / f"{MODULE}.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        own = importlib.import_module(MODULE).Own().fit(frame, frame.a)
        for name, model in (("own", own), ("plain", LinearRegression())):
            (good := root / name / "good").mkdir(parents=True)
            save_model(model.fit(frame, frame.a), good, frame, trust=(MODULE,))
    for folder in (root / "own", root / "plain"):
        good, bad = folder / "good", folder / "bad"
        (good / "code").mkdir(exist_ok=True)
        (good / "code" / f"{MODULE}.py").write_text(SOURCE)
        (good / "code" / "evil.py").touch()
        (good / "weights.bin").write_bytes(bytes(LARGE))
        shutil.copytree(good, bad)
        (bad / "code" / f"{MODULE}.py").write_text(source + SOURCE)
        (bad / "code" / "evil.py").write_text(source)
        command = calls("posix.system", f"touch '{canary}'")["constructor"]
        (bad / "model.skops").write_bytes(crafted(command))
        document = yaml.safe_load((good / "MLmodel").read_text())
        function = {"loader_module": "evil", "code": "code", "data": "."}
        document["flavors"] = {"pytorch": {"code": "code"}, "python_function": function}
        (bad / "MLmodel").write_text(yaml.safe_dump(document))
        (folder / "package").mkdir()
        (folder / "package" / "__init__.py").write_text(source + SOURCE)
    return root


@pytest.fixture(scope="module", autouse=True)
def registered(registry, folders):
    """Register two versions of each good model with MLflow's client."""
    for name in ("own", "plain"):
        registry.client.create_registered_model(name)
        for _ in range(2):
            source = (folders / name / "good").as_uri()
            registry.client.create_model_version(name, source=source)


@pytest.fixture
def attempt(store, folders):
    """Return what tries something: whether bad code ran, and what came of it."""

    def run(act, *arguments):
        canary = folders / "canary"
        canary.unlink(missing_ok=True)
        outcome = "served"
        try:
            act(*arguments)
        except NbmlopsError as error:
            is_seen = "has been changed" in error.problem
            outcome = "refused as changed" if is_seen else "refused"
            if not error.fix or "Traceback" in str(error):
                outcome = "refused unclearly"
        for each in endpoints.list_endpoints(store.settings):
            undeploy(each.name, store=store)
        for name in ("own", "plain"):  # what was changed as it was removed
            shutil.rmtree(records.root(store.settings) / name, ignore_errors=True)
        return canary.exists(), outcome

    return run


def copy_of(store, name, version=1):
    return records.root(store.settings) / name / f"versions/{version}/model"


def some_or_all(some, all_):
    return pytest.mark.parametrize(
        "n_trials",
        [pytest.param(some, id="some"), pytest.param(all_, marks=pytest.mark.slow)],
    )


def report(line, ran, outcomes):
    counted = ", ".join(f"{n} {kind}" for kind, n in Counter(outcomes).items())
    sys.stdout.write(f"{ran} run  {line}: {len(outcomes)} tried, {counted}\n")
    assert outcomes
    assert not ran
    assert "refused unclearly" not in outcomes


@some_or_all(1, 30)
@pytest.mark.parametrize("name", ["own", "plain"])
def test_changed_again_and_again_while_it_is_deployed(
    store, folders, attempt, name, n_trials
):
    def act(change):
        with change(copy_of(store, name), folders / name):
            deploy(f"{name}/1", trust=name == "own", store=store)

    for change in CHANGES:
        tried = [attempt(act, change) for _ in range(n_trials)]
        line = f"{change.__doc__} while {name} is deployed"
        report(line, sum(ran for ran, _ in tried), [outcome for _, outcome in tried])


# What has the model loaded again, once its copy is another.


def kill_the_worker(store, change):
    handle = deploy("own/1", trust=True, store=store)
    change(copy_of(store, "own")).apply()
    os.kill(handle.endpoint.pid, signal.SIGKILL)
    says_why(store)


def restart_all(store, change):
    deploy("own/1", trust=True, store=store)
    change(copy_of(store, "own")).apply()
    stop_endpoints(store.settings)
    actions.bring_up(store.settings)
    says_why(store)


def roll_back(store, change):
    deploy("own/1", trust=True, store=store)
    deploy("own/2", trust=True, store=store)
    change(copy_of(store, "own")).apply()
    actions.roll_back(store.settings, "own")


def promote(store, change):
    deploy("own/1", trust=True, store=store)
    deploy("own/2", trust=True, canary=0.5, store=store)
    change(copy_of(store, "own", 2)).apply()
    actions.promote(store.settings, "own")


def explain(store, change):
    handle = deploy("own/1", trust=True, store=store)
    handle.predict(pd.DataFrame({"a": [1.0], "b": [2.0]}))
    deadline = time.monotonic() + 60
    while handle.log().frame(["request_id"]).empty:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    change(copy_of(store, "own")).apply()
    handle.explain(handle.log().frame(["request_id"]).request_id.iloc[0])


def says_why(store):
    """Return what the endpoint says of itself, as an error."""
    deadline = time.monotonic() + 60
    while "has been changed" not in (
        message := endpoints.get_endpoint(store.settings, "own").message
    ):
        assert time.monotonic() < deadline, message
        time.sleep(0.05)
    raise DeployError(message, fix="Deploy it again.")


@some_or_all(1, 3)
@pytest.mark.parametrize(
    "act", [kill_the_worker, restart_all, roll_back, promote, explain]
)
def test_changed_before_it_is_loaded_again(store, folders, attempt, act, n_trials):
    for change in CHANGES if n_trials > 1 else (Code,):
        made = partial(change, evil=folders / "own")
        tried = [attempt(act, store, made) for _ in range(n_trials)]
        line = f"{change.__doc__} and then: {act.__name__.replace('_', ' ')}"
        report(line, sum(ran for ran, _ in tried), [outcome for _, outcome in tried])
        assert {outcome for _, outcome in tried} == {"refused as changed"}


def test_a_changed_copy_is_served_again_once_it_is_deployed_again(
    store, folders, frame
):
    handle = deploy("own/1", trust=True, store=store)
    Code(copy_of(store, "own"), folders / "own").apply()
    os.kill(handle.endpoint.pid, signal.SIGKILL)
    with pytest.raises(DeployError, match="Deploy the version again"):
        says_why(store)
    again = deploy("own/1", trust=True, store=store)
    assert len(again.predict(frame.head(2))) == 2
    assert not (folders / "canary").exists()
    # A killed worker's copy is gone, and that of the next is there.
    left = {path.name for path in copy_of(store, "own").parent.iterdir()}
    assert left == {"model", f"nbmlops-loaded-{again.endpoint.pid}"}
