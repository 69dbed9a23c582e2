"""What endpoints answer, how fast, and how often they fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nbmlops.config import Settings
from nbmlops.deployment import control, records
from nbmlops.deployment.records import Record, Served
from nbmlops.entities import EndpointMetrics, EndpointRole, VersionMetrics
from nbmlops.serving.metrics import LATENCY_S

_STATUS_S = 5.0
_NO_COUNTS = [0] * (len(LATENCY_S) + 1)


def read_metrics(settings: Settings, name: str) -> EndpointMetrics:
    """Return what the versions of an endpoint have answered."""
    record = records.get_record(settings, name)
    return _metrics(record, _workers(settings, record.target).get(name, ()))


def list_metrics(settings: Settings) -> dict[str, EndpointMetrics]:
    """Return what the versions of all endpoints have answered, by endpoint."""
    folder = records.root(settings)
    found = [records.find_record(folder, name) for name in records.list_names(folder)]
    known = [record for record in found if record]
    workers: dict[str, Sequence[Mapping[str, Any]]] = {}
    for target in {record.target for record in known}:
        workers |= _workers(settings, target)
    return {r.name: _metrics(r, workers.get(r.name, ())) for r in known}


def _workers(
    settings: Settings, target: str
) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the workers of each endpoint; none where no supervisor runs."""
    try:
        answer = control.request(
            records.root(settings),
            {"type": "status"},
            target=target,
            starts=False,
            timeout_s=_STATUS_S,
        )
    except (FileNotFoundError, ConnectionRefusedError):
        return {}
    found: Mapping[str, Sequence[Mapping[str, Any]]] = answer["endpoints"]
    return found


def _metrics(record: Record, workers: Sequence[Mapping[str, Any]]) -> EndpointMetrics:
    canary_share = record.canary.share if record.canary else 0.0
    roles: list[tuple[EndpointRole, Served | None, float]] = [
        ("champion", record.champion, 1.0 - canary_share),
        ("canary", record.canary.served if record.canary else None, canary_share),
        ("shadow", record.shadow, 0.0),
    ]
    return EndpointMetrics(
        name=record.name,
        versions=tuple(
            _of_version(
                served.version, role, share, [w for w in workers if w["role"] == role]
            )
            for role, served, share in roles
            if served is not None
        ),
    )


def _of_version(
    version: int,
    role: EndpointRole,
    share: float,
    workers: Sequence[Mapping[str, Any]],
) -> VersionMetrics:
    statuses: Counter[int] = Counter()
    latency, recent = _NO_COUNTS, _NO_COUNTS
    requests_per_s = 0.0
    for each in workers:
        before, seconds = each.get("before", ({}, 0.0))
        now = _statuses(each["snapshot"])
        statuses += now
        n_recent = now.total() - _statuses(before).total()
        requests_per_s += n_recent / seconds if seconds else 0.0
        counts = _latency(each["snapshot"])
        earlier = _latency(before)
        latency = [a + b for a, b in zip(latency, counts, strict=True)]
        recent = [a + b - c for a, b, c in zip(recent, counts, earlier, strict=True)]
    shown = recent if any(recent) else latency
    return VersionMetrics(
        version=version,
        role=role,
        share=share,
        n_requests=statuses.total(),
        n_errors=sum(n for status, n in statuses.items() if status >= 500),
        n_refused=sum(n for status, n in statuses.items() if 400 <= status < 500),
        requests_per_s=requests_per_s,
        latency_ms_p50=quantile_ms(shown, 0.5),
        latency_ms_p99=quantile_ms(shown, 0.99),
    )


def _statuses(snapshot: Mapping[str, Any]) -> Counter[int]:
    found = snapshot.get("statuses", {})
    return Counter({int(status): n for status, n in found.items()})


def _latency(snapshot: Mapping[str, Any]) -> list[int]:
    counts: list[int] = snapshot["latency"][0] if snapshot else _NO_COUNTS
    return counts


def quantile_ms(counts: Sequence[int], share: float) -> float | None:
    """Return a quantile of latencies, interpolated as Prometheus does; None of none.

    >>> quantile_ms([2, 2, *[0] * 13], 0.75)
    0.75
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    seen, low = 0, 0.0
    for bound, count in zip(LATENCY_S, counts, strict=False):
        if seen + count >= wanted:
            return 1e3 * (low + (bound - low) * (wanted - seen) / count)
        seen, low = seen + count, bound
    return 1e3 * low
