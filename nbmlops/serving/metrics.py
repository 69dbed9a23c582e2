"""Counts of a worker's requests: cheap to keep, and Prometheus text when asked for."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_PER_OCTAVE, _MOST_BINS = 32, 2000
LATENCY_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)


@dataclass(slots=True)
class Histogram:
    """How many observations there are up to each bound, the last bound infinite."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def quantile(self, share: float) -> float:
        """Return the bound below which a share of the observations is."""
        wanted, seen = share * sum(self.counts), 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return bound
        return float("inf")


@dataclass(slots=True)
class Metrics:
    """What one worker has counted since it began."""

    version: str
    role: str = "champion"
    statuses: Counter[int] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=lambda: Histogram(LATENCY_S))
    batch: Histogram = field(default_factory=lambda: Histogram(BATCH_ROWS))
    unseen: Counter[str] = field(default_factory=Counter)
    """Values that training did not have, by kind."""
    compared: Comparison | None = None
    """What a canary is judged by; kept while there is one."""
    in_flight: int = 0
    queue: int = 0

    def answered(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        self.latency.observe(seconds)

    def snapshot(self) -> dict[str, Any]:
        """Return all counts as JSON has them."""
        return {
            "version": self.version,
            "role": self.role,
            "statuses": {str(status): n for status, n in self.statuses.items()},
            "unseen": dict(self.unseen),
            "latency": [self.latency.counts, self.latency.total],
            "batch": [self.batch.counts, self.batch.total],
            "in_flight": self.in_flight,
            "queue": self.queue,
            "compared": self.compared and self.compared.document,
        }


@dataclass(slots=True)
class Comparison:
    """Answers of a champion or a canary since there have been both."""

    n_requests: int = 0
    n_errors: int = 0
    latencies: Counter[str] = field(default_factory=Counter)
    predictions: Counter[str] = field(default_factory=Counter)

    def add(self, status: int, seconds: float, predictions: Sequence[Any]) -> None:
        """Count an answer; a 4xx is the client's and says nothing of the model."""
        if 400 <= status < 500:
            return
        self.n_requests += 1
        self.n_errors += status >= 500
        self.latencies[bin_of(seconds * 1e3)] += 1
        for each in predictions:
            key = bin_of(each) if type(each) in (int, float) else str(each)[:100]
            if key in self.predictions or len(self.predictions) < _MOST_BINS:
                self.predictions[key] += 1

    @property
    def document(self) -> dict[str, Any]:
        """The counts as JSON has them."""
        return {
            "n_requests": self.n_requests,
            "n_errors": self.n_errors,
            "latencies": dict(self.latencies),
            "predictions": dict(self.predictions),
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Comparison:
        """Return the counts of a document."""
        return cls(
            document["n_requests"],
            document["n_errors"],
            Counter(document["latencies"]),
            Counter(document["predictions"]),
        )


def combined(comparisons: Iterable[Comparison]) -> Comparison:
    """Return the counts of all."""
    found = Comparison()
    for each in comparisons:
        found.n_requests += each.n_requests
        found.n_errors += each.n_errors
        found.latencies += each.latencies
        found.predictions += each.predictions
    return found


def bin_of(number: float) -> str:
    """Return the bin of a number; one is two per cent wide."""
    if number == 0 or not math.isfinite(number):
        return str(number)
    place = round(math.log2(abs(number)) * _PER_OCTAVE)
    return f"{'-' if number < 0 else '+'}{place}"


def value_of(name: str) -> float:
    """Return the number in the middle of a bin; NaN of a class."""
    try:
        if name[:1] in "+-" and name[1:].lstrip("-").isdigit():
            return math.copysign(
                2 ** (int(name[1:]) / _PER_OCTAVE), float(name[0] + "1")
            )
        return float(name)
    except (ValueError, OverflowError):
        return math.nan


def render(endpoint: str, snapshots: Iterable[Mapping[str, Any]]) -> bytes:
    """Return snapshots as Prometheus text, those of one version and role summed."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector(endpoint, list(snapshots)))
    return generate_latest(registry)


class _Collector:
    def __init__(self, endpoint: str, snapshots: list[Mapping[str, Any]]) -> None:
        self._endpoint, self._snapshots = endpoint, snapshots

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        names = ["endpoint", "version", "role"]
        requests = CounterMetricFamily(
            "nbmlops_requests", "Requests answered.", labels=[*names, "status"]
        )
        latency = HistogramMetricFamily(
            "nbmlops_request_seconds",
            "From a request's arrival to its answer.",
            labels=names,
        )
        batch = HistogramMetricFamily(
            "nbmlops_batch_rows", "Rows predicted in one call.", labels=names
        )
        unseen = CounterMetricFamily(
            "nbmlops_unseen_values",
            "Values that training did not have.",
            labels=[*names, "kind"],
        )
        in_flight = GaugeMetricFamily(
            "nbmlops_requests_in_flight", "Requests not answered yet.", labels=names
        )
        queue = GaugeMetricFamily(
            "nbmlops_queue", "Requests that wait for the model.", labels=names
        )
        for each in summed(self._snapshots):
            labels = [self._endpoint, each["version"], each["role"]]
            for status, n in sorted(each["statuses"].items()):
                requests.add_metric([*labels, status], n)
            for kind, n in sorted(each["unseen"].items()):
                unseen.add_metric([*labels, kind], n)
            for family, bounds, key in (
                (latency, LATENCY_S, "latency"),
                (batch, BATCH_ROWS, "batch"),
            ):
                counts, total = each[key]
                family.add_metric(labels, list(_buckets(bounds, counts)), total)
            in_flight.add_metric(labels, each["in_flight"])
            queue.add_metric(labels, each["queue"])
        yield from (requests, latency, batch, unseen, in_flight, queue)


def _buckets(
    bounds: tuple[float, ...], counts: list[int]
) -> Iterator[tuple[str, float]]:
    seen = 0
    for bound, count in zip((*bounds, None), counts, strict=True):
        seen += count
        yield ("+Inf" if bound is None else str(float(bound))), seen


def summed(snapshots: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one snapshot for each version and role."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in snapshots:
        key = each["version"], each["role"]
        if key not in found:
            found[key] = {**each}
            continue
        before = found[key]
        for name in ("statuses", "unseen"):
            before[name] = dict(Counter(before[name]) + Counter(each[name]))
        for name in ("latency", "batch"):
            counts, total = before[name]
            more, more_total = each[name]
            before[name] = [
                [a + b for a, b in zip(counts, more, strict=True)],
                total + more_total,
            ]
        for name in ("in_flight", "queue"):
            before[name] += each[name]
    return list(found.values())
