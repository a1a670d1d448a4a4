"""Listings, walked page by page; feeds, told entry by entry."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Dict, Generic, Iterator, List, Optional, Tuple, TypeVar

from ._http import Call, Stream, Transport
from ._retry import Broken, as_error
from .errors import EndedEarly, NotUnderstood
from .session import Position, Session
from .values import loads

T = TypeVar("T")

#: How long the server waits for something to tell, where a follower does.
_WAIT = 30.0


def pages(fetch: Callable[[Optional[Any]], Tuple[List[T], Optional[Any]]]) -> Iterator[T]:
    """``fetch`` is given where the page before ended; ``None`` for the first, and gives ``None`` behind the last."""
    mark = None
    while True:
        items, mark = fetch(mark)
        yield from items
        if mark is None:
            return


def parsed(path: str, line: bytes) -> Dict[str, Any]:
    """A line of a reply."""
    try:
        document = loads(line)
    except ValueError as error:
        raise NotUnderstood(f"a line of {path} is not understood: {error}") from error
    if not isinstance(document, dict):
        raise NotUnderstood(f"a line of {path} is no object")
    return document


class Follow(Generic[T]):
    """What is followed, one by one, in order and once.

    Where a reply breaks off, the part of an entry that had come is dropped and asked for again. Ends after an error that
    repeating does not help; go on from :attr:`position`.
    """

    def __init__(
        self,
        transport: Transport,
        session: Optional[Session],
        path: str,
        start: Optional[Position],
        query: "Dict[str, Any]",
        follow: bool,
    ) -> None:
        self._transport = transport
        self._session = session
        self._path = path
        self._query = query
        self._follow = follow
        self._from = str(start) if start is not None else None
        self._ready: Deque[Tuple[T, Optional[Position]]] = deque()
        self._pending: List[Any] = []
        self._reply: Optional[Stream] = None
        self._failures = 0
        self._is_over = False
        #: Where to go on after what was handed out; ``None`` if nothing was, and nothing was said where to begin.
        self.position = start

    def __iter__(self) -> "Follow[T]":
        return self

    def __next__(self) -> T:
        while not self._ready:
            if self._is_over:
                raise StopIteration
            try:
                self._read()
            except BaseException:
                self.close()
                raise
        told, behind = self._ready.popleft()
        if behind is not None:
            self.position = behind
        return told

    def close(self) -> None:
        """Ends it; what was not handed out is forgotten."""
        self._is_over = True
        self._drop_reply()

    def _drop_reply(self) -> None:
        if self._reply is not None:
            self._reply.close()
            self._reply = None

    def _open(self) -> Stream:
        wait = _WAIT if self._follow else 0.0
        query = {**self._query, "from": self._from, "wait": int(wait) or None}
        call = Call("GET", self._path, query, accept="application/x-ndjson", wait=wait, is_ordered=True)
        return self._transport.stream(call, self._session)

    def _read(self) -> None:
        if self._reply is None:
            self._reply = self._open()
        timeline = self._reply.position.timeline if self._reply.position is not None else None
        try:
            line = self._reply.line()
            if line is None:
                raise Broken("the reply was cut off")
        except Broken as failure:
            self._drop_reply()
            self._pending.clear()
            self._failures += 1
            if self._failures >= self._transport.retry.attempts:
                raise as_error(failure, self._failures) from failure.__cause__
            self._transport.pause(self._failures)
            return
        told = parsed(self._path, line)
        if told.get("end") is True:
            self._ended(told, timeline)
            return
        self._failures = 0
        if self._pending and self._pending[0]["lsn"] != told["lsn"]:
            self._flush(timeline)
        self._pending.append(told)

    def _flush(self, timeline: Optional[int]) -> None:
        """The entry that was being read is whole."""
        if not self._pending:
            return
        behind = Position(timeline, self._pending[-1]["lsn"] + 1) if timeline is not None else None
        for told in self._pending[:-1]:
            self._ready.append((told, None))
        self._ready.append((self._pending[-1], behind))
        self._pending.clear()
        if behind is not None:
            self._from = str(behind)

    def _ended(self, end: "Dict[str, Any]", timeline: Optional[int]) -> None:
        self._drop_reply()
        error = end.get("error")
        if error is not None:
            # What had come of the entry may not be all of it.
            self._pending.clear()
            self._failures += 1
            if self._failures >= self._transport.retry.attempts:
                raise EndedEarly(error.get("code", ""), error.get("detail", ""))
            self._transport.pause(self._failures)
            return
        self._flush(timeline)
        if end.get("next"):
            self._from = end["next"]
            behind = Position.parse(end["next"])
            if self._ready:
                # What was looked at without anything to tell is behind, too.
                self._ready[-1] = (self._ready[-1][0], behind)
            else:
                self.position = behind
        told = end.get("entries", end.get("notices", 0))
        self._is_over = not told and not self._follow
