"""What is recorded: the bodies of requests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Dict, List, Mapping, Optional

from .values import Value, float_digits, value_json, value_of


def _numbers(value: Any) -> str:
    if isinstance(value, float):
        return float_digits(value)
    return json.dumps(value, ensure_ascii=False)


@dataclass
class Record:
    """Something that can be recorded. What is ``None`` or empty is not said, and not part of an id."""

    #: What an import calls it.
    KIND: ClassVar[str] = ""

    def to_json(self, kind: bool = False) -> str:
        """The body of the request that records it; with ``kind`` a line of an import."""
        members = [f'"record":"{self.KIND}"'] if kind else []
        for member in fields(self):
            value = getattr(self, member.name)
            if member.name == "object":
                members.append(f'"object":{value_json(value)}')
            elif value is not None and value != []:
                # `class` and `from` are words of the language.
                members.append(f'"{member.name.rstrip("_")}":{_numbers(value)}')
        return "{" + ",".join(members) + "}"


@dataclass
class Assertion(Record):
    """A claim: what one source says about one subject."""

    KIND: ClassVar[str] = "claim"

    subject: str
    predicate: str
    object: Value
    source: str
    #: 0 to 1, to nine digits behind the point.
    confidence: Optional[float] = None
    #: 0 (regulatory) to 5 (anecdotal); unless said, what is recorded about the source.
    source_class: Optional[int] = None
    #: The agent who claims it: 64 hexadecimal digits.
    author: Optional[str] = None
    excerpt_hash: Optional[str] = None
    epoch: Optional[str] = None
    lifecycle: Optional[str] = None
    #: Times are RFC 3339.
    valid_from: Optional[str] = None
    valid_to: Optional[str] = None
    observed_at: Optional[str] = None
    #: The claims that it derives from.
    parents: List[str] = field(default_factory=list)
    #: ``{"agent", "signature"}``; see :mod:`stemedb.signing`.
    signatures: List[Dict[str, str]] = field(default_factory=list)

    @staticmethod
    def from_reply(stored: Mapping[str, Any]) -> "Assertion":
        """The claim that a reply tells; the same claim when it is sent again. Members that came later are left out."""
        known = {member.name for member in fields(Assertion)}
        given = {name: value for name, value in stored.items() if name in known}
        return Assertion(**{**given, "object": value_of(stored["object"])})


@dataclass
class Vote(Record):
    """An agent's weight (-1 to 1) for or against a claim. A new one takes the place of that agent's old one."""

    KIND: ClassVar[str] = "vote"

    assertion: str
    #: May be ``None`` where the API key is bound to an agent.
    agent: Optional[str]
    weight: float
    reason: Optional[str] = None
    signature: Optional[str] = None


@dataclass
class Supersession(Record):
    """Sets a claim aside, with a successor or, for a retraction, without. Nothing is removed."""

    KIND: ClassVar[str] = "supersession"

    old: str
    new: Optional[str] = None
    #: ``replaces``, ``corrects``, ``refines``, or ``retracts`` without a successor.
    kind: str = "retracts"
    reason: Optional[str] = None
    agent: Optional[str] = None
    signature: Optional[str] = None


@dataclass
class Epoch(Record):
    """A span of time with a name."""

    KIND: ClassVar[str] = "epoch"

    name: str
    supersedes: Optional[str] = None
    #: Its beginning; sent as ``from``.
    from_: Optional[str] = None
    to: Optional[str] = None


@dataclass
class Source(Record):
    """What is known about a source."""

    KIND: ClassVar[str] = "source"

    id: str
    #: 0 (regulatory) to 5 (anecdotal); sent as ``class``.
    class_: int
    title: Optional[str] = None
    uri: Optional[str] = None
    content_hash: Optional[str] = None


@dataclass
class Agent(Record):
    """What is known about an agent: an Ed25519 public key. The newest record counts as a whole."""

    KIND: ClassVar[str] = "agent"

    id: str
    name: Optional[str] = None
    #: 0 to 5; sent as ``class``.
    class_: Optional[int] = None
    trust: Optional[float] = None


@dataclass
class Cosignature(Record):
    """Another agent signs a claim that is there."""

    KIND: ClassVar[str] = "cosignature"

    claim: str
    agent: str
    signature: str


@dataclass
class Watch(Record):
    """A question with the lines that matter."""

    subject: str
    predicate: str
    #: Where many are registered at once.
    id: Optional[str] = None
    lens: Optional[str] = None
    epoch: Optional[str] = None
    tolerance: Optional[str] = None
    #: ``source:ID``, ``agent:HEX``.
    without: List[str] = field(default_factory=list)
    max_class: Optional[int] = None
    margin_below: Optional[float] = None
    conflict_above: Optional[float] = None
