"""A requests session whose sockets go where the door admitted them, and whose answers are bounded."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from talik_stac.outgoing import Door, Limits, OutgoingError, split_url

_PIECE = 64 * 1024


class CheckedSession(requests.Session):
    """A session that leaves the environment aside and asks the door on every hop."""

    def __init__(self, place: Door, limits: Limits, retries: Retry | int = 0) -> None:
        self._ready = False
        super().__init__()
        self._ready = True
        self.trust_env = False
        self.max_redirects = limits.redirects
        self.mount("https://", CheckedAdapter(place, limits, max_retries=retries))
        self.mount("http://", CheckedAdapter(place, limits, max_retries=retries))

    def mount(self, prefix: str | bytes, adapter: Any) -> None:
        """Put a checked adapter in place; another one would be a way around the door."""
        if not isinstance(adapter, CheckedAdapter):
            if not self._ready:  # requests' own, on construction
                return
            raise OutgoingError(f"{type(adapter).__name__} for {prefix!r} does not check addresses; use CheckedAdapter")
        super().mount(prefix, adapter)


class CheckedAdapter(HTTPAdapter):
    """Checks the address of each request, connects to what was checked, and counts the answer."""

    def __init__(self, place: Door, limits: Limits, **kwargs: Any) -> None:
        self._place, self._limits = place, limits
        super().__init__(**kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make pools whose connections ask the door themselves."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._place, self._limits)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one hop. Raises OutgoingError."""
        self._place.admit(*split_url(request.url or ""))
        if proxies:
            raise OutgoingError("a proxy would choose the address in our place; remove it")
        if verify is False:
            raise OutgoingError("a server that is not verified may be anybody; leave verify on")
        wait = timeout if timeout is not None else (self._limits.connect_s, self._limits.read_s)
        answer = super().send(request, stream=True, timeout=wait, verify=verify, cert=cert)
        answer.raw = _Bounded(answer.raw, self._limits, request.url or "")
        if not stream:
            _ = answer.content
        return answer


class _Bounded:
    """A body that ends in an error where it is larger or slower than allowed."""

    def __init__(self, raw: Any, limits: Limits, url: str) -> None:
        self._raw, self._limits = raw, limits
        self._host = split_url(url)[1]
        length = str(raw.headers.get("Content-Length", ""))
        if length.isdecimal() and int(length) > limits.max_bytes and getattr(raw, "_request_method", "") != "HEAD":
            raise self._too_large()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, amt: int | None = _PIECE, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield pieces as they come; read1 returns with each packet, so that the clock is looked at."""
        end = time.monotonic() + self._limits.total_s
        read = 0
        with _cut_at_deadline(self._socket, self._limits.total_s):
            while piece := self._raw.read1(amt or _PIECE, decode_content=decode_content):
                read += len(piece)
                if read > self._limits.max_bytes:
                    raise self._too_large()
                if time.monotonic() > end:
                    raise self._too_slow()
                yield piece
        if time.monotonic() > end:  # cut: some servers' bodies end with the connection
            raise self._too_slow()

    def read(self, amt: int | None = None, decode_content: bool | None = None, **_: Any) -> bytes:
        """Read it whole, or up to `amt` bytes."""
        if amt is not None:
            return bytes(self._raw.read(min(amt, self._limits.max_bytes), decode_content=decode_content))
        return b"".join(self.stream(decode_content=decode_content))

    def _socket(self) -> Any:
        return getattr(getattr(self._raw, "_connection", None), "sock", None)

    def _too_large(self) -> OutgoingError:
        self._raw.close()
        return OutgoingError(f"{self._host} sends more than {self._limits.max_bytes} bytes; ask for less")

    def _too_slow(self) -> OutgoingError:
        self._raw.close()
        return OutgoingError(f"{self._host} takes more than {self._limits.total_s:g} s; try again later")


@contextmanager
def _cut_at_deadline(find: Any, seconds: float) -> Iterator[None]:
    """Shut the socket down after a time: a server that drips bytes outlives every timeout between two of them."""

    def cut() -> None:
        with suppress(OSError, AttributeError):
            find().shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _pools(place: Door, limits: Limits) -> dict[str, Any]:
    """Pools by scheme, whose connections connect to the addresses that the door returns."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, place, "http")

        def getresponse(self) -> Any:
            with _cut_at_deadline(lambda: self.sock, limits.total_s):
                return super().getresponse()

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, place, "https")

        def getresponse(self) -> Any:
            with _cut_at_deadline(lambda: self.sock, limits.total_s):
                return super().getresponse()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _connected(connection: HTTPConnection, place: Door, scheme: str) -> socket.socket:
    """Connect to the first checked address that answers; TLS and the Host header keep the name."""
    fault: OSError | None = None
    for address in place.admit(scheme, connection.host, connection.port):
        try:
            made = socket.create_connection((address, connection.port), connection.timeout, connection.source_address)
        except OSError as error:
            fault = error
            continue
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
    raise NewConnectionError(connection, f"no connection to {connection.host}: {fault}") from fault
