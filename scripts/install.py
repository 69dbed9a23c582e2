"""Install parts of constraints.txt into this Python: by uv, or by pip where uv fails.

Run it with the names of the parts: `python scripts/install.py core tools`. The part
`node` is left out where a Node that can build the extension is there already.

uv itself comes by pip. It does not read pip's configuration, so it is given the index,
proxy and certificates that pip has.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
UV = (sys.executable, "-m", "uv", "pip")
OPTIONS = ("install", "--quiet", "--no-deps", "--require-hashes", "-r")
VARIABLES = {
    "index-url": ["UV_DEFAULT_INDEX"],
    "extra-index-url": ["UV_INDEX"],
    "find-links": ["UV_FIND_LINKS"],
    "trusted-host": ["UV_INSECURE_HOST"],
    "no-cache-dir": ["UV_NO_CACHE"],
    "timeout": ["UV_HTTP_TIMEOUT"],
    "default-timeout": ["UV_HTTP_TIMEOUT"],
    "retries": ["UV_HTTP_RETRIES"],
    "proxy": ["HTTP_PROXY", "HTTPS_PROXY"],
    "client-cert": ["SSL_CLIENT_CERT"],
}


def main() -> None:
    """Install the parts that the command line names."""
    parts = read_parts()
    wanted = [name for name in sys.argv[1:] if name != "node" or not has_node()]
    lines = "".join(parts[name] for name in wanted)
    if not lines:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "requirements.txt")
        if has_uv(parts["core"], file):
            file.write_text(lines, encoding="utf-8")
            if install_by_uv(file):
                return
        print("uv does not work here: pip installs the packages, which takes minutes")
        file.write_text(lines, encoding="utf-8")
        if subprocess.run([*PIP, *OPTIONS, file], check=False).returncode:
            sys.exit("The packages could not be installed.")


def read_parts() -> dict[str, str]:
    """Return the text of each part of the lock."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    core, *others = re.split(r"(?m)^# ---- (\w+).*\n", text)
    return {"core": core, **dict(zip(others[::2], others[1::2], strict=True))}


def has_node() -> bool:
    """Return whether no Node is needed from PyPI."""
    sys.path.append(str(ROOT))
    from hatch_build import has_node

    return has_node()


def has_uv(core: str, file: Path) -> bool:
    """Return whether the pinned uv is there; install it by pip if not."""
    entry = re.search(r"(?m)^uv==(\S+)(.*\\\n)*.*\n", core)
    if entry is None:
        return False
    try:
        if importlib.metadata.version("uv") == entry[1]:
            return True
    except importlib.metadata.PackageNotFoundError:
        pass
    file.write_text(entry[0], encoding="utf-8")
    words = [*PIP, "--quiet", *OPTIONS, file, "--only-binary=uv"]
    return subprocess.run(words, check=False).returncode == 0


def install_by_uv(file: Path) -> bool:
    """Return whether uv could install what the file names."""
    options = pip_options()
    words = [*UV, *OPTIONS, file, "--compile-bytecode", "--python", sys.executable]
    if options.get("no-index", "").lower() in ("1", "on", "true", "yes"):
        words.append("--no-index")
    environ = uv_environ(os.environ, options)
    return subprocess.run(words, env=environ, check=False).returncode == 0


def pip_options() -> dict[str, str]:
    """Return the options of `pip install` that this machine is configured with."""
    words = [*PIP, "config", "list"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return read_pip_options(done.stdout)


def read_pip_options(listed: str) -> dict[str, str]:
    """Return the options of `pip install` from the output of `pip config list`."""
    options: dict[str, str] = {}
    lines = re.findall(r"(?m)^(global|install|:env:)\.([\w-]+)=(.*)$", listed)
    for section in ("global", "install", ":env:"):
        for where, name, value in lines:
            if where == section:
                options[name] = ast.literal_eval(value)
    return options


def uv_environ(environ: Mapping[str, str], options: dict[str, str]) -> dict[str, str]:
    """Return the environment in which uv reaches what pip reaches."""
    options = dict(options)
    if links := options.get("find-links"):
        there = (link for link in links.split() if "://" in link or Path(link).exists())
        options["find-links"] = ",".join(there)
    if "://" not in (proxy := options.get("proxy", "://")):
        options["proxy"] = f"http://{proxy}"
    wanted = {
        variable: " ".join(value.split())
        for name, value in options.items()
        for variable in VARIABLES.get(name, [])
        if value.strip()
    }
    # pip asks all indexes for the best match; the hashes say what may be taken.
    wanted |= {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "true"}
    bundles = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    cert = options.get("cert") or next(filter(None, map(environ.get, bundles)), "")
    if cert:
        wanted["SSL_CERT_DIR" if Path(cert).is_dir() else "SSL_CERT_FILE"] = cert
    own = {name: value for name, value in environ.items() if name.startswith("UV_")}
    return {**environ, **wanted, **own}


if __name__ == "__main__":
    main()
