"""In which order, and how much at a time, the entries of a journal are sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nbmlops.tracking.journal.records import Entry

_BATCH = 1000
_FEW = 100
_KINDS = {"m": _BATCH, "p": _FEW, "t": _FEW}
"""Metrics, params and tags, and how many of each MLflow takes at once."""


def batches_of(entries: Sequence[Entry]) -> Iterator[list[int]]:
    """Yield batches of entries in the order of sending.

    A batch costs the same whatever it holds. So metrics, params and tags go together,
    before the files among them; and tags do not wait for the models before them.

    >>> entries = [["p", "C", "1"], ["file", "a"], ["m", 0, "auc", 0.9, 0], ["end"]]
    >>> list(batches_of(entries))
    [[0, 2], [1], [3]]
    """
    ordered: list[tuple[int, int, int]] = []
    n_models = 0
    for position, (kind, *_) in enumerate(entries):
        if kind in _KINDS:
            ordered.append((0 if kind == "t" else n_models, 0, position))
        elif kind == "file":
            ordered.append((n_models, 1, position))
        else:
            ordered.append((n_models, 2, position))
            n_models += 1
    batch: list[int] = []
    counts = dict.fromkeys(_KINDS, 0)
    for _, is_alone, position in sorted(ordered):
        kind = entries[position][0]
        is_full = len(batch) == _BATCH or counts.get(kind, 0) == _KINDS.get(kind, 0)
        if batch and (is_alone or is_full):
            yield batch
            batch, counts = [], dict.fromkeys(_KINDS, 0)
        if is_alone:
            yield [position]
        else:
            counts[kind] += 1
            batch.append(position)
    if batch:
        yield batch
