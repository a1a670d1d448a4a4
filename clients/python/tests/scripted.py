"""A server that does what its script says, and a clock whose time passes only in sleep."""

from __future__ import annotations

import socket
import threading
from typing import List, Optional, Sequence

from stemedb import Client, RetryPolicy, Session
from stemedb._retry import Clock

#: Closes the connection without a word.
CLOSE = b""
LSN = "Stemedb-Lsn: 1.7\r\n"


def reply(status: str, headers: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body.encode())}\r\nConnection: close\r\n{headers}\r\n"
    return (head + body).encode()


def cut(headers: str, body: str) -> bytes:
    """Says that there is more than it sends."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n{headers}\r\n{body}".encode()


def problem(status: int, code: str, retryable: bool, headers: str = "") -> bytes:
    word = "true" if retryable else "false"
    body = f'{{"status":{status},"code":"{code}","detail":"d","request_id":"r","retryable":{word},"later":[1]}}'
    return reply(f"{status} X", headers, body)


class Asleep(Clock):
    """Time that passes only in sleep. Chance is always the least."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: List[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.slept.append(round(seconds, 6))

    def random(self) -> float:
        return 0.0


class Scripted:
    """A server with a script; every request that it got, as text."""

    def __init__(self, script: Sequence[bytes]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._script = script
        self.requests: List[str] = []
        #: Counts the connections that were closed.
        self.closed = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_: object) -> None:
        # Whatever of the script is left over is not waited for.
        self._listener.close()
        self._thread.join(0.1)

    def client(self, retry: RetryPolicy = RetryPolicy(), session: Optional[Session] = None, **how: str) -> Client:
        port = self._listener.getsockname()[1]
        self.clock = Asleep()
        return Client(f"http://127.0.0.1:{port}", retry=retry, session=session, _clock=self.clock, key=how.get("key"))

    def _run(self) -> None:
        for step in self._script:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(self._request(connection))
                connection.sendall(step)
            self.closed.release()
        # Then nobody listens any more.
        self._listener.close()

    @staticmethod
    def _request(connection: socket.socket) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.decode().lower().split("\r\n"):
            if line.startswith("content-length:"):
                length = int(line.split(":")[1])
        while len(body) < length:
            body += connection.recv(65536)
        return (head + b"\r\n\r\n" + body).decode()
