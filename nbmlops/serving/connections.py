"""A worker's connections, which outlive it.

The supervisor has each of them too, and sees in shared memory what was read of it. When
the worker dies, the next one goes on with those whose requests the model has not begun.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from mmap import mmap

CLOSED, IDLE, READ, BUSY = range(4)
N_SLOTS = 512
_MOST_BYTES = 8192
N_BYTES = N_SLOTS * (1 + 2 + _MOST_BYTES) + 1

Memory = bytearray | mmap
"""A byte for the state of each slot, and one more; then what was read of each."""


def read_of(memory: Memory, slot: int) -> bytes:
    """Return what was read of a request that was not begun."""
    start = N_SLOTS + 1 + slot * (2 + _MOST_BYTES)
    n_bytes = int.from_bytes(memory[start : start + 2])
    return bytes(memory[start + 2 : start + 2 + n_bytes])


class Connections:
    """Tells the supervisor of connections; ``kept`` are those of a worker before.

    Where all slots are taken, or there is no supervisor, a connection ends with its
    worker. Its slot is one more, which nobody looks at.
    """

    def __init__(
        self,
        memory: Memory | None = None,
        channel: socket.socket | None = None,
        kept: Mapping[int, socket.socket] | None = None,
    ) -> None:
        self._memory = bytearray(N_SLOTS + 1) if memory is None else memory
        self.kept = dict(kept or {})
        self._channel = channel
        if channel is not None:
            channel.setblocking(False)
        self._free = [n for n in reversed(range(N_SLOTS)) if n not in self.kept]

    def take_kept(self) -> tuple[int, socket.socket, bytes]:
        """Return a connection of the worker before, and what that one had read."""
        slot, connection = self.kept.popitem()
        connection.setblocking(False)
        was_read = self._memory[slot] == READ
        self.begin(slot)  # should this end the worker, it is not tried again
        return slot, connection, read_of(self._memory, slot) if was_read else b""

    def opened(self, connection: socket.socket) -> int:
        """Return the slot of a new connection."""
        if self._channel is None or not self._free:
            return N_SLOTS
        slot = self._free.pop()
        try:
            socket.send_fds(self._channel, [slot.to_bytes(2)], [connection.fileno()])
        except OSError as error:
            self._free.append(slot)
            if not isinstance(error, BlockingIOError):
                self._channel = None  # the supervisor is gone
            return N_SLOTS
        self._memory[slot] = IDLE
        return slot

    def read(self, slot: int, data: bytes) -> None:
        """Keep what was read, until the model begins."""
        if slot == N_SLOTS or self._memory[slot] == BUSY:
            return
        start = N_SLOTS + 1 + slot * (2 + _MOST_BYTES)
        n_bytes = 0
        if self._memory[slot] == READ:
            n_bytes = int.from_bytes(self._memory[start : start + 2])
        end = n_bytes + len(data)
        if end > _MOST_BYTES:
            self._memory[slot] = BUSY
            return
        self._memory[start + 2 + n_bytes : start + 2 + end] = data
        self._memory[start : start + 2] = end.to_bytes(2)
        self._memory[slot] = READ

    def begin(self, slot: int) -> None:
        """Take note that the model has begun."""
        self._memory[slot] = BUSY

    def answered(self, slot: int) -> None:
        """Take note that all is answered."""
        self._memory[slot] = IDLE

    def closed(self, slot: int) -> None:
        """Give a slot back."""
        if slot < N_SLOTS:
            self._memory[slot] = CLOSED
            self._free.append(slot)
