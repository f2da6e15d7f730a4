import struct
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from openami.compute.network.dhcp import Answer, Lease, answer

LEASE = Lease(
    address=IPv4Address("10.113.240.5"),
    subnet=IPv4Network("10.113.240.0/24"),
    router=IPv4Address("10.113.240.1"),
    resolver=IPv4Address("10.113.240.2"),
    hostname="ip-10-113-240-5.ec2.internal",
)
MINE = LEASE.address.packed
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)


def a_request(kind: int, ciaddr: bytes = bytes(4), **options: bytes) -> bytes:
    """`options` are named o50, o54 …"""
    told = {53: bytes((kind,))} | {int(name[1:]): value for name, value in options.items()}
    return (
        struct.pack(">BBBBIHH", 1, 1, 6, 0, 0xCAFEBABE, 7, 0x8000)
        + ciaddr
        + bytes(12)
        + bytes.fromhex("06000a71f005").ljust(16, b"\0")
        + bytes(192)
        + b"\x63\x82\x53\x63"
        + b"".join(bytes((code, len(value))) + value for code, value in told.items())
        + b"\xff"
    )


def options(told: Answer) -> dict[int, bytes]:
    found, at = {}, 240
    while told.packet[at] != 255:
        code, length = told.packet[at], told.packet[at + 1]
        found[code] = told.packet[at + 2 : at + 2 + length]
        at += 2 + length
    return found


def answered(request: bytes) -> Answer:
    told = answer(request, LEASE)
    assert told is not None
    return told


def test_a_discover_is_offered_the_one_address() -> None:
    told = answered(a_request(DISCOVER))
    assert options(told)[53] == bytes((OFFER,))
    assert told.packet[16:20] == MINE
    assert told.to == "255.255.255.255"
    assert not told.leased


def test_the_answer_belongs_to_the_request() -> None:
    told = answered(a_request(DISCOVER)).packet
    assert told[0] == 2
    assert told[4:8] == bytes.fromhex("cafebabe")
    assert told[28:34] == bytes.fromhex("06000a71f005")
    assert told[10:12] == b"\x80\x00"
    assert len(told) >= 300


def test_a_request_is_acknowledged_with_everything_a_guest_needs() -> None:
    told = answered(a_request(REQUEST, o50=MINE, o54=LEASE.router.packed))
    assert told.leased
    assert options(told) == {
        53: bytes((ACK,)),
        54: LEASE.router.packed,
        1: b"\xff\xff\xff\x00",
        3: LEASE.router.packed,
        6: LEASE.resolver.packed,
        12: b"ip-10-113-240-5",
        15: b"ec2.internal",
        26: struct.pack(">H", 1500),
        28: IPv4Address("10.113.240.255").packed,
        51: struct.pack(">I", 3600),
    }


def test_a_client_that_still_remembers_another_address_is_refused() -> None:
    told = answered(a_request(REQUEST, o50=IPv4Address("192.168.1.7").packed))
    assert options(told)[53] == bytes((NAK,))
    assert told.packet[16:20] == bytes(4)
    assert not told.leased
    assert 51 not in options(told)


def test_a_renewal_is_answered_to_the_address_itself() -> None:
    told = answered(a_request(REQUEST, ciaddr=MINE))
    assert options(told)[53] == bytes((ACK,))
    assert told.to == str(LEASE.address)
    assert told.packet[12:16] == MINE


def test_a_renewal_of_a_wrong_address_is_refused_to_everyone() -> None:
    told = answered(a_request(REQUEST, ciaddr=IPv4Address("10.113.240.9").packed))
    assert options(told)[53] == bytes((NAK,))
    assert told.to == "255.255.255.255"


def test_a_client_that_has_its_address_is_informed_of_the_rest() -> None:
    told = answered(a_request(INFORM, ciaddr=MINE))
    assert options(told)[53] == bytes((ACK,))
    assert told.packet[16:20] == bytes(4)
    assert 51 not in options(told)
    assert options(told)[6] == LEASE.resolver.packed
    assert not told.leased


def test_what_is_meant_for_another_server_has_no_answer() -> None:
    other = IPv4Address("10.113.240.77").packed
    assert answer(a_request(REQUEST, o50=MINE, o54=other), LEASE) is None


def test_letting_go_of_the_address_has_no_answer() -> None:
    for kind in (RELEASE, DECLINE, OFFER, ACK, 0, 99):
        assert answer(a_request(kind, ciaddr=MINE), LEASE) is None


def test_the_clients_identifier_comes_back() -> None:
    assert options(answered(a_request(DISCOVER, o61=b"\x01abcdef")))[61] == b"\x01abcdef"


def test_replies_and_other_media_have_no_answer() -> None:
    request = a_request(DISCOVER)
    assert answer(b"\x02" + request[1:], LEASE) is None
    assert answer(request[:1] + b"\x20" + request[2:], LEASE) is None
    assert answer(request[:236] + b"nope" + request[240:], LEASE) is None


def test_a_packet_cut_short_has_no_answer() -> None:
    request = a_request(REQUEST, o50=MINE)
    for length in range(240 + 3):
        assert answer(request[:length], LEASE) is None
    for length in range(244, 249):
        assert answer(request[:length], LEASE) is None


@given(st.binary(max_size=400))
def test_any_bytes_are_answered_or_not(data: bytes) -> None:
    answer(data, LEASE)


@given(st.binary(max_size=300))
def test_any_options_are_answered_or_not(data: bytes) -> None:
    told = answer(a_request(DISCOVER)[:240] + data, LEASE)
    assert told is None or len(told.packet) <= 300 + 257
