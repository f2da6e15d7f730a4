"""The options of fixed newstyle negotiation, until a client reads, or goes.

A client's options are hostile: each is bounded before it is read, and read before it is believed.
"""

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from openami.nbd import wire
from openami.nbd.wire import ClientFlag, ExportFlag, Option, Rep

TIMEOUT_S: Final = 10.0
OPTIONS_MAX: Final = 64
OPTION_BYTES_MAX: Final = 16 * 1024  # a name has at most 4 KiB, and so have a few queries
_U32: Final = struct.Struct(">I")
_U16: Final = struct.Struct(">H")


class HandshakeFailed(Exception):
    """The client does not speak NBD, or not one that we do, or asked to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """How requests of this connection are answered."""

    structured: bool
    allocation: bool  # whether BLOCK_STATUS may be asked


class _Malformed(Exception):
    """An option's data is not what that option has: it is answered with ERR_INVALID."""


class Handshake:
    """What one client has negotiated so far. `names` are those by which the disk may be asked."""

    def __init__(self, size_bytes: int, names: Sequence[bytes], *, no_zeroes: bool) -> None:
        self._size_bytes, self._names, self._no_zeroes = size_bytes, names, no_zeroes
        self._structured = False
        self._allocation_of: bytes | None = None  # the name for which that context was chosen
        self.agreed: Agreed | None = None

    def answer(self, option: int, data: bytes) -> bytes:
        """The reply; `agreed` is set when requests follow. Raises HandshakeFailed."""
        if option == Option.EXPORT_NAME:
            return self._export_name(data)
        try:
            match option:
                case Option.LIST:
                    return self._list(data)
                case Option.INFO | Option.GO:
                    return self._info(option, data)
                case Option.STRUCTURED_REPLY:
                    return self._structured_reply(data)
                case Option.LIST_META_CONTEXT | Option.SET_META_CONTEXT:
                    return self._meta_context(option, data)
                case _:
                    return wire.option_reply(option, Rep.ERR_UNSUP)
        except _Malformed as wrong:
            return wire.option_reply(option, Rep.ERR_INVALID, str(wrong).encode())

    def _export_name(self, name: bytes) -> bytes:
        if name not in self._names:
            raise HandshakeFailed("it asked for another export")  # no reply can say so
        self._agree(name)
        flags = self._flags()
        return wire.export_name_reply(self._size_bytes, flags, no_zeroes=self._no_zeroes)

    def _list(self, data: bytes) -> bytes:
        if data:
            raise _Malformed("LIST has no data")
        server = wire.option_reply(Option.LIST, Rep.SERVER, _U32.pack(0))
        return server + wire.option_reply(Option.LIST, Rep.ACK)

    def _info(self, option: int, data: bytes) -> bytes:
        name, rest = _name(data)
        wanted, rest = _taken(rest, _U16)
        if len(rest) != 2 * wanted:
            raise _Malformed("the number of information requests is wrong")
        if name not in self._names:
            return wire.option_reply(option, Rep.ERR_UNKNOWN)
        if option == Option.GO:
            self._agree(name)
        infos = (wire.export_info(self._size_bytes, self._flags()), wire.block_size_info())
        replies = [wire.option_reply(option, Rep.INFO, info) for info in infos]
        return b"".join([*replies, wire.option_reply(option, Rep.ACK)])

    def _structured_reply(self, data: bytes) -> bytes:
        if data:
            raise _Malformed("STRUCTURED_REPLY has no data")
        self._structured = True
        return wire.option_reply(Option.STRUCTURED_REPLY, Rep.ACK)

    def _meta_context(self, option: int, data: bytes) -> bytes:
        if not self._structured:
            raise _Malformed("metadata contexts need structured replies")
        name, rest = _name(data)
        queries = _queries(rest)
        if option == Option.SET_META_CONTEXT:
            self._allocation_of = None
        if name not in self._names:
            return wire.option_reply(option, Rep.ERR_UNKNOWN)
        listing = option == Option.LIST_META_CONTEXT
        asked = {wire.ALLOCATION, b"base:"} if listing else {wire.ALLOCATION}
        replies: list[bytes] = []
        if asked.intersection(queries) or (listing and not queries):
            context = _U32.pack(0 if listing else wire.ALLOCATION_ID) + wire.ALLOCATION
            replies.append(wire.option_reply(option, Rep.META_CONTEXT, context))
            if not listing:
                self._allocation_of = name
        return b"".join([*replies, wire.option_reply(option, Rep.ACK)])

    def _agree(self, name: bytes) -> None:
        allocation = self._structured and self._allocation_of == name
        self.agreed = Agreed(structured=self._structured, allocation=allocation)

    def _flags(self) -> int:
        return wire.OURS | (ExportFlag.SEND_DF if self._structured else 0)


def negotiate(connection: socket.socket, size_bytes: int, names: Sequence[bytes]) -> Agreed:
    """Speak with a client until it reads. Raises HandshakeFailed, OSError.

    All of it has to be done within TIMEOUT_S, however slowly the bytes come.
    """
    deadline = time.monotonic() + TIMEOUT_S
    connection.settimeout(TIMEOUT_S)
    connection.sendall(wire.GREETING)
    flags = _U32.unpack(_received(connection, 4, deadline))[0]
    if flags & ~int(ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES):  # ~ of a Flag is not all
        raise HandshakeFailed(f"it has flags that are not known: {flags:#x}")
    handshake = Handshake(size_bytes, names, no_zeroes=bool(flags & ClientFlag.NO_ZEROES))
    for _ in range(OPTIONS_MAX):
        asked = wire.option_of(_received(connection, wire.OPTION.size, deadline))
        if asked is None or asked[1] > OPTION_BYTES_MAX:
            raise HandshakeFailed("it does not speak NBD, or at too great a length")
        option, length = asked
        data = _received(connection, length, deadline)
        if option == Option.ABORT:
            connection.sendall(wire.option_reply(option, Rep.ACK))
            raise HandshakeFailed("it asked to end")
        connection.sendall(handshake.answer(option, data))
        if handshake.agreed is not None:
            connection.settimeout(None)
            return handshake.agreed
    raise HandshakeFailed("it negotiates without end")


def _received(connection: socket.socket, length: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < length:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(length - len(data))
        if not part:
            raise HandshakeFailed("it went away")
        data += part
    return bytes(data)


def _taken(data: bytes, number: struct.Struct) -> tuple[int, bytes]:
    if len(data) < number.size:
        raise _Malformed("it ends in a number")
    return number.unpack_from(data)[0], data[number.size :]


def _name(data: bytes) -> tuple[bytes, bytes]:
    length, rest = _taken(data, _U32)
    if length > len(rest):
        raise _Malformed("it ends in a name")
    return rest[:length], rest[length:]


def _queries(data: bytes) -> Sequence[bytes]:
    count, rest = _taken(data, _U32)
    found: list[bytes] = []
    while rest:
        query, rest = _name(rest)
        found.append(query)
    if len(found) != count:
        raise _Malformed("the number of queries is wrong")
    return found
