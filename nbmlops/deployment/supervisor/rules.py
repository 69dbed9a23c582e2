"""When a canary is to go: its answers held against the champion's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from nbmlops.serving.metrics import Comparison, value_of

_ALPHA = 0.001
# Slow requests come in bursts, and each answers as one of its own: ask for more.
_ALPHA_SLOW = 1e-6


def find_broken(
    rules: Mapping[str, float], champion: Comparison, canary: Comparison
) -> str:
    """Return which rule is broken, with its numbers; "" for none or too few requests.

    A ``prediction_shift`` counts as far as it exceeds what two samples of their sizes
    differ by chance once in a thousand times. A ``latency_ms_p99`` counts if more than
    one request in a hundred takes longer, and more of them than of the champion's in
    the same time, both beyond chance: a machine that is busy slows the two alike.
    """
    n = canary.n_requests
    if n < rules.get("min_requests", 1):
        return ""
    found = {
        "error_share": (canary.n_errors / n, ""),
        "latency_ms_p99": (_quantile(canary.latencies, 0.99), " ms"),
        "prediction_shift": (_shift(champion.predictions, canary.predictions), ""),
    }
    for name, (value, unit) in found.items():
        if name in rules and value > rules[name]:
            if name == "latency_ms_p99" and not _is_slower(
                rules[name], champion.latencies, canary.latencies
            ):
                continue
            limit = f"{rules[name]:g}{unit}"
            return f"{name} {value:.3g}{unit} is above {limit}, {n} requests"
    return ""


def _is_slower(limit_ms: float, champion: Counter[str], canary: Counter[str]) -> bool:
    """Return whether a canary is beyond a limit too often, by likelihood ratios."""
    n, m = canary.total(), champion.total()
    n_slow, m_slow = (
        sum(count for name, count in each.items() if value_of(name) > limit_ms)
        for each in (canary, champion)
    )
    share, other = n_slow / n, m_slow / m if m else 0.0
    if share <= max(0.01, other):
        return False
    pooled = (n_slow + m_slow) / (n + m)
    evidence = n * _divergence(share, 0.01)
    against = n * _divergence(share, pooled) + m * _divergence(other, pooled)
    return min(evidence, against) > math.log(1 / _ALPHA_SLOW)


def _divergence(p: float, q: float) -> float:
    """Return that of Kullback and Leibler between the chances of two events."""
    terms = ((p, q), (1 - p, 1 - q))
    return sum(a * math.log(a / b) for a, b in terms if a)


def _quantile(counts: Counter[str], share: float) -> float:
    wanted, seen = share * counts.total(), 0
    for name in sorted(counts, key=value_of):
        seen += counts[name]
        if seen >= wanted:
            return value_of(name)
    return 0.0


def _shift(champion: Counter[str], canary: Counter[str]) -> float:
    """Return how far two distributions differ beyond chance, 0 to 1.

    Of numbers the largest difference of their distribution functions, with the bound of
    Dvoretzky, Kiefer and Wolfowitz; of classes half the sum of the differences of their
    shares, with that of Weissman et al. (2003).
    """
    n, m = champion.total(), canary.total()
    if not n or not m:
        return 0.0
    names = {*champion, *canary}
    values = {name: value_of(name) for name in names}
    differences = {name: champion[name] / n - canary[name] / m for name in names}
    if any(math.isnan(value) for value in values.values()):
        distance = sum(map(abs, differences.values())) / 2
        chance = len(names) * math.log(2) + math.log(2 / _ALPHA)
    else:
        distance, total = 0.0, 0.0
        for name in sorted(names, key=values.__getitem__):
            total += differences[name]
            distance = max(distance, abs(total))
        chance = math.log(4 / _ALPHA)
    noise = math.sqrt(chance / (2 * n)) + math.sqrt(chance / (2 * m))
    return max(0.0, distance - noise)
