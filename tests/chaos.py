"""A TCP proxy that does to a connection what networks and dying servers do.

It stands between a client and a server of the loopback interface:

===========  ==========================================================================
mode         what the client meets
===========  ==========================================================================
pass         the server
down         connection refused; open connections are reset
reset        a connection that is reset as soon as it is made
hang         a connection that is taken, and never an answer
drop_reply   with the share as probability: the request is served, its reply is lost
half_reply   with the share as probability: the first half of the reply, then a reset
slow         each piece of a reply comes ``delay_s`` late
===========  ==========================================================================
"""

import random
import selectors
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress

MODES = ("pass", "down", "reset", "hang", "drop_reply", "half_reply", "slow")
_TICK_S = 0.05


class Chaos:
    """A running proxy; `chaos` starts and stops one.

    Attributes
    ----------
    port : int
        Where it listens; it stays the same through ``down``.
    n_replies : int
        Replies that came back from the server since the mode was set.
    n_spoilt : int
        How many of these the client did not get whole.
    """

    def __init__(self, server_port, *, seed=0):
        self._server = ("127.0.0.1", server_port)
        self._random = random.Random(seed)  # noqa: S311
        self._lock = threading.Lock()
        self._threads = []
        self._is_stopped = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._epoch = 0
        self.set("pass")
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def url(self):
        """Return the address of a server of HTTP behind the proxy."""
        return f"http://127.0.0.1:{self.port}"

    def set(self, mode, *, share=1.0, delay_s=0.2):
        """Change what happens from now on; connections in ``down`` or ``reset`` end."""
        if mode not in MODES:
            raise ValueError(f"{mode!r} is none of {', '.join(MODES)}")
        with self._lock:
            self.mode, self._share, self._delay_s = mode, share, delay_s
            self._epoch += mode in ("down", "reset")
            self.n_replies = self.n_spoilt = 0
            if mode == "down" and self._listener is not None:
                # Closing alone leaves it listening while the other thread waits on it.
                self._listener.shutdown(socket.SHUT_RDWR)
                self._listener.close()
                self._listener = None
            elif mode != "down" and self._listener is None:
                address = ("127.0.0.1", self.port)
                self._listener = socket.create_server(address, backlog=64)

    def stop(self):
        """End the proxy and all connections through it."""
        self.set("down")
        self._is_stopped = True
        for thread in (self._acceptor, *self._threads):
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self):
        while not self._is_stopped:
            with self._lock:
                listener = self._listener
            if listener is None:
                time.sleep(_TICK_S)
                continue
            try:
                listener.settimeout(_TICK_S)
                client = listener.accept()[0]
            except OSError:  # nobody came, or the mode is `down` by now
                continue
            thread = threading.Thread(target=self._relay, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _relay(self, client):
        epoch = self._epoch
        with client, suppress(OSError):
            if self.mode == "reset":
                _reset(client)
                return
            with (
                socket.create_connection(self._server, 5) as server,
                # Unlike select.select, it takes descriptors above 1023.
                selectors.DefaultSelector() as ready,
            ):
                ready.register(client, selectors.EVENT_READ)
                ready.register(server, selectors.EVENT_READ)
                is_new_reply = False
                while self._epoch == epoch:
                    for source in [key.fileobj for key, _ in ready.select(_TICK_S)]:
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        if source is client:
                            is_new_reply = True
                            if self.mode != "hang":
                                server.sendall(data)
                        elif self._answer(client, data, is_new=is_new_reply):
                            is_new_reply = False
                        else:
                            _reset(client)
                            return
                _reset(client)

    def _answer(self, client, data, *, is_new):
        """Pass a piece of a reply on, and return whether the connection goes on."""
        with self._lock:
            mode, delay_s = self.mode, self._delay_s
            self.n_replies += is_new
            may_spoil = is_new and mode in ("drop_reply", "half_reply")
            is_spoilt = may_spoil and self._random.random() < self._share
            self.n_spoilt += is_spoilt
        if mode == "hang":
            return True
        if mode == "slow":
            time.sleep(delay_s)
        if is_spoilt and mode == "drop_reply":
            return False
        client.sendall(data[: len(data) // 2] if is_spoilt else data)
        return not is_spoilt


def _reset(client):
    """Have the closing of the socket send a reset instead of an orderly end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def chaos(server_port, *, seed=0):
    """Give a proxy before a port of the loopback interface, and stop it at the end."""
    proxy = Chaos(server_port, seed=seed)
    try:
        yield proxy
    finally:
        proxy.stop()
