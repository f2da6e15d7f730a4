import struct

from hypothesis import given
from hypothesis import strategies as st

from openami.compute.network.dns import answer

KNOWN = {
    "ip-10-113-240-5.ec2.internal": "10.113.240.5",
    "ip-10-113-240-6.ec2.internal": "10.113.240.6",
}
A, PTR, AAAA, ANY = 1, 12, 28, 255
NOERROR, FORMERR, NXDOMAIN, NOTIMP = 0, 1, 3, 4


def a_query(name: str, kind: int = A, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    head = struct.pack(">HHHHHH", 0x1234, flags, 1, 0, 0, 0)
    return head + labels + b"\0" + struct.pack(">HH", kind, 1)


def code(reply: bytes | None) -> int:
    assert reply is not None
    assert reply[:2] == b"\x12\x34"
    assert reply[2] & 0x80
    return reply[3] & 0x0F


def records(reply: bytes | None) -> int:
    assert reply is not None
    return struct.unpack_from(">H", reply, 6)[0]


def test_a_known_name_has_its_address() -> None:
    reply = answer(a_query("ip-10-113-240-6.ec2.internal"), KNOWN)
    assert (code(reply), records(reply)) == (NOERROR, 1)
    assert reply is not None
    assert reply.endswith(bytes((10, 113, 240, 6)))


def test_names_are_the_same_in_any_case_and_come_back_as_asked() -> None:
    query = a_query("IP-10-113-240-6.Ec2.Internal")
    reply = answer(query, KNOWN)
    assert records(reply) == 1
    assert reply is not None
    assert query[12:] in reply


def test_a_known_name_without_a_record_of_the_kind_exists_all_the_same() -> None:
    reply = answer(a_query("ip-10-113-240-6.ec2.internal", AAAA), KNOWN)
    assert (code(reply), records(reply)) == (NOERROR, 0)


def test_any_kind_will_do_where_any_is_asked_for() -> None:
    assert records(answer(a_query("ip-10-113-240-6.ec2.internal", ANY), KNOWN)) == 1


def test_an_address_has_its_name() -> None:
    reply = answer(a_query("6.240.113.10.in-addr.arpa", PTR), KNOWN)
    assert (code(reply), records(reply)) == (NOERROR, 1)
    assert reply is not None
    assert reply.endswith(b"\x0fip-10-113-240-6\x03ec2\x08internal\x00")


def test_everything_else_does_not_exist() -> None:
    for name in ("deb.debian.org", "ec2.internal", "9.240.113.10.in-addr.arpa", "a"):
        assert code(answer(a_query(name), KNOWN)) == NXDOMAIN


def test_what_is_no_query_has_no_answer() -> None:
    assert answer(a_query("a", flags=0x8180), KNOWN) is None
    assert answer(b"", KNOWN) is None
    assert answer(b"\x12\x34\x01\x00", KNOWN) is None


def test_a_broken_query_is_told_so_at_once() -> None:
    query = a_query("deb.debian.org")
    assert code(answer(query[:-3], KNOWN)) == FORMERR
    assert code(answer(query[:12], KNOWN)) == FORMERR
    assert code(answer(query[:4] + b"\0\2" + query[6:], KNOWN)) == FORMERR
    assert code(answer(query[:12] + b"\xc0\x0c" + query[12:], KNOWN)) == FORMERR


def test_other_operations_are_not_implemented() -> None:
    assert code(answer(a_query("a", flags=0x2800), KNOWN)) == NOTIMP


@given(st.binary(max_size=300))
def test_any_bytes_are_answered_or_not(data: bytes) -> None:
    answer(data, KNOWN)


@given(st.binary(max_size=300))
def test_any_question_is_answered_in_little_more_than_its_own_length(data: bytes) -> None:
    query = struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + data
    reply = answer(query, KNOWN)
    assert reply is not None
    assert len(reply) <= len(query) + 64
