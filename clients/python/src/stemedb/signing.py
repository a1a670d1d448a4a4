"""Ids and signatures, made here.

Ids need nothing but this package. Signatures are Ed25519's, by ``cryptography``: ``pip install stemedb[signing]``.
"""

from __future__ import annotations

from typing import Any

from ._blake3 import blake3
from ._canonical import claim_bytes, supersession_bytes, vote_bytes
from .errors import Unsendable
from .records import Assertion, Cosignature, Supersession, Vote

_CLAIM = b"stemedb claim v1\0"
_CLAIM_SIGNATURE = b"stemedb signature v1\0"
_VOTE_SIGNATURE = b"stemedb vote v1\0"
_SUPERSESSION_SIGNATURE = b"stemedb supersession v1\0"


def claim_id(claim: Assertion) -> str:
    """The id that the server gives a claim: 64 hexadecimal digits."""
    return blake3(_CLAIM + claim_bytes(claim)).hex()


class AgentKey:
    """An agent's private key, grown from 32 secret bytes (``secrets.token_bytes(32)``). Prints as its public half only."""

    def __init__(self, seed: bytes) -> None:
        try:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as error:
            raise ImportError("signatures need cryptography: pip install stemedb[signing]") from error
        if len(seed) != 32:
            raise Unsendable("a key grows from 32 bytes")
        key = Ed25519PrivateKey.from_private_bytes(seed)
        self._key: Any = key
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        #: The agent's id: the public key, 64 hexadecimal digits.
        self.agent: str = raw.hex()

    def __repr__(self) -> str:
        return f"AgentKey({self.agent})"

    def _sign(self, message: bytes) -> str:
        signature: bytes = self._key.sign(message)
        return signature.hex()

    def sign_claim(self, claim: Assertion) -> None:
        """Adds the signature, in place of an earlier one. Sign last: every other change makes another claim of it."""
        signature = self._sign(_CLAIM_SIGNATURE + bytes.fromhex(claim_id(claim)))
        others = [other for other in claim.signatures if other["agent"] != self.agent]
        claim.signatures = [*others, {"agent": self.agent, "signature": signature}]

    def sign_vote(self, vote: Vote) -> None:
        """Makes this agent the voter, and signs."""
        vote.agent = self.agent
        vote.signature = self._sign(_VOTE_SIGNATURE + vote_bytes(vote))

    def sign_supersession(self, change: Supersession) -> None:
        """Makes this agent its agent, and signs."""
        change.agent = self.agent
        change.signature = self._sign(_SUPERSESSION_SIGNATURE + supersession_bytes(change))

    def cosign(self, claim: str) -> Cosignature:
        """Signs a claim that is there, by its id; import it."""
        return Cosignature(claim, self.agent, self._sign(_CLAIM_SIGNATURE + bytes.fromhex(claim)))
