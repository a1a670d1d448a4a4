"""Requests over HTTP: sent, repeated where that is safe, and their positions noted."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Tuple, Union
from urllib.parse import quote, urlencode, urlsplit

from ._retry import Broken, Clock, RetryPolicy, Unsent, with_retries
from .errors import ConnectionFailed, NotUnderstood, Unsendable, problem_of_reply
from .session import Position, Session
from .values import loads

_CONNECT_WITHIN = 10.0
#: Connections that are kept for the next request.
_IDLE_MAX = 8
_BROKEN = (OSError, http.client.HTTPException)

Parameters = Mapping[str, Union[None, bool, int, float, str, "List[str]"]]


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    query: Parameters = field(default_factory=dict)
    body: Optional[bytes] = None
    media_type: str = "application/json"
    accept: str = "application/json"
    #: What may be sent again when nobody knows what became of it.
    repeatable: bool = True
    idempotency_key: Optional[str] = None
    #: The server may be asked to wait so many seconds before it says anything.
    wait: float = 0.0
    #: Whether the answer must not be from before what the session has seen.
    is_ordered: bool = False

    @property
    def target(self) -> str:
        pairs: List[Tuple[str, str]] = []
        for name, value in self.query.items():
            if value is None or value is False:
                continue
            for one in value if isinstance(value, list) else [value]:
                pairs.append((name, "true" if one is True else str(one)))
        return self.path + ("?" + urlencode(pairs, quote_via=quote, safe="") if pairs else "")


def path_of(*parts: str) -> str:
    """A path whose parts may be somebody's names: every second one is."""
    return "".join(quote(part, safe="") if at % 2 else part for at, part in enumerate(parts))


@dataclass
class Whole:
    """A reply that was read whole."""

    path: str
    status: int
    body: bytes

    def json(self) -> Any:
        try:
            return loads(self.body)
        except ValueError as error:
            raise NotUnderstood(f"the reply of {self.path} is not understood: {error}") from error


class Stream:
    """A reply that is read as it comes."""

    def __init__(self, path: str, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self.path = path
        #: Where the server was when it began to answer.
        self.position = position_of(response)
        self._connection = connection
        self._response = response

    def line(self) -> Optional[bytes]:
        """The next line without its end; ``None`` at the end of the reply, where a line that is not ended is none."""
        try:
            line = self._response.readline()
        except _BROKEN as error:
            raise Broken() from error
        return line[:-1] if line.endswith(b"\n") else None

    def read(self, size: int = -1) -> bytes:
        """Reads on; a reply that breaks off is an error, never a short one."""
        try:
            data = self._response.read() if size is None or size < 0 else self._response.read(size)
        except _BROKEN as error:
            raise Broken() from error
        # `read` of a part does not say it where fewer bytes came than were announced.
        if not data and size != 0 and self._response.length:
            raise Broken() from http.client.IncompleteRead(b"")
        return data

    def close(self) -> None:
        self._response.close()
        self._connection.close()


def position_of(response: http.client.HTTPResponse) -> Optional[Position]:
    try:
        return Position.parse(response.getheader("Stemedb-Lsn") or "")
    except ValueError:
        return None


def _seconds(text: Optional[str]) -> Optional[float]:
    # The server never says a date.
    return float(text) if text is not None and text.strip().isdigit() else None


class Transport:
    """Sends requests to one server."""

    def __init__(
        self,
        url: str,
        key: Optional[str],
        retry: RetryPolicy,
        patience: float,
        tls: Optional[ssl.SSLContext],
        clock: Clock,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise Unsendable(f"{url!r} must look like http://127.0.0.1:18180")
        if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
            raise Unsendable("the API key is empty, or has characters that no key has")
        self._host = parts.hostname
        self._port = parts.port
        self._tls = tls if parts.scheme == "https" else None
        self._base = parts.path.rstrip("/")
        self._key = key
        self._patience = patience
        self._idle: List[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self.retry = retry
        self.clock = clock

    def whole(self, call: Call, session: Optional[Session]) -> Whole:
        """Sends a request and reads its reply whole."""

        def attempt() -> Whole:
            connection, response = self._attempt(call, session)
            body = self._read(connection, response)
            return Whole(call.path, response.status, body)

        return with_retries(self.retry, self.clock, call.repeatable, attempt)

    def stream(self, call: Call, session: Optional[Session]) -> Stream:
        """Sends a request whose reply is read as it comes: what breaks later is the reader's matter."""

        def attempt() -> Stream:
            connection, response = self._attempt(call, session)
            return Stream(call.path, connection, response)

        return with_retries(self.retry, self.clock, call.repeatable, attempt)

    def pause(self, failures: int) -> None:
        """Waits before something is tried again; ``failures`` counts from 1."""
        self.clock.sleep(self.retry.wait(failures, self.clock.random()))

    def close(self) -> None:
        """Closes connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _attempt(
        self, call: Call, session: Optional[Session]
    ) -> Tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._connection(call)
        try:
            connection.request(call.method, self._base + call.target, body=call.body, headers=self._headers(call, session))
            response = connection.getresponse()
        except _BROKEN as error:
            connection.close()
            raise Broken() from error
        position = position_of(response)
        if session is not None and position is not None:
            session.observe(position)
        if 200 <= response.status < 300:
            return connection, response
        body = self._read(connection, response)
        raise problem_of_reply(response.status, _seconds(response.getheader("Retry-After")), body)

    def _read(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> bytes:
        try:
            body = response.read()
        except _BROKEN as error:
            connection.close()
            raise Broken() from error
        with self._lock:
            if not response.will_close and len(self._idle) < _IDLE_MAX:
                self._idle.append(connection)
                return body
        connection.close()
        return body

    def _connection(self, call: Call) -> http.client.HTTPConnection:
        patience = self._patience + call.wait
        # A kept connection may have been closed by the server: what cannot be repeated has one of its own.
        if call.repeatable:
            kept = self._kept()
            if kept is not None:
                kept.sock.settimeout(patience)
                return kept
        if self._tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=_CONNECT_WITHIN, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=_CONNECT_WITHIN)
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except ssl.SSLCertVerificationError as error:
            # Another attempt would meet the same server.
            connection.close()
            raise ConnectionFailed(1, error) from error
        except OSError as error:
            connection.close()
            raise Unsent() from error
        connection.sock.settimeout(patience)
        return connection

    def _kept(self) -> Optional[http.client.HTTPConnection]:
        """A connection that was used before and is still open."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                kept = self._idle.pop()
            if kept.sock is not None and not _has_ended(kept.sock):
                return kept
            kept.close()

    def _headers(self, call: Call, session: Optional[Session]) -> "dict[str, str]":
        headers = {"Accept": call.accept, "User-Agent": "stemedb-python/0.1"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        if call.body is not None:
            headers["Content-Type"] = call.media_type
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = call.idempotency_key
        position = session.position if session is not None and call.is_ordered else None
        if position is not None:
            headers["Stemedb-Min-Lsn"] = str(position)
        return headers


def _has_ended(idle: socket.socket) -> bool:
    # A server says nothing on a connection that nobody asks on; what can be read is its end.
    try:
        return bool(select.select([idle], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def lines_of(body: bytes) -> Iterator[bytes]:
    """The lines of a reply that was read whole."""
    lines: Iterable[bytes] = body.split(b"\n")
    return (line for line in lines if line)
