"""A store per region: where it is, whose it is, and who relies on it."""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from openami import domain
from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.ownership import (
    OWNER,
    ForeignStore,
    Owner,
    OwnerFile,
    claim,
    is_claimed,
)
from openami.blockstore.tiered import TieredStore
from openami.catalog import snapshots, volumes
from openami.catalog.catalog import Catalog
from openami.catalog.schema import metadata
from openami.catalog.storage import identity
from openami.catalog.storage.roots import HOLDERS
from openami.domain.block import GIB
from openami.domain.ids import Region, SnapshotId
from openami.domain.manifest import Root
from openami.domain.snapshot import StorageTier
from openami.settings import Settings, SettingsError
from openami.workflows import region_stores
from support.blocks import a_block, a_disk
from support.builders import HERE, THERE, VOLUME, a_snapshot, a_volume
from support.fakes import CountingIds, services


def settings(tmp_path: Path, **but: object) -> Settings:
    return Settings(state_dir=tmp_path, **but)  # pyright: ignore[reportArgumentType]


IDS = CountingIds()  # one for all: two catalogs do not have one id


def ready(settings: Settings, catalog: Catalog) -> Mapping[Region, TieredStore]:
    return region_stores.ready(settings, catalog, IDS)


def a_root(tmp_path: Path, store: LocalDirChunkStore, sign: str) -> Root:
    return ingest_file(store, a_disk(tmp_path / "disk", {3: a_block(sign)}, GIB))


def test_the_first_region_keeps_the_directory_that_was_everybodys(tmp_path: Path) -> None:
    assert region_stores.places(settings(tmp_path), Catalog.in_memory()) == {
        HERE: tmp_path / "chunks",
        THERE: tmp_path / "regions" / "us-west-2" / "chunks",
    }


def test_a_directory_may_be_named_for_a_region(tmp_path: Path) -> None:
    named = settings(tmp_path, region_stores=(f"us-west-2={tmp_path}/west",))
    assert region_stores.places(named, Catalog.in_memory())[THERE] == tmp_path / "west"


@pytest.mark.parametrize("wrong", ["us-west-2", "us-west-2=west", "=/west"])
def test_a_store_without_region_or_absolute_path_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError, match="region_stores"):
        region_stores.places(settings(tmp_path, region_stores=(wrong,)), Catalog.in_memory())


def test_a_store_of_a_region_that_is_not_there_is_refused(tmp_path: Path) -> None:
    named = settings(tmp_path, region_stores=("us-west-3=/west",))
    with pytest.raises(SettingsError, match="us-west-3"):
        region_stores.places(named, Catalog.in_memory())


def test_a_region_that_left_the_settings_keeps_its_store_while_it_is_used(tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    with catalog.begin() as tx:
        snapshots.add(tx, a_snapshot(region=THERE))
    places = region_stores.places(settings(tmp_path, regions=("us-east-1",)), catalog)
    assert list(places) == [HERE, THERE]


def test_regions_in_another_order_are_refused_not_taken_for_lost_bytes(tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    ready(settings(tmp_path), catalog)
    swapped = settings(tmp_path, regions=("us-west-2", "us-east-1"))
    with pytest.raises(ForeignStore, match=r"the chunks of us-east-1 .* order it had"):
        ready(swapped, catalog)


def test_a_directory_for_two_regions_is_refused(tmp_path: Path) -> None:
    both = settings(tmp_path, region_stores=(f"us-west-2={tmp_path}/chunks",))
    with pytest.raises(ForeignStore, match="each region needs its own"):
        ready(both, Catalog.in_memory())


def test_another_catalog_does_not_take_a_store_for_garbage(tmp_path: Path) -> None:
    ready(settings(tmp_path), Catalog.in_memory())
    with pytest.raises(ForeignStore, match=r"/chunks/owner says.*Bring back the catalog"):
        ready(settings(tmp_path), Catalog.in_memory())


def test_the_same_catalog_finds_its_stores_again(tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    for _ in range(2):
        stores = ready(settings(tmp_path), catalog)
        assert list(stores) == [HERE, THERE]


def a_snapshot_of(tmp_path: Path, catalog: Catalog, **its: Any) -> LocalDirChunkStore:
    """A store that nobody has claimed, and a row that relies on it."""
    store = LocalDirChunkStore(tmp_path / "chunks")
    with catalog.begin() as tx:
        snapshots.add(tx, a_snapshot(root=a_root(tmp_path, store, "east").to_text(), **its))
    return store


def test_a_store_without_owner_is_taken_by_the_catalog_that_relies_on_it(tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    a_snapshot_of(tmp_path, catalog)
    assert len(list(ready(settings(tmp_path), catalog)[HERE].digests())) == 1


def test_a_store_without_owner_is_not_taken_by_an_empty_catalog(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "chunks")
    a_root(tmp_path, store, "east")
    with pytest.raises(ForeignStore, match="this catalog does not know them"):
        ready(settings(tmp_path), Catalog.in_memory())


def test_a_store_that_is_not_mounted_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    a_snapshot_of(tmp_path, catalog)
    ready(settings(tmp_path), catalog)
    elsewhere = settings(tmp_path, region_stores=(f"us-east-1={tmp_path}/mount",))
    with pytest.raises(ForeignStore, match=r"no .*/mount/owner.*Mount the disk"):
        ready(elsewhere, catalog)


def test_an_archive_that_is_not_mounted_is_told_too(tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    ready(settings(tmp_path), catalog)
    a_snapshot_of(tmp_path, catalog, storage_tier=StorageTier.ARCHIVE)
    (tmp_path / "chunks" / "archive").rename(tmp_path / "unmounted")
    with pytest.raises(ForeignStore, match="archive/owner"):
        ready(settings(tmp_path), catalog)


def test_an_archive_of_another_region_is_refused(tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    ready(settings(tmp_path), catalog)
    own = tmp_path / "chunks" / "archive"
    own.rename(tmp_path / "unused")
    own.symlink_to(tmp_path / "regions" / THERE / "chunks" / "archive")
    with pytest.raises(ForeignStore, match="the archive of us-west-2"):
        ready(settings(tmp_path), catalog)


def test_what_reads_beside_a_server_refuses_a_foreign_store_too(tmp_path: Path) -> None:
    ready(settings(tmp_path), Catalog.in_memory())
    other = Catalog.in_memory()
    identity.of(other, IDS)
    with pytest.raises(ForeignStore):
        region_stores.opened(settings(tmp_path), other)


def test_what_works_beside_a_server_builds_no_store_where_a_disk_is_not_mounted(
    tmp_path: Path,
) -> None:
    catalog = Catalog.in_memory()
    a_snapshot_of(tmp_path, catalog)
    ready(settings(tmp_path), catalog)
    elsewhere = settings(tmp_path, region_stores=(f"us-east-1={tmp_path}/mount",))
    with pytest.raises(ForeignStore, match=r"no .*/mount/owner.*Mount the disk"):
        region_stores.opened(elsewhere, catalog)
    assert not (tmp_path / "mount").exists()


def test_nor_where_that_of_the_archive_is_not(tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    ready(settings(tmp_path), catalog)
    a_snapshot_of(tmp_path, catalog, storage_tier=StorageTier.ARCHIVE)
    (tmp_path / "chunks" / "archive").rename(tmp_path / "unmounted")
    with pytest.raises(ForeignStore, match="archive/owner"):
        region_stores.opened(settings(tmp_path), catalog)


def test_a_catalog_that_no_server_has_worked_on_takes_nobodys_store(tmp_path: Path) -> None:
    ready(settings(tmp_path), Catalog.in_memory())
    with pytest.raises(ForeignStore, match="no server has worked on this one"):
        region_stores.opened(settings(tmp_path), Catalog.in_memory())


def test_a_place_with_one_disk_of_many_is_not_the_store(tmp_path: Path) -> None:
    """Such a one a repair beside an unmounted disk may have left."""
    catalog = Catalog.in_memory()
    store = a_snapshot_of(tmp_path, catalog)
    with catalog.begin() as tx:
        for number, sign in enumerate(("gone", "too"), 7):
            root = a_root(tmp_path, LocalDirChunkStore(tmp_path / "real"), sign)
            its_id = SnapshotId(f"snap-{number:017x}")
            snapshots.add(tx, a_snapshot(id=its_id, root=root.to_text()))
    with pytest.raises(ForeignStore, match="nor most of what should be"):
        ready(settings(tmp_path), catalog)
    a_root(tmp_path, store, "too")
    ready(settings(tmp_path), catalog)


@pytest.mark.parametrize("text", [b"", b"us-east-1\n", b'{"catalog": "c"}', b"[]"])
def test_a_record_that_cannot_be_read_is_no_leave(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks" / OWNER).write_bytes(text)
    with pytest.raises(ForeignStore, match="does not say whose"):
        ready(settings(tmp_path), Catalog.in_memory())


def test_of_two_who_claim_a_store_one_has_it(tmp_path: Path) -> None:
    mine, theirs = (Owner(catalog=name, region=HERE) for name in ("mine", "theirs"))
    claim(OwnerFile(tmp_path), mine)
    claim(OwnerFile(tmp_path), mine)
    with pytest.raises(ForeignStore):
        claim(OwnerFile(tmp_path), theirs)
    assert [each.name for each in tmp_path.iterdir()] == [OWNER]
    assert is_claimed(OwnerFile(tmp_path), mine)


def test_every_column_and_value_that_names_a_root_is_among_the_holders() -> None:
    """Otherwise a collector would take what a new kind of holder relies on for garbage."""
    named_so = {
        f"{table}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if "root" in column.name and column.name != "root_device_name"
    }
    chunks = {
        f"{table}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if "digest" in column.name
    }
    assert chunks == {
        "direct_block.digest",  # region_stores.wanted
        *("condemned.digest", "known_loss.digest"),  # these need nothing
    }
    inside_values = {"import_task.disks", "store_image_task.head"}
    assert named_so | inside_values == set(HOLDERS)
    values = {
        each.__qualname__
        for module in pkgutil.walk_packages(domain.__path__, "openami.domain.")
        for each in vars(importlib.import_module(module.name)).values()
        if dataclasses.is_dataclass(each) and isinstance(each, type)
        if any(
            re.search(r"\bRoot\b", str(f.type)) or f.name in ("root", "roots") for f in fields(each)
        )
    }
    assert values == {
        *("Snapshot", "Volume", "SnapshotCopy", "ExportTask", "FastRestore"),  # by their column
        "ImportedDisk",  # in import_task.disks
        *("StoredDisk",),  # in store_image_task.head
    }


def test_what_an_unknown_volume_on_the_host_lies_on_is_kept(tmp_path: Path) -> None:
    svc = services(tmp_path)
    root = ingest_file(svc.stores[HERE], a_disk(tmp_path / "disk", {3: a_block("a")}, GIB))
    svc.volumes.create(VOLUME, HERE, root, 1)
    for region, expected in ((HERE, {root}), (THERE, set[Root]())):
        store = svc.stores[region]
        assert region_stores.relied_on(svc.catalog, svc.volumes, region, store) == expected
    with svc.catalog.begin() as tx:
        volumes.add(tx, a_volume(region=THERE, root=None))
    store = svc.stores[HERE]
    assert region_stores.relied_on(svc.catalog, svc.volumes, HERE, store) == set()
