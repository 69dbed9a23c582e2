"""Which lines of other people's repositories are masked: ``masking.py FOLDER``.

FOLDER holds git repositories, with a work tree or without. Each masked line is printed
before and after, to be read by a person: does it hold a secret, or what stands for one?
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from nbmlops._masking import MASK, mask

KINDS = (".py", ".ipynb", ".md", ".rst", ".yaml", ".yml", ".toml", ".json", ".cfg",
         ".ini", ".sh", ".env", ".txt", ".ts", ".js", ".html")  # fmt: skip
LARGEST_BYTES = 400_000


def texts_of(repository: Path) -> Iterator[tuple[str, str]]:
    """Yield the path and text of the files of a repository's newest commit."""
    git = ["git", "-C", str(repository)]
    listed = subprocess.run(
        [*git, "ls-tree", "-rl", "HEAD"], capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        about, _, path = line.partition("\t")
        _, kind, sha, size = about.split()
        is_small = size.isdigit() and int(size) < LARGEST_BYTES
        if kind == "blob" and path.endswith(KINDS) and is_small:
            content = subprocess.run(
                [*git, "cat-file", "blob", sha], capture_output=True, check=True
            )
            yield path, content.stdout.decode("utf-8", "replace")


def main(folder: Path) -> None:
    """Print the masked lines of all repositories below a folder, and their number."""
    found = {
        path.parent for path in folder.rglob("HEAD") if (path.parent / "refs").is_dir()
    }
    n_lines = n_chars = n_masked = 0
    seconds = 0.0
    for repository in sorted(found):
        for path, text in texts_of(repository):
            began = time.perf_counter()
            masked = mask(text)
            seconds += time.perf_counter() - began
            n_lines += text.count("\n")
            n_chars += len(text)
            n_masked += sum(MASK in line for line in masked.splitlines())
            if masked != text:
                pairs = zip(text.splitlines(), masked.splitlines(), strict=False)
                for before, after in pairs:
                    if MASK in after and before != after:
                        print(
                            f"{path}: {before.strip()[:120]}\n  {after.strip()[:120]}"
                        )
    print(
        f"{len(found)} repositories, {n_lines:,} lines, {n_masked:,} masked, "
        f"{n_chars / 1e6 / max(seconds, 1e-9):.0f} MB/s"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
