"""The connections of a worker, as its supervisor keeps them."""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from nbmlops.serving.connections import (
    CLOSED,
    IDLE,
    N_BYTES,
    N_SLOTS,
    READ,
    Connections,
    read_of,
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A connection whose worker died, and what that worker had read of a request."""

    fd: int
    data: bytes


class KeptConnections:
    """Files of a worker's open connections; it begins with those of one before."""

    def __init__(self, waiting: Sequence[Waiting] = ()) -> None:
        self._memory = mmap.mmap(-1, N_BYTES)
        self._channel, self._workers_end = socket.socketpair()
        self._files: dict[int, int] = {}
        before = Connections(self._memory)
        for slot, each in enumerate(waiting[:N_SLOTS]):
            self._files[slot] = each.fd
            before.answered(slot)
            if each.data:
                before.read(slot, each.data)
        self._channel.setblocking(False)
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._read)

    @property
    def files(self) -> tuple[int, ...]:
        """What a worker needs that is forked."""
        return self._workers_end.fileno(), *self._files.values()

    def in_worker(self) -> Connections:
        """Return the worker's side; called in the worker."""
        kept = {n: socket.socket(fileno=fd) for n, fd in self._files.items()}
        return Connections(self._memory, self._workers_end, kept)

    def begin(self) -> None:
        """Leave the worker's end to the worker, which has been forked."""
        self._workers_end.close()

    def _read(self) -> None:
        while True:
            try:
                slot, files, _, _ = socket.recv_fds(self._channel, 2, 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                slot = b""
            if not slot:
                asyncio.get_running_loop().remove_reader(self._channel.fileno())
                return
            for fd in files:
                self._close(int.from_bytes(slot))
                self._files[int.from_bytes(slot)] = fd

    def _close(self, slot: int) -> None:
        if slot in self._files:
            os.close(self._files.pop(slot))

    def forget_closed(self) -> None:
        """Close what the worker has closed."""
        for slot in tuple(self._files):
            if self._memory[slot] == CLOSED:
                self._close(slot)

    def take_waiting(self) -> list[Waiting]:
        """Return those that wait for a worker, and end the others."""
        if self._channel.fileno() < 0:
            return []
        self._read()
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()
        found = []
        for slot, fd in self._files.items():
            state = self._memory[slot]
            if state in (IDLE, READ):
                data = read_of(self._memory, slot) if state == READ else b""
                found.append(Waiting(fd, data))
            else:
                os.close(fd)
        self._files = {}
        return found

    def close(self) -> None:
        """End all."""
        for each in self.take_waiting():
            os.close(each.fd)
