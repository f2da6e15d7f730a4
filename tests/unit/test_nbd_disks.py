"""Disks that are read before they are here: each block fetched once, and what goes wrong told."""

import errno
import os
import struct
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from openami.blockstore import codec
from openami.blockstore.cache import BaseCache
from openami.blockstore.manifest import Manifests
from openami.blockstore.store import Kind, StoreFull
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.nbd import disk as disk_module
from openami.nbd.client import ExportRefused, Hydration
from openami.nbd.daemon import BlockDaemon
from openami.nbd.demand import THREADS
from openami.nbd.hydration import THREADS as HYDRATING
from openami.nbd.kept import Kept, State
from openami.nbd.profile import PROFILES_MAX, ProfileFiles, Recording
from support.blocks import a_block
from support.nbd import DISC, FLUSH, HERE, READ, Client, CountingStore, a_daemon, content, stored
from support.waiting import until

BLOCKS = {index: a_block(f"block {index}") for index in (0, 1, 2, 3, 20, 21, 300)}
SIZE = 512  # blocks
DISK = content(BLOCKS, SIZE)
SLOW = 0.001  # MiB/s: nothing but the first block comes by itself


def hydration(daemon: BlockDaemon, root: Root) -> Hydration:
    told = daemon.control.answer({"verb": "hydration", "region": HERE, "root": root.to_text()})
    return Hydration(**{**told, "path": Path(told["path"])})


def complete(daemon: BlockDaemon, root: Root) -> Hydration:
    until(lambda: hydration(daemon, root).complete, what="the disk is here")
    return hydration(daemon, root)


def test_a_disk_comes_by_itself_and_is_then_a_base(tmp_path: Path) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    with a_daemon(tmp_path, {HERE: store}) as daemon:
        path = daemon.exports.open("vol-1", HERE, root, 0)
        with Client(path) as client:
            client.go()
            told = complete(daemon, root)
            assert (told.blocks_here, told.trouble) == (SIZE, "")
            assert told.path.read_bytes() == DISK
            assert [each.name for each in told.path.parent.iterdir()] == [told.path.name]
            assert client.read(0, 4 * BLOCK_BYTES) == DISK[: 4 * BLOCK_BYTES], "it reads on"
            daemon.exports.close("vol-1")
            assert client.is_gone()
        assert not path.exists()
    assert set(store.fetches.values()) == {1}
    assert set(store.pages.values()) == {1}
    fetches = dict(store.fetches)
    assert BaseCache(tmp_path / "cache").ensure(store, root).read_bytes() == DISK
    assert store.fetches == fetches, "who needs the base has it"


@pytest.mark.parametrize("structured", [True, False])
def test_a_heap_of_requests_of_all_kinds_is_answered_as_they_would_be_alone(
    tmp_path: Path, structured: bool
) -> None:
    """By far the most are answered in one loop, which does not know the others."""
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    asked = [(*a_place(number), FLUSH if number % 7 == 3 else READ) for number in range(900)]
    with (
        a_daemon(tmp_path, {HERE: store}) as daemon,
        Client(daemon.exports.open("vol-1", HERE, root, 0)) as client,
    ):
        client.go(structured=structured)
        complete(daemon, root)
        heap = b"".join(
            struct.pack(">IHHQQI", 0x25609513, 0, command, cookie, offset, length)
            for cookie, (offset, length, command) in enumerate(asked)
        )
        sends = threading.Thread(target=lambda: client.send(heap))
        sends.start()
        for cookie, (offset, length, command) in enumerate(asked):
            if command == FLUSH:
                client.answer(cookie)
            elif 0 < length <= len(DISK) - offset:
                is_right = client.answer(cookie, offset, length) == DISK[offset : offset + length]
                assert is_right, (offset, length)
            else:
                with pytest.raises(OSError, match="told"):
                    client.answer(cookie, offset, length)
        sends.join()


def a_place(number: int) -> tuple[int, int]:
    """Offset and length, near blocks that hold something more often than not."""
    blocks, lengths = (*BLOCKS, 4, 22, SIZE - 1), (0, 1, 512, 4096, 4096, 4096, 70_000, BLOCK_BYTES)
    chance = codec.digest_of(f"{number}".encode())
    start = int.from_bytes(chance[2:]) % BLOCK_BYTES
    index, length = blocks[chance[0] % len(blocks)], lengths[chance[1] % len(lengths)]
    return index * BLOCK_BYTES + start, length


def test_a_file_that_somebody_has_cut_gives_no_bytes_and_ends_nobody_but_its_readers(
    tmp_path: Path,
) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    heap = b"".join(
        struct.pack(">IHHQQI", 0x25609513, 0, READ, 7, 20 * BLOCK_BYTES, 4096) for _ in range(2)
    )
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        path = daemon.exports.open("vol-1", HERE, root, 0)
        with Client(path) as client:
            client.go()
            assert client.read(20 * BLOCK_BYTES, 4096) == BLOCKS[20][:4096]
            (disk,) = daemon.exports.disks()
            until(lambda: disk.states[20] != State.ABSENT, what="it is kept")
            disk.checkpoint()
            client.send(heap)
            for _ in range(2):
                assert client.answer(7, 20 * BLOCK_BYTES, 4096) == BLOCKS[20][:4096]
            os.truncate(next((tmp_path / "cache").glob("*.cold")), 0)
            client.send(heap)
            assert client.is_gone()
        with Client(path) as client:
            client.go()
            for _ in range(2):
                client.send(heap)
                for _ in range(2):
                    with pytest.raises(OSError, match="told"):
                        client.answer(7, 20 * BLOCK_BYTES, 4096)
            assert client.read(300 * BLOCK_BYTES, 4096) == BLOCKS[300][:4096]


def test_a_chunk_that_many_read_at_once_is_fetched_once(tmp_path: Path) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    with a_daemon(tmp_path, {HERE: store}) as daemon:
        store.gate.clear()
        exports = [f"vol-{number}" for number in range(8)]
        paths = [daemon.exports.open(export, HERE, root, 0) for export in exports]
        clients = [Client(path) for path in paths for _ in range(8)]
        for client in clients:
            client.go()
            client.ask(READ, 20 * BLOCK_BYTES, 2 * BLOCK_BYTES)
        until(lambda: store.order, what="one has begun")
        store.gate.set()
        for client in clients:
            answer = client.answer(7, 20 * BLOCK_BYTES, 2 * BLOCK_BYTES)
            assert answer == BLOCKS[20] + BLOCKS[21]
            client.__exit__()
        complete(daemon, root)
    assert set(store.fetches.values()) == {1}
    assert set(store.pages.values()) == {1}


def test_a_read_of_what_is_here_does_not_wait_for_one_that_is_not(tmp_path: Path) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    with (
        a_daemon(tmp_path, {HERE: store}, SLOW) as daemon,
        Client(daemon.exports.open("vol-1", HERE, root, 0)) as client,
    ):
        client.go()
        assert client.read(300 * BLOCK_BYTES, 512) == BLOCKS[300][:512]
        store.gate.clear()
        client.ask(READ, 20 * BLOCK_BYTES, 512, cookie=1)
        client.ask(READ, 300 * BLOCK_BYTES, 512, cookie=2)
        assert client.answer(2, 300 * BLOCK_BYTES, 512) == BLOCKS[300][:512]
        store.gate.set()
        assert client.answer(1, 20 * BLOCK_BYTES, 512) == BLOCKS[20][:512]


def test_those_who_take_no_answers_hold_up_no_fetch_and_get_them_all_in_the_end(
    tmp_path: Path,
) -> None:
    """The threads that fetch answer what is little, and leave it where nobody takes it."""
    store = CountingStore()
    blocks = {index: a_block(f"block {index}") for index in range(1, THREADS + 3)}
    root = stored(store, blocks, SIZE)
    times, length = 60, 128 * 1024  # together more than a socket holds
    with (
        a_daemon(tmp_path, {HERE: store}, SLOW) as daemon,
        ExitStack() as opened,
    ):
        path = daemon.exports.open("vol-1", HERE, root, 0)
        store.gate.clear()
        greedy = {index: opened.enter_context(Client(path)) for index in range(1, THREADS + 2)}
        for index, client in greedy.items():
            client.go()
            for _ in range(times):
                client.ask(READ, index * BLOCK_BYTES, length)
        modest = opened.enter_context(Client(path))
        modest.go()
        store.gate.set()
        for index in reversed(blocks):
            assert modest.read(index * BLOCK_BYTES, 512) == blocks[index][:512]
        for index, client in greedy.items():
            for _ in range(times):
                answer = client.answer(7, index * BLOCK_BYTES, length)
                assert answer == blocks[index][:length]


def test_a_lost_chunk_is_an_error_to_who_reads_it_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(disk_module, "RETRY_S", 0.1)
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    lost = Manifests(store).lookup(root, 20)
    store.lost.add(lost)
    with (
        a_daemon(tmp_path, {HERE: store}) as daemon,
        Client(daemon.exports.open("vol-1", HERE, root, 0)) as client,
    ):
        client.go()
        with pytest.raises(OSError, match="told") as failed:
            client.read(20 * BLOCK_BYTES, 2 * BLOCK_BYTES)
        assert failed.value.errno == errno.EIO
        assert client.read(0, 4 * BLOCK_BYTES) == DISK[: 4 * BLOCK_BYTES]
        assert client.read(21 * BLOCK_BYTES, BLOCK_BYTES) == BLOCKS[21]
        until(lambda: hydration(daemon, root).blocks_here == SIZE - 1, what="the rest is here")
        told = hydration(daemon, root)
        assert not told.complete
        assert "block 20" in told.trouble
        assert lost.hex() in told.trouble
        assert caplog.text.count(lost.hex()) == 1, "said once"

        store.lost.clear()
        assert complete(daemon, root).trouble == ""
        assert client.read(20 * BLOCK_BYTES, BLOCK_BYTES) == BLOCKS[20]


def test_a_second_region_gives_what_the_first_has_lost(tmp_path: Path) -> None:
    stores = {HERE: CountingStore(), Region("us-west-2"): CountingStore()}
    roots = {stored(store, BLOCKS, SIZE) for store in stores.values()}
    (root,) = roots
    stores[HERE].lost |= {Manifests(stores[HERE]).lookup(root, 20)}
    with a_daemon(tmp_path, stores) as daemon:
        for number, region in enumerate(stores):
            daemon.exports.open(f"vol-{number}", region, root, 0)
        complete(daemon, root)


def test_a_store_that_does_not_answer_holds_up_its_own_disks_alone(tmp_path: Path) -> None:
    west = Region("us-west-2")
    stores = {HERE: CountingStore(), west: CountingStore()}
    slow, quick = stored(stores[HERE], BLOCKS, SIZE), stored(stores[west], {3: BLOCKS[20]}, SIZE)
    stores[HERE].gate.clear()
    with a_daemon(tmp_path, stores) as daemon:
        path = daemon.exports.open("vol-1", HERE, slow, 0)
        with Client(path) as stuck:
            stuck.go()
            for cookie, index in enumerate(BLOCKS):
                stuck.ask(READ, index * BLOCK_BYTES, 512, cookie=cookie)
            with Client(daemon.exports.open("vol-2", west, quick, 0)) as client:
                client.go()
                assert client.read(3 * BLOCK_BYTES, 512) == BLOCKS[20][:512]
            complete(daemon, quick)
            stores[HERE].gate.set()
        complete(daemon, slow)


def test_a_store_that_takes_long_is_told_while_its_readers_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    monkeypatch.setattr(disk_module, "SLOW_S", 0.05)
    store.gate.clear()
    with a_daemon(tmp_path, {HERE: store}) as daemon:
        daemon.exports.open("vol-1", HERE, root, 0)
        until(lambda: "has not answered" in hydration(daemon, root).trouble, what="it is told")
        store.gate.set()
        assert complete(daemon, root).trouble == ""


def test_a_full_disk_is_told_and_does_not_keep_anybody_from_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_module, "FULL_RETRY_S", 0.1)
    full = threading.Event()
    full.set()
    keep = Kept.keep

    def kept_if_there_is_room(self: Kept, index: int, block: bytes) -> None:
        if full.is_set():
            raise StoreFull("no room left in the test")
        keep(self, index, block)

    monkeypatch.setattr(Kept, "keep", kept_if_there_is_room)
    store = CountingStore()
    blocks = {index: a_block(f"{index}") for index in range(200)}
    disk = content(blocks, 200)
    root = stored(store, blocks, 200)
    with (
        a_daemon(tmp_path, {HERE: store}) as daemon,
        Client(daemon.exports.open("vol-1", HERE, root, 0)) as client,
    ):
        client.go()
        length = 64 * BLOCK_BYTES
        for offset in range(0, len(disk), length):
            part = disk[offset : offset + length]
            assert client.read(offset, len(part)) == part
            assert client.read(offset, 10) == part[:10]
        assert "no room left in the test" in hydration(daemon, root).trouble
        full.clear()
        assert complete(daemon, root).trouble == ""
        assert client.read(0, length) == disk[:length]


def test_who_fetches_for_all_fetches_nothing_anew_for_one_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that had no room went before the other one of the same read came."""
    monkeypatch.setattr(disk_module, "UNKEPT_MAX", 1)
    monkeypatch.setattr(disk_module, "FULL_RETRY_S", 3600.0)  # nothing more comes by itself

    def full(_self: Kept, _index: int, _block: bytes) -> None:
        raise StoreFull("no room left in the test")

    monkeypatch.setattr(Kept, "keep", full)
    store = FetchersStore()
    blocks = {index: a_block(f"{index}") for index in range(1, 5)}
    root = stored(store, blocks, SIZE)
    gone, store.held = (Manifests(store).lookup(root, index) for index in (1, 2))
    with (
        a_daemon(tmp_path, {HERE: store}, SLOW) as daemon,
        Client(daemon.exports.open("vol-1", HERE, root, 0)) as client,
    ):
        client.go()
        start = 2 * BLOCK_BYTES - 512
        client.ask(READ, start, 1024, cookie=1)
        until(lambda: gone in store.fetchers, what="the first block is here")
        disk = daemon.exports.disks()[0]
        for index in (3, 4):
            assert client.read(index * BLOCK_BYTES, 512) == blocks[index][:512]
        until(lambda: not is_at_hand(disk, 1), what="the first block went")
        store.held = b""
        assert client.answer(1, start, 1024) == blocks[1][-512:] + blocks[2][:512]
    assert store.fetchers[gone][-1] == "late", "its own thread"


def is_at_hand(disk: disk_module.Disk, index: int) -> bool:
    try:
        disk.piece_at_hand(index, 0, 512)
    except disk_module.NotAtHand:
        return False
    return True


class FetchersStore(CountingStore):
    """Knows by which threads a chunk was asked for; the one that is `held` waits."""

    def __init__(self) -> None:
        super().__init__()
        self.held: bytes = b""
        self.fetchers: dict[Digest, list[str]] = {}

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        if kind is Kind.CHUNK:
            until(lambda: digest != self.held, what="it is let through")
            self.fetchers.setdefault(digest, []).append(threading.current_thread().name)
        return super().get(digest, kind)


def test_readers_are_answered_before_the_block_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    keep = Kept.keep

    def kept_slowly(self: Kept, index: int, block: bytes) -> None:
        assert written.wait(60)
        keep(self, index, block)

    monkeypatch.setattr(Kept, "keep", kept_slowly)
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    with (
        a_daemon(tmp_path, {HERE: store}) as daemon,
        Client(daemon.exports.open("vol-1", HERE, root, 0)) as client,
    ):
        try:
            client.go()
            for _ in range(2):
                for index in (300, 20):
                    assert client.read(index * BLOCK_BYTES, 512) == BLOCKS[index][:512]
            assert client.read(0, 4 * BLOCK_BYTES) == DISK[: 4 * BLOCK_BYTES]
        finally:
            written.set()
        told = complete(daemon, root)
        assert Digest(codec.digest_of(told.path.read_bytes())) == codec.digest_of(DISK)
    assert set(store.fetches.values()) == {1}, "what is being written is not fetched again"


def test_what_a_boot_has_read_first_is_fetched_first_the_next_time(tmp_path: Path) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    with a_daemon(tmp_path, {HERE: store}) as daemon:
        with Client(daemon.exports.open("vol-1", HERE, root, 0)) as client:
            client.go()
            for index in (300, 2, 20, 2, 300):
                client.read(index * BLOCK_BYTES + 77, 512)
            client.ask(DISC, 0, 0)
        complete(daemon, root)
        daemon.exports.close("vol-1")
        for file in (tmp_path / "cache").iterdir():
            file.unlink()
        store.order.clear()
        until(lambda: ProfileFiles(tmp_path / "blocks" / "profiles").load(root), what="recorded")
        first = {Manifests(store).lookup(root, index) for index in (300, 2, 20)}
        store.gate.clear()  # each thread stands before the first block that it took
        daemon.exports.open("vol-2", HERE, root, 0)
        until(lambda: len(store.order) == HYDRATING, what="as many are fetched as can be at once")
        assert first < set(store.order), "in any order"
        store.gate.set()
        complete(daemon, root)


def test_a_profile_is_of_first_reads_and_has_an_end(tmp_path: Path) -> None:
    recording = Recording()
    assert not recording.is_done()
    for first, last in ((5, 7), (6, 6), (0, 5), (9, 9)):
        recording.note(first, last)
    assert list(recording.order()) == [5, 6, 7, 0, 1, 2, 3, 4, 9]
    recording.note(0, 1_000_000)
    assert recording.is_done()


def test_profiles_are_kept_and_the_oldest_go(tmp_path: Path) -> None:
    profiles = ProfileFiles(tmp_path / "profiles", profiles_max=2)
    roots = [Root(digest=bytes([n]) * 32, blocks=10) for n in (1, 2, 3)]
    for root in roots:
        assert profiles.load(root) is None
        profiles.save(root, [3, 1, 99])
    assert profiles.load(roots[0]) is None
    assert profiles.load(roots[2]) == [3, 1], "what is beyond the disk is no block of it"
    assert PROFILES_MAX > 2


def test_an_export_is_the_same_when_it_is_opened_again(tmp_path: Path) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    with a_daemon(tmp_path, {HERE: store}) as daemon:
        path = daemon.exports.open("vol-1", HERE, root, 0)
        with Client(path) as client:
            client.go()
            assert daemon.exports.open("vol-1", HERE, root, 0) == path
            assert client.read(0, 512) == DISK[:512], "its connections go on"
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o711
        assert path.parent.parent.stat().st_mode & 0o777 == 0o700
        with pytest.raises(ExportRefused, match="of b3:"):
            daemon.exports.open("vol-1", HERE, Root(digest=root.digest, blocks=511), 0)
        with pytest.raises(ExportRefused, match="eu-north-1"):
            daemon.exports.open("vol-2", Region("eu-north-1"), root, 0)
        with pytest.raises(ExportRefused):
            daemon.exports.open("../vol-3", HERE, root, 0)
        assert list(daemon.exports.told()) == ["vol-1"]
        daemon.exports.close("vol-1")
        daemon.exports.close("vol-1")
        assert not daemon.exports.told()


def test_another_user_gets_the_socket_and_the_former_ones_connections_end(tmp_path: Path) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    with a_daemon(tmp_path, {HERE: store}) as daemon:
        path = daemon.exports.open("vol-1", HERE, root, 0)
        with Client(path) as client:
            client.go()
            daemon.exports.open("vol-1", HERE, root, 12345)
            assert client.is_gone()
        assert path.stat().st_uid == 12345
        assert daemon.exports.told()["vol-1"].uid == 12345


def test_what_was_offered_is_offered_again_after_a_restart(tmp_path: Path) -> None:
    store = CountingStore()
    root = stored(store, BLOCKS, SIZE)
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        path = daemon.exports.open("vol-1", HERE, root, 0)
        with Client(path) as client:
            client.go()
            client.read(20 * BLOCK_BYTES, 2 * BLOCK_BYTES)
    fetches = dict(store.fetches)
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        assert [(name, export.path) for name, export in daemon.exports.told().items()] == [
            ("vol-1", path)
        ]
        with Client(path) as client:
            client.go()
            assert client.read(20 * BLOCK_BYTES, 2 * BLOCK_BYTES) == BLOCKS[20] + BLOCKS[21]
    assert all(store.fetches[digest] == 1 for digest in fetches), "what was here is here"


def test_a_disk_of_16_tib_is_open_at_once_and_read_anywhere(tmp_path: Path) -> None:
    size = 16 * 1024 * 2048
    blocks: Mapping[int, bytes] = {index: a_block(f"{index}") for index in (7, size - 2)}
    store = CountingStore()
    root = stored(store, blocks, size)
    with a_daemon(tmp_path, {HERE: store}) as daemon:
        path = daemon.exports.open("vol-1", HERE, root, 0)
        with Client(path) as client:
            assert client.go() == size * BLOCK_BYTES
            assert client.read((size - 2) * BLOCK_BYTES, 512) == blocks[size - 2][:512]
            assert client.read(123456789 * 4096, 512) == bytes(512)
        told = complete(daemon, root)
        assert told.blocks_here == size
    assert set(store.fetches.values()) == {1}
