"""BLAKE3 of short texts (https://github.com/BLAKE3-team/BLAKE3-specs), for the ids of claims. Unkeyed, 32 bytes."""

from __future__ import annotations

import struct
from typing import List, Sequence, Tuple

_IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_LANES = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8
_CHUNK_BYTES, _BLOCK_BYTES = 1024, 64
_MASK = 0xFFFFFFFF

Output = Tuple[Sequence[int], List[int], int, int, int]


def _rotated(word: int, right: int) -> int:
    return (word >> right | word << (32 - right)) & _MASK


def _compress(chaining: Sequence[int], block: List[int], counter: int, length: int, flags: int) -> List[int]:
    v = list(chaining) + list(_IV[:4]) + [counter & _MASK, counter >> 32, length, flags]
    for rounds in range(7):
        for at, (a, b, c, d) in enumerate(_LANES):
            v[a] = (v[a] + v[b] + block[2 * at]) & _MASK
            v[d] = _rotated(v[d] ^ v[a], 16)
            v[c] = (v[c] + v[d]) & _MASK
            v[b] = _rotated(v[b] ^ v[c], 12)
            v[a] = (v[a] + v[b] + block[2 * at + 1]) & _MASK
            v[d] = _rotated(v[d] ^ v[a], 8)
            v[c] = (v[c] + v[d]) & _MASK
            v[b] = _rotated(v[b] ^ v[c], 7)
        if rounds < 6:
            block = [block[at] for at in _PERMUTATION]
    return [v[at] ^ v[at + 8] for at in range(8)]


def _chunk(data: bytes, counter: int) -> Output:
    """The last compression of a chunk, which is another one where it is the root."""
    blocks = [data[at : at + _BLOCK_BYTES] for at in range(0, len(data), _BLOCK_BYTES)] or [b""]
    chaining: Sequence[int] = _IV
    for at, block in enumerate(blocks):
        words = list(struct.unpack("<16I", block.ljust(_BLOCK_BYTES, b"\0")))
        flags = (_CHUNK_START if at == 0 else 0) | (_CHUNK_END if at + 1 == len(blocks) else 0)
        if at + 1 == len(blocks):
            return chaining, words, counter, len(block), flags
        chaining = _compress(chaining, words, counter, len(block), flags)
    raise AssertionError("a chunk has a block")


def _tree(data: bytes, counter: int) -> Output:
    """The left part of a tree is the largest power of two of chunks that leaves something to the right."""
    if len(data) <= _CHUNK_BYTES:
        return _chunk(data, counter)
    chunks = (len(data) - 1) // _CHUNK_BYTES
    left = 1 << (chunks.bit_length() - 1)
    cut = left * _CHUNK_BYTES
    children = _compress(*_tree(data[:cut], counter)) + _compress(*_tree(data[cut:], counter + left))
    return _IV, children, 0, _BLOCK_BYTES, _PARENT


def blake3(data: bytes) -> bytes:
    """The hash of ``data``. Some 100 µs for a claim."""
    chaining, block, counter, length, flags = _tree(data, 0)
    return struct.pack("<8I", *_compress(chaining, block, counter, length, flags | _ROOT))
