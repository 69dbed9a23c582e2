"""Of many cases alike, those of ``make test``; ``make test-all`` runs all."""

import pytest


def some(names, *, every=3):
    """Return parameters of which one in ``every`` is not marked slow."""
    return [
        name if n % every == 0 else pytest.param(name, marks=pytest.mark.slow)
        for n, name in enumerate(names)
    ]
