"""A systemd unit that starts a project's endpoints with the machine."""

from __future__ import annotations

import sys
from pathlib import Path

from nbmlops.errors import UsageError

_UNIT = """\
[Unit]
Description=Endpoints of {description}

[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory={folder}
ExecStart=:"{python}" -P -m nbmlops.cli endpoints up

[Install]
WantedBy=default.target
"""


def endpoints_unit(project: Path) -> str:
    """Return a user unit; it holds no settings of this process's environment."""
    # Of a program's own path systemd takes neither quotes nor backslashes.
    python = sys.executable
    for path in (str(project), python):
        has_quotes = path == python and set(path) & set("\"'\\")
        if has_quotes or not path.isprintable():
            raise UsageError(
                f"systemd takes no path such as {path!r}.", fix="Rename the folder."
            )
    return _UNIT.format(
        description=_literal(project.name),
        folder=_literal(str(project)),
        python=_literal(python),
    )


def _literal(text: str) -> str:
    return text.replace("%", "%%")
