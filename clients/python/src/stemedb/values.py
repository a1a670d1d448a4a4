"""Claimed values. Numbers keep the digits they were written with: the id of a claim hangs on them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, List, Union

from .errors import Unsendable

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_I64 = range(-(2**63), 2**63)


class ExactFloat(float):
    """A number of a reply: a float that remembers its digits."""

    text: str

    def __new__(cls, text: str) -> "ExactFloat":
        number = super().__new__(cls, text)
        number.text = text
        return number


@dataclass(frozen=True)
class Number:
    """A number with these very digits, such as ``181.150``; also one that looks like an integer and is not meant as one."""

    text: str


@dataclass(frozen=True)
class Time:
    """A date and time (RFC 3339), as it was written."""

    text: str


@dataclass(frozen=True)
class Reference:
    """Another subject."""

    subject: str


@dataclass(frozen=True)
class Json:
    """Any other JSON value."""

    value: Any


#: What can be claimed: ``str`` is a text, ``int`` an integer, ``float`` and ``Decimal`` numbers, ``list`` and ``dict`` JSON.
Value = Union[str, bool, int, float, Decimal, Number, Time, Reference, Json, List[Any], "dict[str, Any]"]


def float_digits(number: float) -> str:
    """The shortest digits that are read back as the same number, written as the client for Rust writes them."""
    if not math.isfinite(number):
        raise Unsendable(f"{number} is no number of JSON")
    sign = "-" if math.copysign(1.0, number) < 0 else ""
    if number == 0:
        return f"{sign}0.0"
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 0 < point <= 16:
        if len(digits) <= point:
            return f"{sign}{digits.ljust(point, '0')}.0"
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -5 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1}"


def canonical_parts(value: Value) -> "tuple[str, str]":
    """The type of a value and its JSON text, as they are sent."""
    if isinstance(value, bool):
        return "boolean", "true" if value else "false"
    if isinstance(value, str):
        return "text", json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return ("integer" if value in _I64 else "number"), str(value)
    if isinstance(value, ExactFloat):
        return "number", value.text
    if isinstance(value, float):
        return "number", float_digits(value)
    if isinstance(value, (Decimal, Number)):
        text = value.text if isinstance(value, Number) else str(value)
        if _NUMBER.fullmatch(text) is None:
            raise Unsendable(f"{text!r} is no number of JSON")
        return "number", text
    if isinstance(value, Time):
        return "time", json.dumps(value.text, ensure_ascii=False)
    if isinstance(value, Reference):
        return "reference", json.dumps(value.subject, ensure_ascii=False)
    if isinstance(value, Json):
        return "json", json_text(value.value)
    if isinstance(value, (list, dict)):
        return "json", json_text(value)
    raise Unsendable(f"{type(value).__name__} cannot be claimed")


def value_json(value: Value) -> str:
    """A value as it is sent: always ``{"type", "value"}``, so that nothing is left to be guessed."""
    kind, text = canonical_parts(value)
    return f'{{"type":"{kind}","value":{text}}}'


def json_text(value: Any) -> str:
    """JSON in canonical form, with the digits that numbers came with."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: str(member[0]).encode())
        parts = [f"{json.dumps(name, ensure_ascii=False)}:{json_text(item)}" for name, item in members]
        return "{" + ",".join(parts) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(json_text(item) for item in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, (bool, str, int, float, Decimal, Number)):
        return canonical_parts(value)[1]
    raise Unsendable(f"{type(value).__name__} is no JSON")


def value_of(plain: Any) -> Any:
    """What a value of a reply stands for: ``{"type", "value"}`` becomes what it says, everything else stays as it is."""
    if not (isinstance(plain, dict) and plain.keys() == {"type", "value"}):
        return plain
    kind, value = plain["type"], plain["value"]
    if kind in ("text", "integer", "boolean"):
        return value
    if kind == "number":
        return Number(value.text if isinstance(value, ExactFloat) else str(value))
    if kind == "time":
        return Time(value)
    if kind == "reference":
        return Reference(value)
    if kind == "json":
        return Json(value)
    return plain


def _integer(text: str) -> Union[int, ExactFloat]:
    # `-0` and what is too large for the server's integers are numbers, whose digits count.
    number = int(text)
    return number if number in _I64 and text != "-0" else ExactFloat(text)


def loads(text: Union[str, bytes]) -> Any:
    """Reads JSON without losing the digits of numbers."""
    return json.loads(text, parse_float=ExactFloat, parse_int=_integer)
