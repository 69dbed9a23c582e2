"""A model card: what was recorded of a model version, for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops._files import write_atomically
from nbmlops.entities import SignatureColumn, VersionDetail
from nbmlops.render.formats import format_bytes, format_number
from nbmlops.render.tables import Renderable
from nbmlops.render.templates import FOLDER, style_sheet

if TYPE_CHECKING:
    from jinja2 import Environment

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#|!~&])")
_SPACE = re.compile(r"\s+")
_MOST_PARAMS = 30


class ModelCard(Renderable):
    """What was recorded of a model version; the same facts give the same bytes.

    Parameters
    ----------
    detail : VersionDetail
        The facts.

    Attributes
    ----------
    markdown : str
        The card, under the usual headings of model cards (Mitchell et al., 2019). What
        was not recorded is said to be so.
    """

    def __init__(self, detail: VersionDetail) -> None:
        self._title = f"{detail.version.model}, version {detail.version.version}"
        text = (
            _environment()
            .get_template("model_card.md")
            .render(
                detail=detail,
                version=detail.version,
                params=list(_own_params(detail)),
                unknown=_Unknown,
            )
        )
        self.markdown = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

    @property
    def html(self) -> str:
        """The card as one file of HTML, which loads nothing and runs nothing."""
        return (
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
            f"<title>{escape(self._title)}</title>\n{style_sheet('model_card.css')}\n"
            f"<body>\n{self._repr_html_()}</body>\n</html>\n"
        )

    def save(self, path: str | Path) -> Path:
        """Write the card to a file: HTML where its name ends so, else Markdown.

        Parameters
        ----------
        path : str or Path
            The file; one that is there is replaced.

        Returns
        -------
        Path
            The file.
        """
        file = Path(path)
        is_html = file.suffix.lower() in (".html", ".htm")
        write_atomically(file, (self.html if is_html else self.markdown).encode())
        return file

    def __repr__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown

    def _repr_html_(self) -> str:
        import mistune

        render = mistune.create_markdown(escape=True, plugins=["table"])
        return str(render(self.markdown))


class _Unknown(str):
    """What stands where a fact was not recorded; it is no fact, and not escaped."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"*{super().__str__()}*"


def _own_params(detail: VersionDetail) -> list[tuple[str, str]]:
    """Return the params that the user chose; those of defaults are in the run."""
    run = detail.run
    hidden = set(run.autologged.default) if run else set()
    found = sorted(detail.version.params.items())
    return [each for each in found if each[0] not in hidden][:_MOST_PARAMS]


def _escaped(value: Any) -> str:  # noqa: ANN401 - whatever a template shows
    """Return a fact as Markdown that shows its characters, in one line."""
    if isinstance(value, _Unknown):
        return str(value)
    return _SPECIAL.sub(r"\\\1", _SPACE.sub(" ", str(value)))


def _seen(column: SignatureColumn) -> str:
    if column.categories:
        return ", ".join(column.categories)
    if column.low is None or column.high is None:
        return _Unknown("not recorded")
    return f"{format_number(column.low)} to {format_number(column.high)}"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - Markdown, of which each value is escaped
        loader=FileSystemLoader(FOLDER),
        finalize=_escaped,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"number": format_number, "bytes": format_bytes}
    environment.filters |= {"seen": _seen, "utc": _utc}
    return environment
