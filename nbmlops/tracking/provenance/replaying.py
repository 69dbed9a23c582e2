"""What the kernel of a replay must not do."""

from __future__ import annotations

import os

from nbmlops.errors import UsageError

REPLAYING = "NBMLOPS_REPLAY_OF"
"""Set, in the kernel of a replay, to the run that is replayed."""


def refuse_in_replay(what: str) -> None:
    """Refuse, in the kernel of a replay, what others would see."""
    if os.environ.get(REPLAYING):
        raise UsageError(
            f"A replay does not {what}.",
            fix="Keep that in a cell of its own, on which no run depends.",
        )
