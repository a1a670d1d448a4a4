"""Signatures are those of the engine. Not found by name: these tests need `cryptography`, which `cargo xtask python` brings."""

from __future__ import annotations

import unittest

from stemedb import Supersession, Vote
from stemedb.signing import AgentKey, claim_id

from .test_values import full, golden


class Signatures(unittest.TestCase):
    def test_golden_signatures_are_made_again(self) -> None:
        first, second, third = (AgentKey(bytes([seed] * 32)) for seed in (1, 2, 3))
        claim = full()
        for key in (first, second, first):
            key.sign_claim(claim)
        lines = sorted(f"signature {one['agent']} {one['signature']}" for one in claim.signatures)
        self.assertEqual(lines, golden("the same claim signed by two agents")[2:])

        vote = Vote(claim_id(claim), None, -0.25, "cannot be reproduced")
        second.sign_vote(vote)
        self.assertEqual(f"signature {vote.signature}", golden("a vote with reason and signature")[1])

        change = Supersession(claim_id(claim), "33" * 32, "corrects", "misread")
        first.sign_supersession(change)
        self.assertEqual(f"signature {change.signature}", golden("a correction with reason and signature")[1])
        cosigned = third.cosign(claim_id(claim))
        self.assertEqual(f"signature {cosigned.signature}", golden("a co-signature")[1])
        self.assertNotIn("01" * 32, repr(first))

    def test_what_the_page_about_clients_shows(self) -> None:
        seed, claim = bytes([7] * 32), full()
        AgentKey(seed).sign_claim(claim)
        self.assertEqual(len(claim.signatures), 1)
