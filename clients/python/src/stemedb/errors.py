"""Why a request has no answer."""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional, Sequence


class StemeDBError(Exception):
    """Everything that this package raises."""


class ConnectionFailed(StemeDBError):
    """There is no connection, or it broke before a whole reply came. What was to be written may have been."""

    def __init__(self, attempts: int, cause: BaseException) -> None:
        super().__init__(f"no answer after {attempts} attempts: {cause!r}")
        self.attempts = attempts


class EndedEarly(StemeDBError):
    """A streamed reply ended with an error of the server."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"the reply ended early: {detail} ({code})")
        self.code = code
        self.detail = detail


class NotUnderstood(StemeDBError):
    """A reply is not what this client expects of it."""


class Unsendable(StemeDBError, ValueError):
    """A request cannot be written, or a record cannot be signed."""


class JobNotEnded(StemeDBError):
    """A job did not end in the time that was given."""


class Problem(StemeDBError):
    """The server refused, and said why (RFC 9457). Codes that came after this client was made are kept."""

    def __init__(self, status: int, document: Mapping[str, Any], retry_after: Optional[float] = None) -> None:
        self.status = status
        #: What, for programs; empty if something between client and server answered.
        self.code = str(document.get("code", ""))
        self.title = str(document.get("title", ""))
        self.detail = str(document.get("detail", ""))
        #: Under which the server's log has more.
        self.request_id: Optional[str] = document.get("request_id")
        #: The same request may succeed later.
        self.retryable = bool(document.get("retryable", False))
        #: Seconds after which it makes sense to try again.
        self.retry_after = retry_after
        #: Every part of the request that is wrong: ``pointer`` or ``parameter``, ``code``, ``detail``.
        self.errors: Sequence[Mapping[str, Any]] = document.get("errors", [])
        #: The whole document.
        self.document = document
        request = f" (request {self.request_id})" if self.request_id else ""
        super().__init__(f"{status} {self.code}: {self.detail}{request}")

    @property
    def applied_nothing(self) -> bool:
        """So that also what must not happen twice may be tried again."""
        return self.code in ("overloaded", "rate_limited", "lock_timeout", "storage_full")


def problem_of_reply(status: int, retry_after: Optional[float], body: bytes) -> Problem:
    """Reads the body of a reply that is no success."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        # What proxies say of a server that is not there, or has too much to do.
        document = {
            "title": "no problem document",
            "detail": body.decode("utf-8", "replace")[:200],
            "retryable": status in (429, 502, 503, 504),
        }
    return Problem(status, document, retry_after)
