"""The canonical bytes of records (version 1): what ids and signatures are made of.

Held equal to the engine's by its golden records, ``crates/stemedb-core/tests/golden/records_v1.txt``.
"""

from __future__ import annotations

import json
import re
import struct
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import List, Optional

from .errors import Unsendable
from .records import Assertion, Supersession, Vote
from .values import canonical_parts, float_digits

_VERSION = b"\x01"
_TAGS = {"text": 1, "number": 2, "integer": 3, "time": 6, "reference": 7, "json": 8}
_LIFECYCLES = ("proposed", "under_review", "approved", "deprecated", "rejected")
_KINDS = ("replaces", "corrects", "retracts", "refines")
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _text(text: str) -> bytes:
    data = text.encode()
    return _varint(len(data)) + data


def _hex(member: str, text: str, size: int = 32) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != size or len(text) != 2 * size:
        raise Unsendable(f"{member} is not {2 * size} hexadecimal digits")
    return data


def _presence(fields: List[bool]) -> bytes:
    return _varint(sum(1 << at for at, present in enumerate(fields) if present))


def _nano(member: str, fraction: float, low: int) -> bytes:
    """Billionths of the digits that are sent, halves away from zero."""
    text = float_digits(fraction) if isinstance(fraction, float) else str(fraction)
    nano = int((Decimal(text) * 10**9).to_integral_value(ROUND_HALF_UP))
    if not low * 10**9 <= nano <= 10**9:
        raise Unsendable(f"{member} is not from {low} to 1")
    return struct.pack(">i", nano)


def micros(member: str, text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise Unsendable(f"{member} is not a date and time (RFC 3339)")
    year, month, day, hour, minute, second = (int(found[at]) for at in range(1, 7))
    try:
        when = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError as error:
        raise Unsendable(f"{member}: {error}") from error
    if found[8]:
        hours, minutes = int(found[9]), int(found[10])
        if hours > 23 or minutes > 59:
            raise Unsendable(f"{member} has an offset that there is not")
        offset = timedelta(hours=hours, minutes=minutes)
        seconds = (when - datetime(1970, 1, 1, tzinfo=timezone.utc)) - (offset if found[8] == "+" else -offset)
    else:
        seconds = when - datetime(1970, 1, 1, tzinfo=timezone.utc)
    fraction = int((found[7] or "")[:6].ljust(6, "0"))
    return seconds // timedelta(microseconds=1) + fraction


def _instant(member: str, text: Optional[str]) -> bytes:
    return b"" if text is None else struct.pack(">q", micros(member, text))


def _object(claim: Assertion) -> bytes:
    kind, text = canonical_parts(claim.object)
    if kind == "boolean":
        return b"\x05" if text == "true" else b"\x04"
    tag = bytes([_TAGS[kind]])
    if kind == "integer":
        integer = int(text)
        return tag + _varint((integer << 1 ^ integer >> 63) & 0xFFFFFFFFFFFFFFFF)
    if kind in ("text", "time", "reference"):
        text = json.loads(text)
    return tag + _text(text)


def claim_bytes(claim: Assertion) -> bytes:
    """What a claim's id is the hash of."""
    parents = sorted({_hex("parents", parent) for parent in claim.parents})
    out = [_VERSION, _text(claim.subject), _text(claim.predicate), _object(claim), _text(claim.source)]
    optional = (
        claim.confidence,
        claim.source_class,
        claim.author,
        claim.excerpt_hash,
        claim.epoch,
        claim.lifecycle,
        claim.valid_from,
        claim.valid_to,
        claim.observed_at,
    )
    out.append(_presence([member is not None for member in optional] + [bool(parents)]))
    if claim.confidence is not None:
        out.append(_nano("confidence", claim.confidence, 0))
    if claim.source_class is not None:
        if claim.source_class not in range(6):
            raise Unsendable("source_class is not from 0 to 5")
        out.append(bytes([claim.source_class]))
    if claim.author is not None:
        out.append(_hex("author", claim.author))
    if claim.excerpt_hash is not None:
        out.append(_hex("excerpt_hash", claim.excerpt_hash))
    if claim.epoch is not None:
        out.append(_text(claim.epoch))
    if claim.lifecycle is not None:
        if claim.lifecycle not in _LIFECYCLES:
            raise Unsendable(f"lifecycle is none of {', '.join(_LIFECYCLES)}")
        out.append(bytes([_LIFECYCLES.index(claim.lifecycle)]))
    out.append(_instant("valid_from", claim.valid_from))
    out.append(_instant("valid_to", claim.valid_to))
    out.append(_instant("observed_at", claim.observed_at))
    if parents:
        out.append(_varint(len(parents)) + b"".join(parents))
    return b"".join(out)


def vote_bytes(vote: Vote) -> bytes:
    """What a vote's signature is over."""
    out = [_VERSION, _hex("assertion", vote.assertion), _hex("agent", vote.agent or "")]
    out += [_nano("weight", vote.weight, -1), _presence([vote.reason is not None])]
    if vote.reason is not None:
        out.append(_text(vote.reason))
    return b"".join(out)


def supersession_bytes(change: Supersession) -> bytes:
    """What a supersession's signature is over."""
    if change.kind not in _KINDS or (change.kind == "retracts") != (change.new is None):
        raise Unsendable("kind: a supersession retracts exactly when it names no successor")
    out = [_VERSION, _hex("old", change.old), bytes([_KINDS.index(change.kind)])]
    out.append(_presence([change.new is not None, change.reason is not None, change.agent is not None]))
    if change.new is not None:
        out.append(_hex("new", change.new))
    if change.reason is not None:
        out.append(_text(change.reason))
    if change.agent is not None:
        out.append(_hex("agent", change.agent))
    return b"".join(out)
