"""What is offered: what is refused leaves nothing, what is late comes, nobody is held up."""

import errno
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from openami.blockstore.cache import BaseCache
from openami.blockstore.manifest import Manifests
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.nbd import exports, kept
from openami.nbd import written as on_disk
from openami.nbd.client import Export, ExportRefused
from openami.nbd.kept import Kept, KeptElsewhere
from support.blocks import a_block
from support.nbd import HERE, Client, CountingStore, a_daemon, stored
from support.waiting import until

BLOCK = a_block("block")
SLOW = 0.001  # MiB/s: nothing but the first block comes by itself


def a_root(store: CountingStore, index: int) -> Root:
    return stored(store, {index: BLOCK}, 16)


def written(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "blocks" / "exports").iterdir())


@contextmanager
def kept_elsewhere(tmp_path: Path, root: Root) -> Generator[None]:
    found: list[Kept] = []

    def has() -> bool:
        with suppress(KeptElsewhere):  # a daemon lets go when its last fetch has ended
            found.append(Kept(BaseCache(tmp_path / "cache"), root))
        return bool(found)

    until(has, what="no other has it")
    yield
    found[0].close()


def test_an_export_that_was_refused_is_not_written_down(tmp_path: Path) -> None:
    store = CountingStore()
    with a_daemon(tmp_path, {HERE: store}) as daemon:
        with pytest.raises(ExportRefused):
            daemon.exports.open("vol-1", Region("eu-north-1"), a_root(store, 1), 0)
        assert (written(tmp_path), daemon.exports.told()) == ([], {})


def test_an_export_that_could_not_be_offered_is_told_and_offered_when_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_PATIENCE_S", 0.1)
    store = CountingStore()
    root = a_root(store, 1)
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        path = daemon.exports.open("vol-1", HERE, root, 0)
    elsewhere = kept_elsewhere(tmp_path, root)
    elsewhere.__enter__()
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        assert list(daemon.exports.told()) == ["vol-1"]
        assert "another process" in daemon.exports.trouble(root)
        with pytest.raises(KeptElsewhere):
            daemon.exports.open("vol-1", HERE, root, 12345)
        assert daemon.exports.told()["vol-1"].uid == 0
        elsewhere.__exit__(None, None, None)
        until(lambda: daemon.exports.trouble(root) == "", what="it is offered")
        with Client(path) as client:
            client.go()
            assert client.read(512 * 1024, 512) == BLOCK[:512]


def test_an_export_that_cannot_be_offered_can_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_PATIENCE_S", 0.1)
    store = CountingStore()
    root = a_root(store, 1)
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        daemon.exports.open("vol-1", HERE, root, 0)
    with kept_elsewhere(tmp_path, root), a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        daemon.exports.close("vol-1")
        assert (written(tmp_path), daemon.exports.told()) == ([], {})


def test_an_export_that_cannot_be_forgotten_lets_go_of_its_disk_and_is_told_until_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CountingStore()
    root = a_root(store, 1)
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        path = daemon.exports.open("vol-1", HERE, root, 0)
        forget = on_disk.forget

        def failing(_directory: Path, _export_id: str) -> None:
            raise OSError(errno.EIO, "no sync")

        monkeypatch.setattr(on_disk, "forget", failing)
        with pytest.raises(OSError, match="no sync"):
            daemon.exports.close("vol-1")
        assert (written(tmp_path), list(daemon.exports.told())) == (["vol-1.json"], ["vol-1"])
        assert "no sync" in daemon.exports.trouble(root)
        assert not path.exists(), "nobody reads from it any more"
        with kept_elsewhere(tmp_path, root):
            pass  # its disk is let go of
        monkeypatch.setattr(on_disk, "forget", forget)
        until(lambda: not daemon.exports.told(), what="it is forgotten without being asked again")
        assert written(tmp_path) == []


def test_an_export_whose_end_was_not_synced_is_told_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CountingStore()
    root = a_root(store, 1)
    synced: list[Path] = []
    fails = threading.Event()
    fails.set()

    def sync(directory: Path) -> None:
        if fails.is_set():
            raise OSError(errno.EIO, "no sync")
        synced.append(directory)

    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        daemon.exports.open("vol-1", HERE, root, 0)
        monkeypatch.setattr(on_disk, "sync_directory", sync)
        with pytest.raises(OSError, match="no sync"):
            daemon.exports.close("vol-1")
        assert (written(tmp_path), list(daemon.exports.told())) == ([], ["vol-1"])
        fails.clear()
        until(lambda: not daemon.exports.told(), what="it is forgotten")
        assert synced, "a power cut could have brought it back"


def test_an_export_that_could_not_be_written_down_is_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CountingStore()
    root = a_root(store, 1)
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        save = on_disk.save

        def failing(directory: Path, export_id: str, export: Export) -> None:
            save(directory, export_id, export)
            raise OSError(errno.EIO, "no sync")

        monkeypatch.setattr(on_disk, "save", failing)
        with pytest.raises(OSError, match="no sync"):
            daemon.exports.open("vol-1", HERE, root, 0)
        assert (written(tmp_path), daemon.exports.told()) == ([], {})


def test_disks_that_would_take_too_much_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CountingStore()
    roots = [stored(store, {index: BLOCK}, 64) for index in range(3)]
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        with pytest.raises(ExportRefused, match="too much"):
            daemon.exports.open("vol-1", HERE, stored(store, {}, 1 << 27), 0)
        monkeypatch.setattr(exports, "BLOCKS_MAX", 128)
        for number in (0, 1):
            daemon.exports.open(f"vol-{number}", HERE, roots[number], 0)
        with pytest.raises(ExportRefused, match="too much"):
            daemon.exports.open("vol-2", HERE, roots[2], 0)
        daemon.exports.open("vol-3", HERE, roots[0], 0)
        daemon.exports.close("vol-1")
        daemon.exports.open("vol-2", HERE, roots[2], 0)
        assert sorted(daemon.exports.told()) == ["vol-0", "vol-2", "vol-3"]


def test_a_host_that_knows_nothing_of_a_disk_is_told_what_is_read_first(tmp_path: Path) -> None:
    store = CountingStore()
    blocks = {index: a_block(f"{index}") for index in range(16)}
    root = stored(store, blocks, 16)
    first = [Manifests(store).lookup(root, index) for index in (9, 3, 12)]
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:
        path = daemon.exports.open("vol-1", HERE, root, 0, [9, 3, 12])
        until(lambda: store.order, what="the first has come")
        assert store.order[0] in first, "several are fetched at once, in any order"
        with Client(path) as client:
            client.go()
            for index in (12, 5):
                client.read(index * 512 * 1024, 512)
            assert list(daemon.exports.profile(root)) == [9, 3, 12, 5]
        daemon.exports.close("vol-1")
        until(lambda: len(daemon.exports.profile(root)) == 4, what="it is written down")
        daemon.exports.open("vol-2", HERE, root, 0, [1])
        assert list(daemon.exports.profile(root)) == [9, 3, 12, 5], "who knows more is not told"


def test_a_disk_that_takes_long_to_sync_holds_up_nobody_but_who_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CountingStore()
    slow, other = a_root(store, 1), a_root(store, 2)
    synced, closing = threading.Event(), threading.Event()
    close = Kept.close

    def closed_in_the_end(self: Kept) -> None:
        if self.root == slow:
            closing.set()
            assert synced.wait(60)
        close(self)

    monkeypatch.setattr(Kept, "close", closed_in_the_end)
    with a_daemon(tmp_path, {HERE: store}, SLOW) as daemon:

        def opened(name: str, root: Root) -> Callable[[], object]:
            return lambda: daemon.exports.open(name, HERE, root, 0)

        opened("vol-1", slow)()
        leaves = begun(lambda: daemon.exports.close("vol-1"))
        until(closing.is_set, what="it syncs")
        waits = begun(opened("vol-2", slow))
        waits.join(0.2)
        try:
            for act in (opened("vol-3", other), daemon.exports.told, daemon.exports.disks):
                acts = begun(act)
                acts.join(20)
                assert not acts.is_alive(), "it waits for the sync of a disk that it has not"
        finally:
            synced.set()
        for each in (leaves, waits):
            each.join(60)
        assert sorted(daemon.exports.told()) == ["vol-2", "vol-3"]


def begun(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread
