"""DHCP for one guest that has one address: a request's bytes in, an answer's bytes out. Pure.

RFC 2131 (protocol) and RFC 2132 (options). Requests are a guest's, so hostile: whatever
cannot be understood has no answer.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

LEASE_S: Final = 3600
MTU: Final = 1500

_FIXED: Final = 236  # bytes before the magic cookie
_COOKIE: Final = b"\x63\x82\x53\x63"
_PACKET_BYTES_MIN: Final = 300  # BOOTP's; some clients refuse less
_DISCOVER, _REQUEST, _INFORM = b"\x01", b"\x03", b"\x08"
_OFFER, _ACK, _NAK = b"\x02", b"\x05", b"\x06"
_REQUESTED_ADDRESS, _MESSAGE, _SERVER, _CLIENT = 50, 53, 54, 61
_PAD, _END = 0, 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a guest is told about its place in the network."""

    address: IPv4Address
    subnet: IPv4Network
    router: IPv4Address
    resolver: IPv4Address
    hostname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A packet for the guest: to its address where it has one, else to everyone on the wire.

    `leased` says that the guest holds the address from now.
    """

    packet: bytes
    to: str
    leased: bool


def answer(request: bytes, lease: Lease) -> Answer | None:
    options = _options(request)
    if options is None:
        return None
    kind, held, ours = options.get(_MESSAGE), request[12:16], lease.address.packed
    if kind == _DISCOVER:
        return _answered(request, options, lease, _OFFER)
    if kind == _INFORM:
        return _answered(request, options, lease, _ACK)
    if kind != _REQUEST or options.get(_SERVER, lease.router.packed) != lease.router.packed:
        return None  # released, declined, not DHCP, or meant for another server
    wanted = options.get(_REQUESTED_ADDRESS) or held
    return _answered(request, options, lease, _ACK if wanted == ours else _NAK)


def _answered(request: bytes, options: dict[int, bytes], lease: Lease, kind: bytes) -> Answer:
    informed = options[_MESSAGE] == _INFORM
    # Only a client that holds the address hears what is sent to it (RFC 2131, 4.1).
    unicast = request[12:16] == lease.address.packed and kind == _ACK
    told = [(_MESSAGE, kind), (_SERVER, lease.router.packed)]
    if kind != _NAK:
        told += _described(lease, informed)
    if _CLIENT in options:
        told.append((_CLIENT, options[_CLIENT]))  # RFC 6842
    yours = bytes(4) if informed or kind == _NAK else lease.address.packed
    packet = b"".join(
        [
            struct.pack(">BBBB", 2, 1, 6, 0),
            request[4:8],  # xid
            bytes(2) + request[10:12],  # secs, flags
            bytes(4) if kind == _NAK else request[12:16],  # ciaddr
            yours,
            lease.router.packed,
            bytes(4),  # giaddr: there is no relay on a tap
            request[28:44],  # chaddr
            bytes(192) + _COOKIE,  # sname, file
            *(bytes((code, len(value))) + value for code, value in told),
            bytes((_END,)),
        ]
    )
    return Answer(
        packet=packet.ljust(_PACKET_BYTES_MIN, b"\0"),
        to=str(lease.address) if unicast else "255.255.255.255",
        leased=kind == _ACK and not informed,
    )


def _described(lease: Lease, informed: bool) -> list[tuple[int, bytes]]:
    name, _, domain = lease.hostname.partition(".")
    told = [
        (1, lease.subnet.netmask.packed),
        (3, lease.router.packed),
        (6, lease.resolver.packed),
        (12, name.encode()[:63]),
        (15, domain.encode()[:253]),
        (26, struct.pack(">H", MTU)),
        (28, lease.subnet.broadcast_address.packed),
    ]
    if not informed:
        told.append((51, struct.pack(">I", LEASE_S)))
    return [(code, value) for code, value in told if value]


def _options(request: bytes) -> dict[int, bytes] | None:
    """The options of a request over Ethernet, None if it is not one or is cut short."""
    if len(request) < _FIXED + 4 or request[:3] != b"\x01\x01\x06":
        return None
    if request[_FIXED : _FIXED + 4] != _COOKIE:
        return None
    options: dict[int, bytes] = {}
    at = _FIXED + 4
    while at < len(request) and request[at] != _END:
        if request[at] == _PAD:
            at += 1
            continue
        if at + 1 >= len(request) or at + 2 + request[at + 1] > len(request):
            return None
        options[request[at]] = request[at + 2 : at + 2 + request[at + 1]]
        at += 2 + request[at + 1]
    return options
