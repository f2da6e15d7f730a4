"""Reads disks out of a store by what docs/storage.md says of its formats, and by nothing else."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import zstandard
from blake3 import blake3

_BLOCK_BYTES: Final = 524288
_ENTRIES: Final = 256
_HOLE: Final = bytes(32)


def disk(store: Path, root: str) -> bytes:
    """The disk that a root's text names, out of the store in this directory."""
    _, digest, blocks = root.split(":")
    levels = 1
    while _ENTRIES**levels < int(blocks):
        levels += 1
    found = bytearray(int(blocks) * _BLOCK_BYTES)
    for index, chunk in _chunks(store, bytes.fromhex(digest), levels - 1, 0):
        plain = _plain(store / "c", chunk)
        found[index * _BLOCK_BYTES : (index + 1) * _BLOCK_BYTES] = plain
    return bytes(found)


def _chunks(store: Path, page: bytes, level: int, first: int) -> Iterator[tuple[int, bytes]]:
    if page == _HOLE:
        return
    text = _plain(store / "n", page)
    bitmap, digests = int.from_bytes(text[:32], "big"), text[32:]
    there = [entry for entry in range(_ENTRIES) if bitmap >> (_ENTRIES - 1 - entry) & 1]
    for position, entry in enumerate(there):
        digest = digests[position * 32 : (position + 1) * 32]
        index = first + entry * _ENTRIES**level
        if level == 0:
            yield index, digest
        else:
            yield from _chunks(store, digest, level - 1, index)


def _plain(kind: Path, digest: bytes) -> bytes:
    name = digest.hex()
    stored = (kind / name[:2] / name).read_bytes()
    magic, version, codec, flags, length = struct.unpack("<4sBBHQ", stored[:16])
    assert (magic, version, flags) == (b"oami", 1, 0)
    plain = {0: bytes, 1: zstandard.decompress}[codec](stored[16:])
    assert len(plain) == length
    assert blake3(plain).digest() == digest
    return plain
