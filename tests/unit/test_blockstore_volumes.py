"""Volumes of a host: made once, found again, and never of anything else than they say."""

from pathlib import Path

import pytest

from openami.blockstore.cache import BaseCache
from openami.blockstore.ingest import ingest_file
from openami.blockstore.manifest import Manifests
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.volumes import Origin, VolumeAbsent, VolumeHost
from openami.diskimage.qcow2 import Qcow2Error, create_overlay
from openami.domain.block import BLOCK_BYTES, BLOCKS_PER_GIB
from openami.domain.ids import VolumeId
from openami.domain.manifest import Root
from support.blocks import a_block, a_disk, qemu_img, qemu_io, stored_on_disk_bytes
from support.builders import HERE

VOLUME, OTHER = VolumeId("vol-00000000000000001"), VolumeId("vol-00000000000000002")


class Host:
    def __init__(self, directory: Path) -> None:
        self.store = MemoryChunkStore()
        self.cache = BaseCache(directory / "bases")
        self.directory = directory / "volumes"
        self.volumes = VolumeHost(self.directory, self.cache, {HERE: self.store})
        self.root = ingest_file(
            self.store, a_disk(directory / "image", {0: a_block("a"), 9: a_block("b")}, 1 << 30)
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_volume_is_an_overlay_over_the_base_of_its_snapshot(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, host.root, 2)
    overlay, base = host.volumes.paths(VOLUME, HERE)
    assert base == host.cache.path(host.root)
    assert f"backing file: {base}\n" in qemu_img("info", overlay)
    assert "virtual size: 2 GiB" in qemu_img("info", overlay)
    assert overlay.stat().st_mode & 0o777 == 0o600
    assert overlay.parent.stat().st_mode & 0o777 == 0o711
    assert stored_on_disk_bytes(overlay) < 100_000


def test_two_volumes_of_one_snapshot_share_its_base(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, host.root, 1)
    host.volumes.create(OTHER, HERE, host.root, 3)
    assert host.volumes.paths(VOLUME, HERE)[1] == host.volumes.paths(OTHER, HERE)[1]
    assert sorted(host.volumes.list()) == [VOLUME, OTHER]
    assert host.volumes.roots() == {host.root}


@pytest.mark.parametrize("root", [None, Root.empty(BLOCKS_PER_GIB)], ids=["none", "all holes"])
def test_an_empty_volume_has_no_base(host: Host, root: Root | None) -> None:
    host.volumes.create(VOLUME, HERE, root, 1)
    assert host.volumes.paths(VOLUME, HERE) == (host.directory / VOLUME / "disk.qcow2", None)


def test_making_a_volume_again_leaves_its_data_alone(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, host.root, 1)
    overlay, _ = host.volumes.paths(VOLUME, HERE)
    qemu_io(overlay, ["write -P 5 0 4096"])
    before = overlay.read_bytes()
    host.volumes.create(VOLUME, HERE, host.root, 1)
    assert overlay.read_bytes() == before


def test_a_volume_is_never_taken_for_another(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, host.root, 1)
    for root, size_gib in ((host.root, 2), (None, 1)):
        with pytest.raises(ValueError, match="something else"):
            host.volumes.create(VOLUME, HERE, root, size_gib)


def test_a_volume_is_not_smaller_than_its_snapshot(host: Host) -> None:
    large = Root.empty(2 * BLOCKS_PER_GIB)
    with pytest.raises(ValueError, match="cannot hold"):
        host.volumes.create(VOLUME, HERE, large, 1)
    assert not list(host.volumes.list())


def test_what_a_dead_attempt_left_is_no_volume_and_in_nobodys_way(host: Host) -> None:
    home = host.directory / VOLUME
    home.mkdir()
    (home / "origin.json").write_text("{")
    (home / ".disk.qcow2").write_text("half of it")
    assert not list(host.volumes.list())
    with pytest.raises(VolumeAbsent):
        host.volumes.paths(VOLUME, HERE)
    host.volumes.create(VOLUME, HERE, host.root, 1)
    assert host.volumes.origin(VOLUME) == Origin(root=host.root, size_gib=1)
    assert "No errors" in qemu_img("check", host.volumes.paths(VOLUME, HERE)[0])


def test_deleting_a_volume_twice_is_deleting_it_once(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, host.root, 1)
    host.volumes.delete(VOLUME)
    host.volumes.delete(VOLUME)
    assert not list(host.directory.iterdir())
    with pytest.raises(VolumeAbsent):
        host.volumes.paths(VOLUME, HERE)


@pytest.mark.parametrize("volume_id", ["../image", "vol-1", "", "snap-00000000000000001"])
def test_only_a_volume_id_names_a_volume(host: Host, volume_id: str) -> None:
    with pytest.raises(ValueError, match="not a volume id"):
        host.volumes.delete(VolumeId(volume_id))


def test_a_base_that_was_evicted_is_back_before_the_volume_is_used(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, host.root, 1)
    host.cache.evict([])
    _, base = host.volumes.paths(VOLUME, HERE)
    assert base is not None
    assert base.exists()


def test_a_snapshot_of_an_untouched_volume_is_the_one_it_was_made_of(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, host.root, 1)
    overlay, _ = host.volumes.paths(VOLUME, HERE)
    assert host.volumes.snapshot_from(overlay, HERE, host.root, 1) == host.root


def test_a_snapshot_stores_what_changed_and_nothing_else(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, host.root, 4)
    overlay, _ = host.volumes.paths(VOLUME, HERE)
    qemu_io(overlay, [f"write -P 5 {9 * BLOCK_BYTES + 4096} 4096", "write -P 6 3G 64k"])
    before = set(host.store.digests())
    root = host.volumes.snapshot_from(overlay, HERE, host.root, 4)
    assert len(set(host.store.digests()) - before) == 2
    assert root.blocks == 4 * BLOCKS_PER_GIB
    changed = [change.index for change in Manifests(host.store).diff(host.root, root)]
    assert changed == [9, 3 * BLOCKS_PER_GIB]
    patched = bytearray(a_block("b"))
    patched[4096:8192] = bytes([5]) * 4096
    assert host.store.get(Manifests(host.store).lookup(root, 9)) == bytes(patched)


def test_zeros_that_were_written_leave_a_hole(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, host.root, 1)
    overlay, _ = host.volumes.paths(VOLUME, HERE)
    qemu_io(overlay, [f"write -P 0 0 {BLOCK_BYTES}", f"write -z {9 * BLOCK_BYTES} {BLOCK_BYTES}"])
    assert host.volumes.snapshot_from(overlay, HERE, host.root, 1) == Root.empty(BLOCKS_PER_GIB)


def test_a_snapshot_of_a_volume_without_a_base(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, None, 1)
    overlay, _ = host.volumes.paths(VOLUME, HERE)
    qemu_io(overlay, [f"write -P 5 {BLOCK_BYTES} {BLOCK_BYTES}"])
    root = host.volumes.snapshot_from(overlay, HERE, None, 1)
    assert [index for index, _ in Manifests(host.store).iterate(root)] == [1]


def test_the_backing_file_that_an_overlay_names_is_never_opened(host: Host, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"root:secret" + bytes(BLOCK_BYTES))
    host.volumes.create(VOLUME, HERE, None, 1)
    overlay, _ = host.volumes.paths(VOLUME, HERE)
    qemu_img("rebase", "-u", "-b", secret, "-F", "raw", overlay)
    qemu_io(overlay, [f"write -z {BLOCK_BYTES} 16384"])  # now it has a say in block 1, in part
    root = host.volumes.snapshot_from(overlay, HERE, None, 1)
    assert root == Root.empty(BLOCKS_PER_GIB)


def test_a_volume_of_another_size_than_the_catalog_knows_is_refused(host: Host) -> None:
    host.volumes.create(VOLUME, HERE, None, 1)
    overlay, _ = host.volumes.paths(VOLUME, HERE)
    qemu_img("resize", overlay, "2G")
    with pytest.raises(Qcow2Error, match="not 1073741824"):
        host.volumes.snapshot_from(overlay, HERE, None, 1)


def test_no_base_goes_while_a_volume_lies_on_it_or_is_being_made_of_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evicting(draft: Path, size_bytes: int, base: Path | None) -> None:
        assert host.volumes.evict([], 0) == 0
        host.volumes.release(host.root)
        create_overlay(draft, size_bytes, base)

    monkeypatch.setattr("openami.blockstore.volumes.create_overlay", evicting)
    host.volumes.create(VOLUME, HERE, host.root, 1)
    assert host.cache.path(host.root).exists()
    assert host.volumes.evict([], 0) == 0
    host.volumes.delete(VOLUME)
    assert host.volumes.evict([host.root], 0) == 0
    assert host.volumes.evict([], 0) > 0
    assert not host.cache.path(host.root).exists()
