"""DNS for the guests of one VPC, which knows their own names and nothing else. Pure.

Whatever it does not know does not exist (NXDOMAIN), said at once: cloud-init waits 10 s for
each of four names when nobody answers. RFC 1035. Queries are a guest's, so hostile.
"""

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Final

TTL_S: Final = 60

_A, _PTR, _ANY, _IN = 1, 12, 255, 1
_NOERROR, _FORMAT_ERROR, _NXDOMAIN, _NOT_IMPLEMENTED = 0, 1, 3, 4
_HEADER_BYTES: Final = 12
_REVERSE: Final = ".in-addr.arpa"


def answer(query: bytes, addresses: Mapping[str, str]) -> bytes | None:
    """The answer to a query, given the address of each known name; None to what is no query."""
    if len(query) < _HEADER_BYTES or query[2] & 0x80:
        return None
    questions = struct.unpack_from(">H", query, 4)[0]
    if query[2] & 0x78:
        return _reply(query, _NOT_IMPLEMENTED, b"", b"")
    parsed = _question(query) if questions == 1 else None
    if parsed is None:
        return _reply(query, _FORMAT_ERROR, b"", b"")
    name, kind, end = parsed
    data = _data(name, addresses)
    if data is None:
        return _reply(query, _NXDOMAIN, query[_HEADER_BYTES:end], b"")
    its_kind, value = data
    if kind not in (its_kind, _ANY):
        return _reply(query, _NOERROR, query[_HEADER_BYTES:end], b"")
    # 0xc00c points at the name in the question.
    record = struct.pack(">HHHIH", 0xC00C, its_kind, _IN, TTL_S, len(value)) + value
    return _reply(query, _NOERROR, query[_HEADER_BYTES:end], record)


def _reply(query: bytes, code: int, question: bytes, record: bytes) -> bytes:
    flags = 0x8480 | (query[2] & 0x79) << 8 | code  # an answer, with authority, RD as it came
    counts = struct.pack(">HHHH", bool(question), bool(record), 0, 0)
    return query[:2] + struct.pack(">H", flags) + counts + question + record


def _question(query: bytes) -> tuple[str, int, int] | None:
    """The name asked for (lower case), the type, and where the question ends."""
    labels: list[str] = []
    at = _HEADER_BYTES
    while at < len(query) and query[at]:
        length = query[at]
        if length > 63 or at - _HEADER_BYTES > 255:  # compressed, or longer than a name may be
            return None
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    if at + 5 > len(query):
        return None
    kind, family = struct.unpack_from(">HH", query, at + 1)
    return (".".join(labels), kind, at + 5) if family in (_IN, 255) else None


def _data(name: str, addresses: Mapping[str, str]) -> tuple[int, bytes] | None:
    if name in addresses:
        return _A, IPv4Address(addresses[name]).packed
    if not name.endswith(_REVERSE):
        return None
    address = ".".join(reversed(name.removesuffix(_REVERSE).split(".")))
    for known, its_address in addresses.items():
        if its_address == address:
            return _PTR, b"".join(_label(part) for part in known.split(".")) + b"\0"
    return None


def _label(text: str) -> bytes:
    encoded = text.encode("ascii", "replace")[:63]
    return bytes((len(encoded),)) + encoded
