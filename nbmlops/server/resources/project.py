"""``project``: what is in view."""

from __future__ import annotations

from dataclasses import dataclass

from nbmlops.errors import UsageError
from nbmlops.server._request import Request
from nbmlops.server._route import route
from nbmlops.store import embedded


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The project around a path."""

    name: str
    path: str
    tracking_uri: str
    experiment: str
    hint: str | None


@route("GET", "project")
def get(request: Request) -> Project:
    """Return the project around `path`."""
    settings = request.settings
    hint = None
    if request.is_store_missing:
        try:
            embedded.refuse_to_hide_file_store(settings.home)
        except UsageError as error:
            hint = str(error)
    return Project(
        name=settings.project.name,
        path=str(settings.project),
        tracking_uri=request.unopened_store.shown_uri,
        experiment=settings.experiment,
        hint=hint,
    )
