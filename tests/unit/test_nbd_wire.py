"""The NBD server as its clients meet it, byte by byte: also those who mean no good."""

import errno
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from openami.domain.block import BLOCK_BYTES
from openami.nbd.answers import extents_of
from openami.nbd.exports import CONNECTIONS_MAX
from openami.nbd.poller import Attended, Poller
from openami.nbd.wire import PAYLOAD_BYTES_MAX, Extent
from support import nbd
from support.blocks import a_block
from support.nbd import HERE, Client, CountingStore, Gone, a_daemon, content, named, stored
from support.waiting import until

BLOCKS = {0: a_block("zero"), 1: a_block("one"), 3: a_block("three"), 300: a_block("far")}
SIZE = 512  # blocks
DISK = content(BLOCKS, SIZE)
HOLE = 3
DF, REQ_ONE = 4, 8


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of an export that serves DISK."""
    store = CountingStore()
    with a_daemon(tmp_path_factory.mktemp("nbd"), {HERE: store}) as daemon:
        yield daemon.exports.open("vol-1", HERE, stored(store, BLOCKS, SIZE), 0)


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    with Client(path) as client:
        yield client


def test_an_export_says_how_long_it_is_and_that_it_is_read_only(client: Client) -> None:
    replies = dict((data[:2], data[2:]) for _, data in client.option(nbd.INFO, named(b"vol-1")))
    size, flags = struct.unpack(">QH", replies[b"\0\0"])
    assert size == len(DISK)
    assert flags & 0b10, "read-only"
    assert flags & 1 << 8, "many connections see the same"
    assert struct.unpack(">III", replies[b"\0\3"]) == (1, 4096, PAYLOAD_BYTES_MAX)


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, 1),
        (511, 1025),
        (BLOCK_BYTES - 1, 2),
        (BLOCK_BYTES, BLOCK_BYTES),
        (2 * BLOCK_BYTES + 5, 7),
        (0, PAYLOAD_BYTES_MAX),
        (299 * BLOCK_BYTES + 1, 3 * BLOCK_BYTES),
        (len(DISK) - 3, 3),
    ],
)
def test_what_is_read_is_the_disk(
    client: Client, structured: bool, offset: int, length: int
) -> None:
    assert client.go(structured=structured) == len(DISK)
    assert client.read(offset, length) == DISK[offset : offset + length]


def test_holes_are_told_and_not_sent(client: Client) -> None:
    client.go()
    client.ask(nbd.READ, BLOCK_BYTES, 2 * BLOCK_BYTES)
    assert client.chunk()[:2] == (0, 1)
    flags, kind, _, body = client.chunk()
    assert (flags, kind) == (1, 2)
    assert struct.unpack(">QI", body) == (2 * BLOCK_BYTES, BLOCK_BYTES)


def test_who_wants_one_piece_gets_one(client: Client) -> None:
    client.go()
    client.ask(nbd.READ, 0, 5 * BLOCK_BYTES, flags=DF)
    flags, kind, _, body = client.chunk()
    assert (flags, kind) == (1, 1)
    assert body[8:] == DISK[: 5 * BLOCK_BYTES]


def test_extents_tell_data_and_holes_from_the_offset_on(client: Client) -> None:
    client.go()
    assert client.extents(BLOCK_BYTES + 512, len(DISK) - BLOCK_BYTES - 512) == [
        (BLOCK_BYTES - 512, 0),
        (BLOCK_BYTES, HOLE),
        (BLOCK_BYTES, 0),
        (296 * BLOCK_BYTES, HOLE),
        (BLOCK_BYTES, 0),
        (211 * BLOCK_BYTES, HOLE),
    ]
    assert client.extents(0, len(DISK), flags=REQ_ONE) == [(2 * BLOCK_BYTES, 0)]


def test_extents_are_merged_and_limited() -> None:
    alternating = extents_of(lambda index: (index % 2 == 0, index + 1), 1, 100 * BLOCK_BYTES, 4)
    assert alternating == [
        Extent(length=BLOCK_BYTES - 1, is_hole=False),
        Extent(length=BLOCK_BYTES, is_hole=True),
        Extent(length=BLOCK_BYTES, is_hole=False),
        Extent(length=BLOCK_BYTES, is_hole=True),
    ]
    assert extents_of(lambda index: (True, index + 1), 0, 100 * BLOCK_BYTES, 1) == [
        Extent(length=100 * BLOCK_BYTES, is_hole=False)
    ]


def test_requests_in_one_packet_and_in_pieces_are_all_answered(client: Client) -> None:
    client.go()
    one = struct.Struct(">IHHQQI")
    text = b"".join(one.pack(0x25609513, 0, nbd.READ, n, n * 512, 512) for n in range(50))
    for start in range(0, len(text), 13):
        client.send(text[start : start + 13])
    found: dict[int, bytes] = {}
    for _ in range(50):
        _, _, cookie, body = client.chunk()
        found[cookie] = body[8:]
    assert found == {n: DISK[n * 512 : n * 512 + 512] for n in range(50)}


def test_a_flush_and_a_hint_are_acknowledged(client: Client) -> None:
    client.go()
    for command in (nbd.FLUSH, nbd.CACHE):
        client.ask(command, 0, 0 if command == nbd.FLUSH else len(DISK))
        assert client.answer(7) == b""


@pytest.mark.parametrize(
    ("command", "offset", "length", "flags", "number"),
    [
        (nbd.READ, 0, 0, 0, errno.EINVAL),
        (nbd.READ, len(DISK) - 1, 2, 0, errno.EINVAL),
        (nbd.READ, 2**64 - 1, 2**32 - 1, 0, errno.EINVAL),
        (nbd.READ, 0, PAYLOAD_BYTES_MAX + 1, 0, errno.EINVAL),
        (nbd.READ, 0, 512, REQ_ONE, errno.EINVAL),
        (nbd.READ, 0, 512, 1 << 15, errno.EINVAL),
        (nbd.BLOCK_STATUS, 0, 0, 0, errno.EINVAL),
        (nbd.BLOCK_STATUS, len(DISK), 1, 0, errno.EINVAL),
        (nbd.CACHE, len(DISK), 1, 0, errno.EINVAL),
        (4, 0, 512, 0, errno.EINVAL),  # TRIM
        (6, 0, 512, 0, errno.EINVAL),  # WRITE_ZEROES
        (4711, 0, 0, 0, errno.EINVAL),
    ],
)
def test_a_request_that_cannot_be_is_refused_and_the_next_one_answered(
    client: Client, command: int, offset: int, length: int, flags: int, number: int
) -> None:
    client.go()
    client.ask(command, offset, length, flags=flags)
    with pytest.raises(OSError, match="told") as refused:
        client.answer(7)
    assert refused.value.errno == number
    assert client.read(0, 512) == DISK[:512]


@pytest.mark.parametrize("length", [1, 512, 3 * 1024 * 1024])
def test_a_write_is_refused_and_its_bytes_are_not_taken_for_requests(
    client: Client, length: int
) -> None:
    client.go()
    client.ask(nbd.WRITE, 0, length, flags=1)
    client.send((b"\x25\x60\x95\x13" * (length // 4 + 1))[:length])
    with pytest.raises(OSError, match="told") as refused:
        client.answer(7)
    assert refused.value.errno == errno.EPERM
    assert client.read(0, 512) == DISK[:512]


def test_block_status_needs_its_context(client: Client) -> None:
    client.go(allocation=False)
    with pytest.raises(OSError, match="told"):
        client.extents(0, 512)


def test_a_context_of_another_name_is_not_this_ones(client: Client) -> None:
    client.option(nbd.STRUCTURED)
    client.option(nbd.SET_META, nbd.meta(b"vol-1", b"base:allocation"))
    assert client.option(nbd.GO, named(b""))[-1] == (nbd.ACK, b"")
    with pytest.raises(OSError, match="told"):
        client.extents(0, 512)


def test_contexts_are_listed(client: Client) -> None:
    assert client.option(nbd.LIST_META, nbd.meta(b"", b"base:"))[0][0] == nbd.INVALID
    client.option(nbd.STRUCTURED)
    only = [(nbd.META, b"\0\0\0\0base:allocation"), (nbd.ACK, b"")]
    assert client.option(nbd.LIST_META, nbd.meta(b"")) == only
    assert client.option(nbd.LIST_META, nbd.meta(b"", b"base:")) == only
    assert client.option(nbd.LIST_META, nbd.meta(b"", b"qemu:")) == [(nbd.ACK, b"")]
    assert client.option(nbd.SET_META, nbd.meta(b"nobody", b""))[0][0] == nbd.UNKNOWN


def test_the_exports_are_listed_without_their_names(client: Client) -> None:
    assert client.option(nbd.LIST) == [(nbd.SERVER, b"\0\0\0\0"), (nbd.ACK, b"")]
    assert client.option(nbd.LIST, b"x")[0][0] == nbd.INVALID


def test_an_old_client_asks_by_name_alone(path: Path) -> None:
    with Client(path, greet=False) as client:
        client.receive(18)
        client.send(struct.pack(">I", 1))  # it does not know of NO_ZEROES
        client.send(struct.pack(">8sII", b"IHAVEOPT", nbd.EXPORT_NAME, 5) + b"vol-1")
        size, _, zeroes = struct.unpack(">QH124s", client.receive(134))
        assert (size, zeroes) == (len(DISK), bytes(124))
        assert client.read(0, 4096) == DISK[:4096]


def test_another_name_is_unknown(client: Client) -> None:
    assert client.option(nbd.GO, named(b"vol-2"))[0][0] == nbd.UNKNOWN
    client.send(struct.pack(">8sII", b"IHAVEOPT", nbd.EXPORT_NAME, 5) + b"vol-2")
    assert client.is_gone()


@pytest.mark.parametrize("option", [5, 4711, 2**32 - 1])  # 5: STARTTLS
def test_an_option_that_we_do_not_have_is_unsupported(client: Client, option: int) -> None:
    assert client.option(option, b"whatever")[0][0] == nbd.UNSUPPORTED
    assert client.go() == len(DISK)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0", b"\0\0\0\x09vol-1", b"\0\0\0\0", b"\0\0\0\0\0\2\0\1", b"\xff\xff\xff\xff\0\0"],
)
@pytest.mark.parametrize("option", [nbd.GO, nbd.INFO])
def test_an_option_that_contradicts_itself_is_invalid(
    client: Client, option: int, data: bytes
) -> None:
    assert client.option(option, data)[0][0] == nbd.INVALID
    assert client.go() == len(DISK)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0\0\0", b"\0\0\0\0\0\0\0\1", b"\0\0\0\0\0\0\0\0x", b"\0\0\0\0\0\0\0\1\xff\0\0\0"],
)
def test_queries_that_contradict_themselves_are_invalid(client: Client, data: bytes) -> None:
    client.option(nbd.STRUCTURED)
    assert client.option(nbd.SET_META, data)[0][0] == nbd.INVALID


def test_who_asks_to_end_is_told_so(client: Client) -> None:
    assert client.option(nbd.ABORT) == [(nbd.ACK, b"")]
    assert client.is_gone()


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">8sII", b"IHAVEOPT", nbd.GO, 2**32 - 1),
        struct.pack(">8sII", b"IHAVENOT", nbd.GO, 0),
    ],
)
def test_who_does_not_speak_nbd_is_sent_away(client: Client, text: bytes) -> None:
    client.send(text)
    assert client.is_gone()


def test_who_negotiates_without_end_is_sent_away(client: Client) -> None:
    with pytest.raises(Gone):
        for _ in range(1000):
            client.option(4711)


def test_flags_that_nobody_knows_end_it(path: Path) -> None:
    with Client(path, greet=False) as client:
        client.receive(18)
        client.send(struct.pack(">I", 0xFF))
        assert client.is_gone()


def test_a_stream_that_is_no_requests_ends_it(client: Client) -> None:
    client.go()
    client.send(b"x" * 28)
    assert client.is_gone()


def test_goodbye_ends_it(client: Client) -> None:
    client.go()
    client.ask(nbd.DISC, 0, 0)
    assert client.is_gone()


def test_requests_that_come_in_pieces_and_in_heaps_are_answered_and_hold_up_nobody(
    path: Path,
) -> None:
    with Client(path) as slow, Client(path) as other:
        slow.go()
        other.go()
        requests = b"".join(a_read(cookie, cookie * 4096, 4096) for cookie in range(20))
        for start in range(0, len(requests), 150):  # five and a third
            slow.send(requests[start : start + 150])
            assert other.read(512, 4096) == DISK[512 : 512 + 4096]
        for cookie in range(20):
            start = cookie * 4096
            assert slow.answer(cookie, start, 4096) == DISK[start : start + 4096]


def test_a_client_is_the_pollers_again_when_nothing_comes_for_a_moment(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    attended: list[Attended] = []
    attend = Poller.attend

    def noted(self: Poller, each: Attended) -> None:
        attended.append(each)
        attend(self, each)

    monkeypatch.setattr(Poller, "attend", noted)
    client.go()
    for turn in (1, 2, 3):
        until(lambda turn=turn: len(attended) == turn, what="it is attended")
        client.send(b"".join(a_read(cookie, cookie * 4096, 4096) for cookie in (0, 1)))
        assert client.answer(0, 0, 4096) + client.answer(1, 4096, 4096) == DISK[:8192]
    assert len(set(attended)) == 1


def a_read(cookie: int, offset: int, length: int) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, 0, nbd.READ, cookie, offset, length)


def test_one_who_takes_no_answers_keeps_nobody_else_from_theirs(path: Path) -> None:
    with Client(path) as greedy, Client(path) as modest:
        greedy.go()
        modest.go()
        for cookie in range(64):
            greedy.ask(nbd.READ, 0, PAYLOAD_BYTES_MAX, cookie=cookie)
        assert modest.read(0, 4096) == DISK[:4096]


def test_only_so_many_connections_are_taken(path: Path) -> None:
    clients = [Client(path) for _ in range(CONNECTIONS_MAX)]
    try:
        with Client(path, greet=False) as one_more:
            assert one_more.is_gone()
    finally:
        for client in clients:
            client.__exit__()

    def is_served() -> bool:
        with Client(path, greet=False) as again:
            return not again.is_gone()

    until(is_served, what="those who went left room")
