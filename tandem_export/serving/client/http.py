"""One HTTP request within one deadline, from connecting to the last byte of the answer."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from typing import Any
from urllib.parse import SplitResult

from tandem_export.serving.protocol import MOST_VALUES

# As text, a value of the largest answer takes about 4 times its 4 bytes.
MOST_BYTES = 16 * MOST_VALUES


class TooLong(Exception):
    """The answer has more than `MOST_BYTES` bytes."""


def ask(
    address: SplitResult,
    path: str,
    body: bytes | None,
    *,
    seconds: float,
    trust: ssl.SSLContext | None,
) -> tuple[int, bytes]:
    """Sends one request, a POST if it has a body, and returns the answer's status and body.

    Neither proxies nor redirections are followed.

    Args:
      address: of the server, with its port.
      path: of the resource.
      body: JSON, or None for a GET.
      seconds: how long connecting, sending and receiving may take together. Only the system's own
        look-up of the host's name is outside of it.
      trust: whom to trust, for TLS; None speaks plain HTTP.

    Raises:
      OSError: no connection, or none within the time (`TimeoutError`).
      http.client.HTTPException: what came is not HTTP.
      TooLong: the answer is too large.
    """
    host = address.hostname or ""
    timed = _TimedSocket(time.monotonic() + seconds)
    connection = http.client.HTTPConnection(host, address.port)
    try:
        timed.connect(host, address.port or 80, trust)
        connection.sock = timed  # pyright: ignore[reportAttributeAccessIssue]
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        data = answer.read(MOST_BYTES + 1)
        if answer.length and len(data) <= MOST_BYTES:  # the server hung up before the end
            raise http.client.IncompleteRead(data[:0], answer.length)
    finally:
        connection.close()
        timed.close()
    if len(data) > MOST_BYTES:
        raise TooLong(f"more than {MOST_BYTES} bytes")
    return answer.status, data


class _TimedSocket:
    """What `http.client` needs of a socket; each operation gets the time that is left of one."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._socket: socket.socket | None = None

    def connect(self, host: str, port: int, trust: ssl.SSLContext | None) -> None:
        """Connects to the first address of `host` that answers."""
        problem: OSError | None = None
        for family, kind, protocol, _, place in socket.getaddrinfo(
            host, port, 0, socket.SOCK_STREAM
        ):
            self.close()
            self._socket = socket.socket(family, kind, protocol)
            try:
                self._in_time().connect(place)
                break
            except OSError as error:
                problem = error
        else:
            raise problem or OSError(f"the host {host!r} has no address")
        if trust is not None:
            self._socket = trust.wrap_socket(self._in_time(), server_hostname=host)

    def _in_time(self) -> socket.socket:
        left = self._end - time.monotonic()
        if left <= 0 or self._socket is None:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._socket

    def sendall(self, data: Any) -> None:
        self._in_time().sendall(data)

    def makefile(self, mode: str, *_: object) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(_Received(self))

    def receive(self, buffer: Any) -> int:
        return self._in_time().recv_into(buffer)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class _Received(io.RawIOBase):
    def __init__(self, source: _TimedSocket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._source.receive(buffer)
