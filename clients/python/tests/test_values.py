"""Values, ids and signatures: those of the engine, by its golden records."""

from __future__ import annotations

import unittest
from decimal import Decimal
from pathlib import Path
from typing import Any, List

from stemedb import Assertion, ExactFloat, Json, Number, Reference, Supersession, Time, Unsendable, Vote, value_of
from stemedb._blake3 import blake3
from stemedb._canonical import claim_bytes, supersession_bytes, vote_bytes
from stemedb.signing import claim_id
from stemedb.values import float_digits, loads, value_json

GOLDEN = Path(__file__).parents[3] / "crates/stemedb-core/tests/golden/records_v1.txt"
FIRST_AGENT = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
SECOND_AGENT = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"


def golden(name: str) -> List[str]:
    """What hangs on the bytes of a golden record: the bytes, its id, its signatures."""
    for record in GOLDEN.read_text(encoding="utf-8").split("\n\n"):
        lines = record.strip().split("\n")
        if lines[0] == f"# {name}":
            return lines[1:]
    raise AssertionError(f"no golden record {name!r}")


def claim(value: Any) -> Assertion:
    return Assertion("cas:50-00-0", "melting_point_K", value, "handbook")


def full() -> Assertion:
    return Assertion(
        "cas:50-00-0",
        "melting_point_K",
        Number("181.150"),
        "handbook",
        confidence=0.9,
        source_class=1,
        author=FIRST_AGENT,
        excerpt_hash="ee" * 32,
        epoch="edition 97",
        lifecycle="approved",
        valid_from="1969-12-31T23:59:59.999999Z",
        valid_to="2024-02-29T12:30:45.123456Z",
        observed_at="2023-11-14T23:13:20+01:00",
        parents=["22" * 32, "11" * 32],
    )


class Golden(unittest.TestCase):
    def test_every_golden_claim_has_its_bytes_and_its_id(self) -> None:
        claims = {
            "a claim that says only what it must": claim(Number("181.150")),
            "an empty text": claim(""),
            "a text beyond ASCII": claim("Schmelzpunkt −92 °C\n(Reinstoff)"),
            "an integer of one byte": claim(-64),
            "an integer of ten bytes": claim(-(2**63)),
            "false": claim(False),
            "true": claim(True),
            "a time": claim(Time("2024-02-29T23:59:59.5+01:00")),
            "a reference": claim(Reference("cas:67-56-1")),
            "a JSON value": claim({"min": 180.9, "max": 182.0}),
            "every field of a claim, unsigned": full(),
        }
        for name, record in claims.items():
            lines = golden(name)
            # The record ends with the number of its signatures.
            self.assertEqual(f"command 01{claim_bytes(record).hex()}00", lines[0], name)
            self.assertEqual(f"id {claim_id(record)}", lines[1], name)

    def test_what_votes_and_supersessions_are_signed_over_is_golden_too(self) -> None:
        vote = Vote(claim_id(full()), SECOND_AGENT, -0.25, "cannot be reproduced")
        self.assertIn(vote_bytes(vote).hex(), golden("a vote with reason and signature")[0])
        change = Supersession(claim_id(full()), "33" * 32, "corrects", "misread", FIRST_AGENT)
        self.assertIn(supersession_bytes(change).hex(), golden("a correction with reason and signature")[0])

    def test_blake3_of_every_shape_of_its_tree(self) -> None:
        # Of the specification's test vectors: bytes 0, 1, …, 250, 0, 1, …
        data = bytes(at % 251 for at in range(31744))
        hashes = {
            0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
            1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
            1025: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
            2048: "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a",
            3072: "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2",
            31744: "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47",
        }
        for size, expected in hashes.items():
            self.assertEqual(blake3(data[:size]).hex(), expected, size)

    def test_what_the_server_would_refuse_has_no_id(self) -> None:
        for member, value in [("author", "me"), ("valid_to", "tomorrow"), ("confidence", 2.0), ("lifecycle", "new")]:
            record = full()
            setattr(record, member, value)
            with self.assertRaisesRegex(Unsendable, member):
                claim_id(record)
        self.assertRaises(Unsendable, claim_id, claim(float("nan")))
        self.assertRaises(Unsendable, claim_id, claim(Decimal("NaN")))
        self.assertRaises(Unsendable, claim_id, claim(None))


class Values(unittest.TestCase):
    def test_every_value_is_read_back_as_it_was_sent(self) -> None:
        values: List[Any] = ["wet", Number("181.150"), Number("5"), Number("-0"), -7, True, Time("2024-02-29T23:59:59.5+01:00")]
        for value in [*values, Reference("cas:67-56-1"), Json({"max": [1, None]}), Json(None)]:
            self.assertEqual(value_of(loads(value_json(value))), value)

    def test_digits_of_replies_are_kept(self) -> None:
        read = loads('[181.150, 42, -0, 18446744073709551616, {"a": 1.0}]')
        self.assertTrue(read[0] == 181.15 and isinstance(read[1], int))
        self.assertEqual([value_json(one) for one in read[:3]], [
            '{"type":"number","value":181.150}',
            '{"type":"integer","value":42}',
            '{"type":"number","value":-0}',
        ])  # fmt: skip
        self.assertEqual(value_json(read[3]), '{"type":"number","value":18446744073709551616}')
        self.assertEqual(value_json(read[4]), '{"type":"json","value":{"a":1.0}}')
        self.assertIsInstance(read[4]["a"], ExactFloat)
        self.assertEqual(value_json(Decimal("1.050")), '{"type":"number","value":1.050}')

    def test_floats_are_written_as_the_client_for_rust_writes_them(self) -> None:
        # The same table stands in crates/stemedb-client/src/value.rs.
        table = {
            0.1: "0.1",
            181.15: "181.15",
            -2.5: "-2.5",
            100.0: "100.0",
            1e15: "1000000000000000.0",
            1e16: "1e16",
            1.5e300: "1.5e300",
            0.001: "0.001",
            0.00001: "0.00001",
            1.25e-6: "1.25e-6",
            1e-7: "1e-7",
            5e-324: "5e-324",
            -0.0: "-0.0",
            9999999999999998.0: "9999999999999998.0",
            123456789.125: "123456789.125",
        }
        for number, digits in table.items():
            self.assertEqual(float_digits(number), digits)
            self.assertEqual(float(digits), number)
