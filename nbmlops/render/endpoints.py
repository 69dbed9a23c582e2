"""Endpoints: what serves, how much of it, how fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nbmlops.entities import Endpoint, EndpointMetrics, VersionMetrics
from nbmlops.render.formats import format_number
from nbmlops.render.tables import Table

_NUMBERS = ["requests/s", "p50 ms", "p99 ms", "requests", "errors"]


def endpoints_table(
    endpoints: Sequence[Endpoint], metrics: Mapping[str, EndpointMetrics] | None = None
) -> Table:
    """Return endpoints with their state and URL; with metrics, a row a version."""
    empty = "No endpoints: deploy a model with %deploy MODEL@ALIAS."
    if metrics is None:
        return Table(
            ["endpoint", "serves", "state", "url", "note"],
            [(e.name, _versions(e), e.state, e.url, e.message) for e in endpoints],
            empty=empty,
        )
    return Table(
        ["endpoint", "serves", "share", "state", *_NUMBERS, "url", "note"],
        [row for e in endpoints for row in _rows(e, metrics.get(e.name))],
        empty=empty,
    )


def _rows(
    endpoint: Endpoint, metrics: EndpointMetrics | None
) -> Iterator[Sequence[object]]:
    target = f"{endpoint.model}/{endpoint.version}"
    rest = endpoint.url, endpoint.message
    if metrics is None:  # removed meanwhile
        gaps = [""] * (1 + len(_NUMBERS))
        yield endpoint.name, target, gaps[0], endpoint.state, *gaps[1:], *rest
        return
    for n, each in enumerate(metrics.versions):
        name, state, *ends = (
            ("", "", "", "") if n else (endpoint.name, endpoint.state, *rest)
        )
        served = f"{endpoint.model}/{each.version}"
        yield name, served, _share(each), state, *_numbers(each), *ends


def _numbers(metrics: VersionMetrics) -> list[str]:
    quantiles = metrics.latency_ms_p50, metrics.latency_ms_p99
    return [
        format_number(metrics.requests_per_s),
        *("-" if ms is None else format_number(ms) for ms in quantiles),
        str(metrics.n_requests),
        str(metrics.n_errors),
    ]


def _share(metrics: VersionMetrics) -> str:
    """Return which part of the requests a version answers.

    >>> from dataclasses import replace
    >>> one = VersionMetrics(
    ...     version=3, role="canary", share=0.1, n_requests=0, n_errors=0, n_refused=0,
    ...     requests_per_s=0.0, latency_ms_p50=None, latency_ms_p99=None,
    ... )
    >>> _share(one), _share(replace(one, role="shadow", share=0.0))
    ('10% canary', 'shadow')
    """
    if metrics.role == "shadow":
        return "shadow"
    share = f"{100 * metrics.share:.3g}%"
    return f"{share} canary" if metrics.role == "canary" else share


def _versions(endpoint: Endpoint) -> str:
    """Return which versions serve, as what."""
    found = [f"{endpoint.model}/{endpoint.version}"]
    if endpoint.canary_share is not None:
        found.append(
            f"/{endpoint.canary_version} {100 * endpoint.canary_share:.3g}% canary"
        )
    if endpoint.shadow_version is not None:
        found.append(f"/{endpoint.shadow_version} shadow")
    return ", ".join(found)
