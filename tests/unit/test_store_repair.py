"""`openami store verify --repair` brings back what is still somewhere, and tells what is not."""

import argparse
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from openami.blockstore import codec
from openami.blockstore.cache import BaseCache
from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.manifest import Manifests
from openami.blockstore.store import Kind
from openami.catalog import snapshots
from openami.catalog.storage import losses
from openami.catalog.storage.collection import Named
from openami.cli import init, store_verify
from openami.domain.block import GIB, Digest
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.settings import Settings
from openami.workflows import region_stores
from support.blocks import a_block, a_disk
from support.builders import HERE, SNAPSHOT, THERE, a_snapshot
from support.fakes import CountingIds


@dataclass
class Stored:
    """A disk with a row, in each of the regions that are named."""

    settings: Settings
    root: Root
    disk: Path

    def store(self, region: Region) -> LocalDirChunkStore:
        elsewhere = f"regions/{region}/chunks" if region == THERE else "chunks"
        return LocalDirChunkStore(self.settings.state_dir / elsewhere)

    def lose(self, region: Region, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        self.store(region).delete(digest, kind)

    def spoil(self, region: Region, digest: Digest) -> None:
        Path(self.store(region).path(digest, Kind.CHUNK)).write_bytes(b"rubbish")

    @property
    def chunks(self) -> list[Digest]:
        return [digest for _, digest in Manifests(self.store(THERE)).iterate(self.root)]

    def known(self) -> set[Named]:
        with closing(init.make_state_directory(self.settings)) as catalog, catalog.read() as tx:
            return losses.known(tx, HERE)

    def verified(self, *, repair: bool = True) -> int:
        return store_verify.run(self.settings, argparse.Namespace(repair=repair))


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    settings = Settings(state_dir=tmp_path / "state", compute_driver="record")
    disk = a_disk(tmp_path / "disk", {i: a_block(str(i)) for i in (0, 7, 300)}, GIB)
    with closing(init.make_state_directory(settings)) as catalog:
        stores = region_stores.ready(settings, catalog, CountingIds())
        roots = {ingest_file(store, disk) for store in stores.values()}
        with catalog.begin() as tx:
            snapshots.add(tx, a_snapshot(root=roots.copy().pop().to_text()))
    (root,) = roots
    return Stored(settings, root, disk)


def test_what_is_lost_is_told_and_not_repaired_unasked(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.lose(HERE, stored.chunks[0])
    assert stored.verified(repair=False) == 1
    assert f"{HERE}: missing c {stored.chunks[0].hex()}" in capsys.readouterr().out
    assert not stored.store(HERE).has(stored.chunks[0])


def test_missing_and_corrupt_objects_come_back_from_another_region(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.lose(HERE, stored.root.digest, Kind.PAGE)  # what is below it is found out afterwards
    stored.lose(HERE, stored.chunks[0])
    stored.spoil(HERE, stored.chunks[1])
    assert stored.verified() == 0
    told = capsys.readouterr().out
    assert f"{HERE}: repaired n {stored.root.digest.hex()} from {THERE}" in told
    assert told.count("repaired c") == 2
    assert stored.verified(repair=False) == 0


def test_they_come_back_from_the_host_s_cache(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    base = BaseCache(stored.settings.state_dir / "cache").ensure(stored.store(HERE), stored.root)
    chunks = stored.chunks
    for digest in chunks:
        stored.lose(THERE, digest)
        stored.lose(HERE, digest)
    stored.lose(THERE, stored.root.digest, Kind.PAGE)
    stored.lose(HERE, stored.root.digest, Kind.PAGE)
    assert stored.verified() == 0
    assert f"repaired n {stored.root.digest.hex()} from {base}" in capsys.readouterr().out


def test_what_is_lost_is_known_until_it_is_found_again(stored: Stored) -> None:
    stored.lose(HERE, stored.chunks[0])
    assert stored.known() == set()
    assert stored.verified(repair=False) == 1
    assert stored.known() == {(Kind.CHUNK, stored.chunks[0])}
    assert stored.verified(repair=True) == 0
    assert stored.known() == set()


def test_of_a_disk_that_is_lost_as_a_whole_some_objects_are_written_down(stored: Stored) -> None:
    many = [(str(Kind.CHUNK), codec.digest_of(bytes([i]))) for i in range(losses.KEPT_MAX + 7)]
    with closing(init.make_state_directory(stored.settings)) as catalog, catalog.begin() as tx:
        for _ in range(2):
            losses.note(tx, HERE, many)
        assert losses.regions(tx) == {HERE: losses.KEPT_MAX}


def test_what_is_nowhere_is_told(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    gone, back = stored.chunks[:2]
    stored.lose(THERE, gone)
    stored.lose(HERE, gone)
    stored.lose(HERE, back)
    assert stored.verified() == 1
    told = capsys.readouterr().out
    assert f"{HERE}: repaired c {back.hex()}" in told
    assert f"{HERE}: missing c {gone.hex()}" in told
    assert f"{HERE}: missing c {back.hex()}" not in told


def test_a_spoiled_copy_repairs_nothing(stored: Stored) -> None:
    stored.lose(HERE, stored.chunks[0])
    stored.spoil(THERE, stored.chunks[0])
    assert stored.verified() == 1


def test_the_snapshot_s_row_is_what_is_verified(stored: Stored) -> None:
    stored.lose(HERE, stored.chunks[0])
    with closing(init.make_state_directory(stored.settings)) as catalog, catalog.begin() as tx:
        snapshots.remove(tx, SNAPSHOT)
    assert stored.verified(repair=False) == 0
