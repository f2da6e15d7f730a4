"""A store per region: where it is, whose it is, and how an older state directory comes to it."""

from pathlib import Path

import pytest

from openami.blockstore import regional
from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.regional import StoreOfAnotherRegion
from openami.blockstore.verify import verify
from openami.catalog import snapshots
from openami.catalog.catalog import Catalog
from openami.domain.block import GIB
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.settings import Settings, SettingsError
from openami.workflows import region_stores
from support.blocks import a_block, a_disk
from support.builders import HERE, THERE, a_snapshot


def settings(tmp_path: Path, **but: object) -> Settings:
    return Settings(state_dir=tmp_path, **but)  # pyright: ignore[reportArgumentType]


def a_root(tmp_path: Path, store: LocalDirChunkStore | MemoryChunkStore, sign: str) -> Root:
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
    region_stores.ready(settings(tmp_path), Catalog.in_memory())
    swapped = settings(tmp_path, regions=("us-west-2", "us-east-1"))
    with pytest.raises(StoreOfAnotherRegion, match="holds the chunks of us-east-1, not of us-west"):
        region_stores.ready(swapped, Catalog.in_memory())


def an_older_state(tmp_path: Path) -> tuple[Catalog, Root]:
    """All regions in one store: a snapshot of each, and one that lost its bytes."""
    store = LocalDirChunkStore(tmp_path / "chunks")
    west = a_root(tmp_path, store, "west")
    with (catalog := Catalog.in_memory()).begin() as tx:
        east = a_root(tmp_path, store, "east").to_text()
        lost = a_root(tmp_path, MemoryChunkStore(), "lost").to_text()
        snapshots.add(tx, a_snapshot(root=east))
        for number, root in ((2, west.to_text()), (3, lost)):
            its_id = f"snap-0000000000000000{number}"
            snapshots.add(tx, a_snapshot(id=its_id, region=THERE, root=root))
    return catalog, west


def test_a_store_of_before_is_divided_at_the_first_start(tmp_path: Path) -> None:
    catalog, west = an_older_state(tmp_path)
    assert region_stores.homes(settings(tmp_path), catalog)[THERE] == tmp_path / "chunks"
    stores = region_stores.ready(settings(tmp_path), catalog)
    assert verify(stores[THERE], [west]).intact
    assert len(list(stores[THERE].digests())) == 1
    assert region_stores.homes(settings(tmp_path), catalog)[THERE] == stores[THERE].directory


def test_it_is_divided_once(tmp_path: Path) -> None:
    catalog, _ = an_older_state(tmp_path)
    stores = region_stores.ready(settings(tmp_path), catalog)
    (digest,) = stores[THERE].digests()
    stores[THERE].delete(digest)
    region_stores.ready(settings(tmp_path), catalog)
    assert not stores[THERE].has(digest), "a loss must be seen, not painted over at each start"


def test_a_division_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    catalog, west = an_older_state(tmp_path)
    regional.opened(region_stores.places(settings(tmp_path), catalog))
    stores = region_stores.ready(settings(tmp_path), catalog)
    assert verify(stores[THERE], [west]).intact
    assert regional.owner(stores[THERE].directory) == Region("us-west-2")
