"""An object's body: a 16-byte header, then the plain bytes or one zstd frame of them.

Header, little-endian: magic "oami", version u8, codec u8, flags u16 (none is known yet), length
of the plain bytes u64. A body is hostile until its digest has been seen to match: nothing is
allocated on its word beyond the limit of its kind.
"""

import struct
import threading
from typing import Final

import zstandard
from blake3 import blake3

from openami.blockstore.store import ChunkCorrupt, Kind
from openami.domain.block import BLOCK_BYTES, HOLE, Digest
from openami.domain.manifest import FANOUT

ZSTD_LEVEL: Final = 1
HEADER_BYTES: Final = 16
PLAIN_BYTES_MAX: Final = {Kind.CHUNK: BLOCK_BYTES, Kind.PAGE: FANOUT // 8 + FANOUT * len(HOLE)}

_HEADER: Final = struct.Struct("<4sBBHQ")
_MAGIC: Final = b"oami"
_VERSION: Final = 1
_STORED, _ZSTD = 0, 1

Buffer = bytes | bytearray | memoryview


class _PerThread(threading.local):
    """A zstd context serves one thread at a time, and making one costs as much as a chunk."""

    def __init__(self) -> None:
        self.compressor: Final = zstandard.ZstdCompressor(
            level=ZSTD_LEVEL, write_checksum=False, write_content_size=True
        )
        self.decompressor: Final = zstandard.ZstdDecompressor()


_contexts: Final = _PerThread()


def digest_of(plain: Buffer) -> Digest:
    return Digest(blake3(plain).digest())


def body_bytes_max(kind: Kind) -> int:
    """No body we wrote is longer: one that does not shrink is stored as it is."""
    return HEADER_BYTES + PLAIN_BYTES_MAX[kind]


def encode(plain: Buffer, kind: Kind = Kind.CHUNK) -> bytes:
    """The body to store. Pages are digests, which do not shrink, so they are not tried."""
    if kind is Kind.CHUNK:
        packed = _contexts.compressor.compress(plain)
        if len(packed) < len(plain):
            return _HEADER.pack(_MAGIC, _VERSION, _ZSTD, 0, len(plain)) + packed
    return _HEADER.pack(_MAGIC, _VERSION, _STORED, 0, len(plain)) + bytes(plain)


def decode(digest: Digest, body: bytes, kind: Kind = Kind.CHUNK) -> bytes:
    """The plain bytes of `body`. Raises ChunkCorrupt unless they are what `digest` names."""
    plain = _unpacked(digest, body, kind)
    if blake3(plain).digest() != digest:
        raise ChunkCorrupt(digest, kind, "has other bytes than its name says")
    return plain


def _unpacked(digest: Digest, body: bytes, kind: Kind) -> bytes:
    if not HEADER_BYTES <= len(body) <= body_bytes_max(kind):
        raise ChunkCorrupt(digest, kind, f"has {len(body)} bytes, which no object of ours has")
    magic, version, codec, flags, length = _HEADER.unpack_from(body)
    if (magic, version, flags) != (_MAGIC, _VERSION, 0):
        raise ChunkCorrupt(digest, kind, "has a header that this version does not know")
    payload = memoryview(body)[HEADER_BYTES:]
    if codec == _STORED and length == len(payload):
        return bytes(payload)
    if codec == _ZSTD and length <= PLAIN_BYTES_MAX[kind]:
        return _decompressed(digest, payload, kind, length)
    raise ChunkCorrupt(digest, kind, "has a header that contradicts its body")


def _decompressed(digest: Digest, payload: memoryview, kind: Kind, length: int) -> bytes:
    try:
        # The library allocates what the frame claims, whatever maximum it is given.
        if zstandard.frame_content_size(payload) != length:
            raise ChunkCorrupt(digest, kind, "has a frame that contradicts its header")
        plain = _contexts.decompressor.decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as wrong:
        raise ChunkCorrupt(digest, kind, f"does not decompress: {wrong}") from wrong
    if len(plain) != length:
        raise ChunkCorrupt(digest, kind, "decompresses to another length than its header says")
    return plain
