"""The regions' stores as a server finds them: whose they are, opened, cleared of drafts."""

from collections.abc import Iterator, Mapping

from openami.blockstore import regional
from openami.blockstore.ownership import (
    ForeignStore,
    Owner,
    OwnerRecord,
    Part,
    claim,
    is_claimed,
)
from openami.blockstore.regional import Place
from openami.blockstore.store import ChunkStore, Kind, StoreAway
from openami.blockstore.tiered import TieredStore
from openami.blockstore.volumes import VolumeHost
from openami.catalog import snapshots, volumes
from openami.catalog.catalog import Catalog
from openami.catalog.storage import identity
from openami.catalog.storage import roots as holders
from openami.domain.block import HOLE
from openami.domain.ids import Ids, Region
from openami.domain.manifest import Root
from openami.settings import Settings


def places(settings: Settings, catalog: Catalog) -> Mapping[Region, Place]:
    """Region → where its store is.

    A region that was taken out of the settings keeps its store while anything of it is there.
    Raises SettingsError, ForeignStore.
    """
    with catalog.read() as tx:
        used = sorted({*snapshots.regions(tx), *volumes.regions(tx)})
    return regional.places(settings.state_dir, [*settings.regions, *used], settings.store_of)


def opened(settings: Settings, catalog: Catalog) -> Mapping[Region, TieredStore]:
    """The stores with their archives, for who reads beside a server. Raises as `ready` does."""
    its_id = identity.find(catalog)
    found = places(settings, catalog)
    if its_id is not None:
        for region, place in found.items():
            is_claimed(regional.record_at(place), Owner(catalog=its_id, region=region))
    return {region: regional.opened(place) for region, place in found.items()}


def strange(settings: Settings, catalog: Catalog) -> Iterator[str]:
    """What is wrong with the stores' owners, and which cannot be asked. Raises SettingsError."""
    its_id = identity.find(catalog)
    if its_id is None:
        return
    for region, place in places(settings, catalog).items():
        try:
            is_claimed(regional.record_at(place), Owner(catalog=its_id, region=region))
        except (ForeignStore, StoreAway) as trouble:
            yield f"{region}: {trouble}"


def ready(settings: Settings, catalog: Catalog, ids: Ids) -> Mapping[Region, TieredStore]:
    """The stores of this catalog, and of no other, each with its archive.

    Raises SettingsError, ForeignStore, StoreFull, StoreAway.
    """
    its_id = identity.of(catalog, ids)

    def taken(region: Region, part: Part, place: Place) -> ChunkStore:
        store = regional.store_at(place)
        owner = Owner(catalog=its_id, region=region, part=part)
        _take(catalog, store, regional.record_at(place), owner)
        store.recover()
        return store

    return {
        region: TieredStore(
            taken(region, Part.CHUNKS, place),
            taken(region, Part.ARCHIVE, regional.archive_of(place)),
        )
        for region, place in places(settings, catalog).items()
    }


def _take(catalog: Catalog, store: ChunkStore, record: OwnerRecord, owner: Owner) -> None:
    """Make sure that the store is the owner's; one that has no owner yet becomes his.

    An empty one where there should be bytes is a disk that is not mounted; one with bytes that
    the catalog does not know is somebody else's. Raises ForeignStore.
    """
    if is_claimed(record, owner):
        return
    holds = any(True for kind in Kind for _ in store.digests(kind))
    if owner.part is Part.ARCHIVE:
        with catalog.read() as tx:
            wanted = known = holders.any_archived(tx, owner.region)
    else:
        pages = {root.digest for root in roots(catalog, owner.region)} - {HOLE}
        wanted, known = bool(pages), len(store.missing(pages, Kind.PAGE)) < len(pages)
    if wanted and not (holds and known):
        raise ForeignStore(
            f"There is no {record.where}, nor anything else of what should be {owner}. Mount the"
            " disk that holds it, or put its place back into region_stores"
        )
    if holds and not known:
        raise ForeignStore(
            f"There is no {record.where}, but there are bytes that should be {owner}, and this"
            " catalog does not know them. Bring back the catalog that goes with them, name another"
            " directory in region_stores, or move them away"
        )
    claim(record, owner)


def roots(catalog: Catalog, region: Region) -> set[Root]:
    """Everything that a region's store must give, whoever relies on it."""
    with catalog.read() as tx:
        return {Root.from_text(text) for text in holders.of_region(tx, region)}


def relied_on(catalog: Catalog, host: VolumeHost, region: Region, store: ChunkStore) -> set[Root]:
    """The same, and what volumes on the host lie on of which the catalog knows nothing.

    Where those belong nobody can say: to each region that has what they need.
    """
    bases = host.bases()  # first: a volume has its row before its disk, and after it
    with catalog.read() as tx:
        known = volumes.known(tx, bases)
    stray = {root for volume_id, root in bases.items() if volume_id not in known}
    there = {root for root in stray if store.has(root.digest, Kind.PAGE)}
    return roots(catalog, region) | there
