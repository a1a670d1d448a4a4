"""Reading what was written: the newest position that was seen."""

from __future__ import annotations

import re
import threading
from typing import NamedTuple, Optional

_POSITION = re.compile(r"([0-9]+)\.([0-9]+)")


class Position(NamedTuple):
    """An entry of the journal of one timeline. The later one is the greater one: a restore begins a later timeline."""

    timeline: int
    lsn: int

    def next(self) -> "Position":
        """The place behind this one."""
        return Position(self.timeline, self.lsn + 1)

    def __str__(self) -> str:
        return f"{self.timeline}.{self.lsn}"

    @staticmethod
    def parse(text: str) -> "Position":
        """Reads ``timeline.lsn``; :class:`ValueError` for anything else."""
        found = _POSITION.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a position: <timeline>.<lsn>")
        return Position(int(found[1]), int(found[2]))


class Session:
    """The newest position that a client has seen in replies. Whoever asks with it is never answered from before it.

    Several clients may share one. To carry it to another process, send ``str(session.position)`` and give it to
    :meth:`observe` there.
    """

    def __init__(self, position: Optional[Position] = None) -> None:
        self._lock = threading.Lock()
        self._position = position

    @property
    def position(self) -> Optional[Position]:
        """The newest position that was seen."""
        with self._lock:
            return self._position

    def observe(self, position: Position) -> None:
        """Takes a position into account; an older one changes nothing."""
        with self._lock:
            if self._position is None or position > self._position:
                self._position = position
