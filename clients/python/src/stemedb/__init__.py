"""A client of StemeDB's HTTP server: typed, with retries and read-your-writes; the standard library alone.

>>> from stemedb import Assertion, Client
>>> db = Client("http://127.0.0.1:18180")
>>> db.assert_(Assertion("water", "is", "wet", "me"))  # doctest: +SKIP
"""

from ._pages import Follow
from ._retry import RetryPolicy
from .client import Client, Export
from .errors import (
    ConnectionFailed,
    EndedEarly,
    JobNotEnded,
    NotUnderstood,
    Problem,
    StemeDBError,
    Unsendable,
)
from .records import Agent, Assertion, Cosignature, Epoch, Record, Source, Supersession, Vote, Watch
from .session import Position, Session
from .values import ExactFloat, Json, Number, Reference, Time, Value, value_of

__all__ = [
    "Agent",
    "Assertion",
    "Client",
    "ConnectionFailed",
    "Cosignature",
    "EndedEarly",
    "Epoch",
    "ExactFloat",
    "Export",
    "Follow",
    "JobNotEnded",
    "Json",
    "NotUnderstood",
    "Number",
    "Position",
    "Problem",
    "Record",
    "Reference",
    "RetryPolicy",
    "Session",
    "Source",
    "StemeDBError",
    "Supersession",
    "Time",
    "Unsendable",
    "Value",
    "Vote",
    "Watch",
    "value_of",
]

__version__ = "0.1.0"
