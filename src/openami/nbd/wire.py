"""NBD's bytes, as values: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md.

Numbers are the protocol's, big-endian. Only what a read-only server of ours speaks is here.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

BLOCK_BYTES_PREFERRED: Final = 4096
PAYLOAD_BYTES_MAX: Final = 32 * 1024 * 1024
"""The longest READ: what the handshake tells, and what clients assume of servers that do not."""

GREETING: Final = struct.pack(">8s8sH", b"NBDMAGIC", b"IHAVEOPT", 0b11)  # fixed newstyle, no zeroes
ALLOCATION: Final = b"base:allocation"
ALLOCATION_ID: Final = 1
HOLE_AND_ZERO: Final = 0b11

OPTION: Final = struct.Struct(">8sII")
REQUEST: Final = struct.Struct(">IHHQQI")
REQUEST_MAGIC: Final = 0x25609513

_OPTION_MAGIC: Final = b"IHAVEOPT"
_OPTION_REPLY: Final = struct.Struct(">QIII")
_OPTION_REPLY_MAGIC: Final = 0x3E889045565A9
_SIMPLE: Final = struct.Struct(">IIQ")
_SIMPLE_MAGIC: Final = 0x67446698
_CHUNK: Final = struct.Struct(">IHHQI")
_CHUNK_AT: Final = struct.Struct(">IHHQIQ")
_CHUNK_HOLE: Final = struct.Struct(">IHHQIQI")
_CHUNK_MAGIC: Final = 0x668E33EF
_NONE, _OFFSET_DATA, _OFFSET_HOLE, _BLOCK_STATUS, _ERROR = 0, 1, 2, 5, 32769
_DONE: Final = 1


class ClientFlag(IntFlag):
    FIXED_NEWSTYLE = 1
    NO_ZEROES = 2


class ExportFlag(IntFlag):
    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8
    SEND_CACHE = 1 << 10


OURS: Final = (
    ExportFlag.HAS_FLAGS
    | ExportFlag.READ_ONLY
    | ExportFlag.SEND_FLUSH
    | ExportFlag.CAN_MULTI_CONN
    | ExportFlag.SEND_CACHE
)


class Option(IntEnum):
    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class Rep(IntEnum):
    """How an option is answered."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = 0x80000001
    ERR_INVALID = 0x80000003
    ERR_UNKNOWN = 0x80000006


class Info(IntEnum):
    EXPORT = 0
    BLOCK_SIZE = 3


class Command(IntEnum):
    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    CACHE = 5
    BLOCK_STATUS = 7


class CommandFlag(IntFlag):
    DF = 1 << 2
    REQ_ONE = 1 << 3


class Errno(IntEnum):
    """The protocol's own numbers, which are Linux's."""

    EPERM = 1
    EIO = 5
    EINVAL = 22


class Request(NamedTuple):
    """What a client wants, as `REQUEST` has it after the magic; the answer has its `cookie`.

    A tuple, since one is made for each 4 KiB that a guest reads.
    """

    flags: int
    command: int
    cookie: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    length: int
    is_hole: bool


def option_of(header: bytes) -> tuple[int, int] | None:
    """Which option, and the length of its data; None if the client speaks something else."""
    magic, option, length = OPTION.unpack(header)
    return (option, length) if magic == _OPTION_MAGIC else None


def option_reply(option: int, kind: Rep, data: bytes = b"") -> bytes:
    return _OPTION_REPLY.pack(_OPTION_REPLY_MAGIC, option, kind, len(data)) + data


def export_info(size_bytes: int, flags: int) -> bytes:
    return struct.pack(">HQH", Info.EXPORT, size_bytes, flags)


def block_size_info() -> bytes:
    return struct.pack(">HIII", Info.BLOCK_SIZE, 1, BLOCK_BYTES_PREFERRED, PAYLOAD_BYTES_MAX)


def export_name_reply(size_bytes: int, flags: int, *, no_zeroes: bool) -> bytes:
    return struct.pack(">QH", size_bytes, flags) + (b"" if no_zeroes else bytes(124))


def simple(cookie: int, error: int = 0) -> bytes:
    """A whole answer, or the header before the bytes of a READ."""
    return _SIMPLE.pack(_SIMPLE_MAGIC, error, cookie)


def none(cookie: int) -> bytes:
    """A structured answer without content, the last chunk of its kind."""
    return _CHUNK.pack(_CHUNK_MAGIC, _DONE, _NONE, cookie, 0)


def failed(cookie: int, error: int) -> bytes:
    return _CHUNK.pack(_CHUNK_MAGIC, _DONE, _ERROR, cookie, 6) + struct.pack(">IH", error, 0)


def data_header(cookie: int, offset: int, length: int, *, last: bool) -> bytes:
    """Goes before `length` bytes of the disk at `offset`."""
    return _CHUNK_AT.pack(_CHUNK_MAGIC, last, _OFFSET_DATA, cookie, 8 + length, offset)


def hole(cookie: int, offset: int, length: int, *, last: bool) -> bytes:
    return _CHUNK_HOLE.pack(_CHUNK_MAGIC, last, _OFFSET_HOLE, cookie, 12, offset, length)


def block_status(cookie: int, extents: Sequence[Extent]) -> bytes:
    body = struct.pack(">I", ALLOCATION_ID) + b"".join(
        struct.pack(">II", each.length, HOLE_AND_ZERO if each.is_hole else 0) for each in extents
    )
    return _CHUNK.pack(_CHUNK_MAGIC, _DONE, _BLOCK_STATUS, cookie, len(body)) + body
