"""The files that a run opened, as it found them: digests, and copies for replays."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

from nbmlops.tracking.provenance.cells import is_local
from nbmlops.tracking.provenance.opened_files import Opened

LARGEST_BYTES = 100_000_000
"""Larger files are named, but neither hashed nor kept."""
_MOST_BYTES = 500_000_000  # that are hashed for a run: its cell waits for it
_MOST_FILES = 1000
_CLOCK_S = 0.02  # the clock of files may run so far behind
_CODE = (".py",)
_OF_THE_SYSTEM = tuple(
    map(Path, ("/proc", "/sys", "/dev", "/run", "/etc", "/usr", sys.base_prefix))
)
_SECRET_NAME = re.compile(
    r"(^|[._-])(id_(rsa|dsa|ecdsa|ed25519)|credentials?|secrets?|passwords?|passwd|"
    r"htpasswd|kubeconfig|client[_-]secret|service[_-]account)([._-]|$)"
    r"|(^|[._-])token(\.(json|txt))?$"
    r"|\.(pem|key|p8|p12|pfx|jks|keystore|kdbx|ppk)$",
    re.IGNORECASE,
)
_SECRET_HEAD = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
_HEAD_BYTES = 4096
_GIT_TIMEOUT_S = 10
_copying: list[threading.Thread] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """A file that the cells of a run opened, or a module of the project's they load."""

    path: str
    role: Literal["data", "code", "made"]
    size_bytes: int
    sha256: str | None


def opened_files(opened: Iterable[Opened], *, project: Path) -> tuple[OpenedFile, ...]:
    """Return the files that cells opened, and the project's own loaded modules.

    Left out are files that are gone, or no regular files; what is hidden, holds a key
    or has the name of one; what is installed or the system's; notebooks.
    """
    first: dict[str, float] = {}
    for each in opened:
        for path, at in each.copy().items():  # other threads may open
            first.setdefault(path, at)
    found: dict[str, OpenedFile] = {}
    budget = _MOST_BYTES
    for path, at in first.items():
        file = _opened_file(Path(path), project, at, budget)
        if file is not None:
            found[file.path] = file
            budget -= file.size_bytes if file.sha256 else 0
            if len(found) == _MOST_FILES:
                break
    for name, module in sys.modules.copy().items():  # other threads may import
        if "." not in name and is_local(name, project):
            for source in _sources(Path(str(module.__file__))):
                file = _opened_file(source, project, None, LARGEST_BYTES)
                if file is not None:
                    found[file.path] = file
    return tuple(found[path] for path in sorted(found))


def keep(files: Sequence[OpenedFile], *, project: Path, home: Path) -> None:
    """Begin to copy files that are not kept yet below ``home/data``, by their content.

    What is outside of the project, or git ignores, is not copied: no copy can stand
    in for the one, and the other is not for others to have.
    """
    wanted = {
        file.path: file.sha256
        for file in files
        if file.sha256 and file.role != "made" and not Path(file.path).is_absolute()
        if not kept_copy(home, file.sha256).exists()
    }
    if wanted:
        thread = threading.Thread(
            target=_copy_all, args=(wanted, project, home), name="nbmlops-copies"
        )
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends
            _copy_all(wanted, project, home)
        else:
            _copying.append(thread)


def wait_for_copies() -> None:
    """Wait until all is copied, before anything changes the files."""
    while _copying:
        _copying.pop().join()


def kept_copy(home: Path, sha256: str) -> Path:
    """Return where the copy of a content is, if it was kept."""
    return home / "data" / sha256[:2] / sha256


def digest(path: Path) -> str | None:
    """Return the sha256 of a file, or None when it is gone, no file or too large."""
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_BYTES:
        return None
    return _digest(path, found.st_mtime_ns, found.st_size)[0]


@lru_cache(maxsize=4096)
def _digest(path: Path, _changed_ns: int, _size: int) -> tuple[str | None, bool]:
    """Return the sha256 of a file, and whether it holds a private key."""
    try:
        with _open(path) as file:
            head = file.read(_HEAD_BYTES)
            whole = hashlib.sha256(head)
            n_bytes = len(head)
            while part := file.read(1 << 20):
                whole.update(part)
                n_bytes += len(part)
                if n_bytes > LARGEST_BYTES:
                    return None, False
    except OSError:
        return None, False
    return whole.hexdigest(), _SECRET_HEAD.search(head) is not None


def _open(path: Path) -> BinaryIO:
    """Open a regular file; a pipe that has taken its place is not waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(fd, "rb")


def _opened_file(
    path: Path, project: Path, opened_at: float | None, most_bytes: int
) -> OpenedFile | None:
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    is_inside = path.is_relative_to(project)
    is_foreign_code = path.suffix in _CODE and not is_inside
    if path.suffix in (".ipynb", ".pyc") or is_foreign_code:
        return None
    if path == project / "pyproject.toml":  # where nbmlops looks for its settings
        return None
    try:
        status = path.stat()
        real = path.resolve()
    except (OSError, RuntimeError):
        return None
    if not stat.S_ISREG(status.st_mode) or not _may_be_listed(path, real, project):
        return None
    role: Literal["data", "code", "made"] = "data"
    if opened_at is None or path.suffix in _CODE:
        role = "code"
    elif status.st_mtime >= opened_at - _CLOCK_S:
        role = "made"
    sha256 = None
    if status.st_size <= min(LARGEST_BYTES, most_bytes):
        sha256, is_secret = _digest(path, status.st_mtime_ns, status.st_size)
        if is_secret:
            return None
    return OpenedFile(
        path=path.relative_to(project).as_posix() if is_inside else path.as_posix(),
        role=role,
        size_bytes=status.st_size,
        sha256=sha256,
    )


def _may_be_listed(path: Path, real: Path, project: Path) -> bool:
    """Return whether a path, and what it links to, is neither hidden nor a key.

    Files of the system or the environment are not listed.
    """
    for each, root in ((path, project), (real, _resolved(project))):
        is_inside = each.is_relative_to(root)
        parts = each.relative_to(root).parts if is_inside else each.parts
        is_hidden = any(part.startswith(".") for part in parts)
        if is_hidden or _SECRET_NAME.search(each.name):
            return False
        if not is_inside and any(map(each.is_relative_to, _OF_THE_SYSTEM)):
            return False
    return not path.is_relative_to(sys.prefix) or project.is_relative_to(sys.prefix)


@lru_cache(maxsize=16)
def _resolved(project: Path) -> Path:
    return project.resolve()


def _sources(module: Path) -> Iterator[Path]:
    """Yield the files of a module; of a package, all below its folder."""
    if module.name != "__init__.py":
        yield module
        return
    yield from (p for p, _ in zip(module.parent.rglob("*.py"), range(_MOST_FILES)))  # noqa: B905


def _copy_all(wanted: Mapping[str, str], project: Path, home: Path) -> None:
    for path in _not_ignored(wanted, project):
        with suppress(OSError):  # what is not kept cannot be replayed from: it is said
            _copy(project / path, kept_copy(home, wanted[path]), wanted[path])


def _copy(source: Path, target: Path, sha256: str) -> None:
    """Copy a file that still has its content, and let no more people read the copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fd, draft = tempfile.mkstemp(dir=target.parent)  # for this user alone
    try:
        with _open(source) as file, os.fdopen(fd, "wb") as copy:
            shutil.copyfileobj(file, copy)
            os.fchmod(copy.fileno(), os.fstat(file.fileno()).st_mode & 0o666)
        if digest(Path(draft)) == sha256:
            Path(draft).replace(target)
    finally:
        Path(draft).unlink(missing_ok=True)


def _not_ignored(paths: Iterable[str], project: Path) -> list[str]:
    """Return the paths that git does not ignore; none when it cannot be asked."""
    paths = list(paths)
    if not any((folder / ".git").exists() for folder in (project, *project.parents)):
        return paths
    asked = {path: _as_git_sees(path, project) for path in paths}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=", "check-ignore", "-z", "--stdin"],  # noqa: S607
            cwd=project,
            input="\0".join(asked.values()).encode(errors="surrogateescape"),
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode not in (0, 1):  # some are ignored, or none
        return []
    ignored = done.stdout.decode(errors="surrogateescape").split("\0")
    return [path for path in paths if asked[path] not in ignored]


def _as_git_sees(path: str, project: Path) -> str:
    """Return a path up to its first link, behind which git does not look."""
    parts = Path(path).parts
    for n in range(1, len(parts)):
        if project.joinpath(*parts[:n]).is_symlink():
            return str(Path(*parts[:n]))
    return path
