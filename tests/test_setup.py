"""Setting the project up: its Makefile, its installer and its wheel."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.wheels import plant

ROOT = Path(__file__).parents[1]
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"
INSTALL = ROOT / "scripts" / "install.py"


def load_installer():
    spec = importlib.util.spec_from_file_location("install", INSTALL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def planned(folder, *words):
    """Return the commands that make would run in a clone without a .venv."""
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("constraints.txt", "pyproject.toml", "hatch_build.py"):
        (folder / name).touch()
    return subprocess.run(
        ["make", "-n", *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def test_demo_without_jupyterlab_builds_no_extension_and_needs_no_node(tmp_path):
    commands = planned(tmp_path, "demo", "LAB=0")
    assert "install.py core" in commands
    assert "demo --no-lab" in commands
    assert all(word not in commands for word in ("jlpm", "node", "extension", "tools"))


def test_demo_builds_the_extension_while_it_runs(tmp_path):
    commands = planned(tmp_path, "demo")
    assert "--before-lab 'make .venv/extension'" in commands
    assert "jlpm" not in commands


def test_tests_are_set_up_whole(tmp_path):
    commands = planned(tmp_path, "test")
    for word in (
        "install.py core",
        "install.py tools",
        "install.py node",
        "jlpm build",
    ):
        assert word in commands


def test_uv_is_given_what_pip_is_configured_with():
    installer = load_installer()
    listed = (
        "global.index-url='https://first.test/simple'\n"
        "global.timeout='15'\n"
        "global.extra-index-url='\\nhttps://a.test/simple\\nhttps://b.test/simple'\n"
        "install.index-url='https://second.test/simple'\n"
        "install.trusted-host='first.test second.test'\n"
        f"install.find-links='{ROOT / 'docs'} {ROOT / 'missing'} https://c.test/'\n"
        "wheel.index-url='https://wrong.test/simple'\n"
        ":env:.proxy='proxy.test:3128'\n"
        f":env:.cert='{ROOT / 'README.md'}'\n"
    )
    options = installer.read_pip_options(listed)
    environ = {"UV_HTTP_TIMEOUT": "600", "REQUESTS_CA_BUNDLE": "unused", "KEPT": "1"}
    assert installer.uv_environ(environ, options) == environ | {
        "UV_DEFAULT_INDEX": "https://second.test/simple",
        "UV_INDEX": "https://a.test/simple https://b.test/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "first.test second.test",
        "UV_FIND_LINKS": f"{ROOT / 'docs'},https://c.test/",
        "UV_SYSTEM_CERTS": "true",
        "HTTP_PROXY": "http://proxy.test:3128",
        "HTTPS_PROXY": "http://proxy.test:3128",
        "SSL_CERT_FILE": str(ROOT / "README.md"),
    }


@pytest.fixture
def clone(tmp_path):
    """Return a folder with the installer, a lock of one package and a Python."""
    plant(tmp_path, "planted", "3.0")
    wheel = tmp_path / "planted-3.0-py3-none-any.whl"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    uv = re.search(r"(?m)^uv==(.*\\\n)*.*", lock)[0]
    (tmp_path / "constraints.txt").write_text(
        f"{uv}\n# ---- tools: a test ----\nplanted==3.0 --hash=sha256:{digest}\n"
    )
    (tmp_path / "scripts").mkdir()
    shutil.copy(INSTALL, tmp_path / "scripts")
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", tmp_path / "own"], check=True
    )
    site = tmp_path / "own" / "lib" / VERSION / "site-packages"
    # pip and uv are those of the tests.
    (site / "tests.pth").write_text(sysconfig.get_path("purelib"))
    return tmp_path


def install(clone, **environ):
    python = clone / "own" / "bin" / "python"
    environ = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": clone} | environ
    done = subprocess.run(
        [python, clone / "scripts" / "install.py", "tools"],
        env={name: str(value) for name, value in environ.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    site = clone / "own" / "lib" / VERSION / "site-packages"
    return done, (site / "planted.py").exists(), any(site.rglob("planted.*.pyc"))


def test_uv_installs_from_where_pip_would_and_compiles(clone):
    done, is_there, is_compiled = install(clone)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert is_there
    assert is_compiled


def test_pip_installs_where_uv_cannot(clone):
    done, is_there, _ = install(clone, UV_CACHE_DIR=INSTALL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("uv does not work here: pip installs the packages")
    assert is_there


def test_what_has_another_hash_is_not_installed(clone):
    lock = clone / "constraints.txt"
    text = lock.read_text()
    lock.write_text(text[:-2] + ("0" if text[-2] != "0" else "1") + "\n")
    done, is_there, _ = install(clone)
    assert done.returncode == 1
    assert not is_there


def extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["optional-dependencies"]


def test_all_names_every_extra_but_catboost_and_ray():
    from packaging.requirements import Requirement

    (named,) = map(Requirement, extras()["all"])
    assert named.extras == set(extras()) - {"all", "catboost", "dev", "ray"}


def test_wheel_with_all_extras_is_installed_without_node(tmp_path):
    """Where it is installed, there are no tools, no Node and no clone."""
    build = (
        "import hatchling.build; hatchling.build.build_wheel(__import__('sys').argv[1])"
    )
    as_built = os.environ | {"SKIP_JUPYTER_BUILDER": "1"}
    words = [sys.executable, "-c", build, tmp_path]
    subprocess.run(words, cwd=ROOT, env=as_built, check=True)
    (wheel,) = tmp_path.glob("nbmlops-*.whl")
    own = tmp_path / "own"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", own], check=True)
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", own]
    installer = load_installer()
    environ = {**os.environ, "PATH": str(own / "bin")}
    subprocess.run(
        [*uv, f"nbmlops[all] @ {wheel.as_uri()}", "-c", ROOT / "constraints.txt"],
        env=installer.uv_environ(environ, installer.pip_options()),
        check=True,
    )

    def run(*words):
        command = [own / "bin" / words[0], *words[1:]]
        return subprocess.run(
            command,
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )

    assert "quickstart" in run("nbmlops", "demo", "--help").stdout
    listed = run("jupyter", "labextension", "list")
    assert "nbmlops v" in listed.stdout + listed.stderr
    config = own / "etc" / "jupyter" / "jupyter_server_config.d" / "nbmlops.json"
    extensions = json.loads(config.read_text())["ServerApp"]["jpserver_extensions"]
    assert extensions == {"nbmlops": True}
    engine = "entry_points(group='papermill.engine')['nbmlops'].load()"
    run("python", "-c", f"from importlib.metadata import entry_points; {engine}")
    shipped = own / "lib" / VERSION / "site-packages" / "nbmlops" / "notebooks"
    assert (shipped / "quickstart.ipynb").is_file()
