"""``audit``: who changed what."""

from __future__ import annotations

from nbmlops.entities import AuditEvent, Page
from nbmlops.governance.audit_log import AuditLog
from nbmlops.server._request import Request
from nbmlops.server._route import PAGE, route


@route("GET", "audit", query=("model", *PAGE))
def list_events(request: Request) -> Page[AuditEvent]:
    """List the changes, of one model or of all, newest first."""
    return AuditLog(request.settings).page(
        request.query.get("model") or None,
        limit=request.limit,
        page_token=request.page_token,
    )
