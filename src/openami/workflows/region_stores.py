"""The regions' stores as a server finds them: whose they are, opened, cleared of drafts."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from openami.blockstore import regional
from openami.blockstore.awaited import Arrival, AwaitedStore
from openami.blockstore.ownership import (
    Claim,
    ForeignStore,
    Owner,
    OwnerRecord,
    Part,
    claim,
    is_claimed,
)
from openami.blockstore.regional import Place, RegionStore
from openami.blockstore.store import ChunkStore, Kind, StoreAway
from openami.blockstore.tiered import TieredStore
from openami.blockstore.verify import Wanted
from openami.blockstore.volumes import VolumeHost
from openami.catalog import snapshots, volumes
from openami.catalog.catalog import Catalog
from openami.catalog.direct import writings
from openami.catalog.storage import identity
from openami.catalog.storage import roots as holders
from openami.domain.block import HOLE, Digest
from openami.domain.ids import Ids, Region
from openami.domain.manifest import Root
from openami.domain.store_place import BucketPlace
from openami.settings import Settings

_NO_ID_YET: Final = "(no server has worked on this one yet)"
_NONE_AWAITED: Final[Mapping[Region, Arrival]] = MappingProxyType({})
_log = logging.getLogger(__name__)


def places(settings: Settings, catalog: Catalog) -> Mapping[Region, Place]:
    """Region → where its store is.

    A region that was taken out of the settings keeps its store while anything of it is there.
    Raises SettingsError, ForeignStore.
    """
    with catalog.read() as tx:
        used = sorted({*snapshots.regions(tx), *volumes.regions(tx)})
    return regional.places(settings.state_dir, [*settings.regions, *used], settings.store_of)


def opened(settings: Settings, catalog: Catalog) -> Mapping[Region, TieredStore]:
    """The stores with their archives, for who works beside a server. Raises as `ready` does.

    Nothing is claimed here. Where a disk is not mounted there is no record, and what a repair
    would build there in its place is a store that lacks nearly everything.
    """
    its_id = identity.find(catalog) or _NO_ID_YET
    found = places(settings, catalog)
    for region, place in found.items():
        for owner, where in _parts(its_id, region, place):
            _require_own(catalog, owner, regional.record_at(where))
    return {region: regional.opened(place) for region, place in found.items()}


def strange(settings: Settings, catalog: Catalog) -> Iterator[str]:
    """What is wrong with the stores' owners, and which cannot be asked. Raises SettingsError."""
    its_id = identity.find(catalog)
    if its_id is None:
        return
    for region, place in places(settings, catalog).items():
        try:
            for owner, where in _parts(its_id, region, place):
                _require_own(catalog, owner, regional.record_at(where))
                if isinstance(where, BucketPlace):  # a server does not start over a directory
                    _is_taken(catalog, regional.store_at(where), regional.record_at(where), owner)
        except (ForeignStore, StoreAway) as trouble:
            yield f"{region}: {trouble}"


def claims(settings: Settings, catalog: Catalog, ids: Ids) -> Mapping[Region, Sequence[Claim]]:
    """What the records of the stores say once they are `ready`, each store before its archive."""
    its_id = identity.of(catalog, ids)
    return {
        region: tuple(
            Claim(owner=owner, record=regional.record_at(where, briefly=True))
            for owner, where in _parts(its_id, region, place)
        )
        for region, place in places(settings, catalog).items()
    }


def _parts(its_id: str, region: Region, place: Place) -> Iterator[tuple[Owner, Place]]:
    """Whose each part of the region's store should be, and where it is."""
    yield Owner(catalog=its_id, region=region, part=Part.CHUNKS), place
    yield Owner(catalog=its_id, region=region, part=Part.ARCHIVE), regional.archive_of(place)


def _require_own(catalog: Catalog, owner: Owner, record: OwnerRecord) -> None:
    """Raises ForeignStore for a store that is not the owner's, or that should be and is not."""
    if not is_claimed(record, owner) and _is_wanted(catalog, owner):
        raise _not_there(record, owner)


def may_be_away(settings: Settings, catalog: Catalog) -> Sequence[Region]:
    """The regions whose stores are on other hosts. Raises SettingsError, ForeignStore."""
    found = places(settings, catalog)
    return [region for region, place in found.items() if isinstance(place, BucketPlace)]


def ready(
    settings: Settings,
    catalog: Catalog,
    ids: Ids,
    arrivals: Mapping[Region, Arrival] = _NONE_AWAITED,
) -> Mapping[Region, TieredStore]:
    """The stores of this catalog, and of no other, each with its archive.

    Those that have an arrival are used from that on, and may be away now.
    Raises SettingsError, ForeignStore, StoreFull, and StoreAway for those that have none.
    """
    its_id = identity.of(catalog, ids)
    for region, arrival in arrivals.items():
        try:
            take(settings, catalog, ids, region)
        except StoreAway as away:
            _log.error("%s has no store until it answers, and is served without: %s", region, away)
            arrival.missed(away)

    def part(owner: Owner, place: Place) -> ChunkStore:
        arrival = arrivals.get(owner.region)
        if arrival is None:
            return _taken(catalog, owner, place)
        return AwaitedStore(regional.store_at(place), arrival)

    return {
        region: TieredStore(*(part(*each) for each in _parts(its_id, region, place)))
        for region, place in places(settings, catalog).items()
    }


def take(settings: Settings, catalog: Catalog, ids: Ids, region: Region) -> None:
    """Make sure that the region's store and its archive are this catalog's.

    Raises SettingsError, ForeignStore, StoreFull, StoreAway.
    """
    place = places(settings, catalog)[region]
    for owner, where in _parts(identity.of(catalog, ids), region, place):
        _taken(catalog, owner, where)


def _taken(catalog: Catalog, owner: Owner, place: Place) -> RegionStore:
    store = regional.store_at(place)
    _take(catalog, store, regional.record_at(place, briefly=True), owner)
    store.recover()
    return store


def _take(catalog: Catalog, store: ChunkStore, record: OwnerRecord, owner: Owner) -> None:
    """Make sure that the store is the owner's; one that has no owner yet becomes his."""
    if not _is_taken(catalog, store, record, owner):
        claim(record, owner)


def _is_taken(catalog: Catalog, store: ChunkStore, record: OwnerRecord, owner: Owner) -> bool:
    """Whether the store is the owner's already; False if it may become his.

    An empty one where there should be bytes, or one with few of them, is a disk that is not
    mounted; one with bytes that the catalog does not know is somebody else's. Raises ForeignStore.
    """
    if is_claimed(record, owner):
        return True
    holds = any(True for kind in Kind for _ in store.digests(kind))
    wanted = _is_wanted(catalog, owner)
    if wanted and not (holds and _has_most(catalog, store, owner)):
        raise _not_there(record, owner)
    if holds and not wanted:
        raise ForeignStore(
            f"There is no {record.where}, but there are bytes that should be {owner}, and this"
            " catalog does not know them. Bring back the catalog that goes with them, name another"
            " directory in region_stores, or move them away: if all of them are garbage of this"
            " catalog, whose snapshots there are deleted, nothing needs them"
        )
    return False


def _is_wanted(catalog: Catalog, owner: Owner) -> bool:
    """Whether the catalog relies on bytes that should be there."""
    if owner.part is Part.CHUNKS:
        return bool(_tops(catalog, owner) or _written(catalog, owner))
    with catalog.read() as tx:
        return holders.any_archived(tx, owner.region)


def _has_most(catalog: Catalog, store: ChunkStore, owner: Owner) -> bool:
    """One disk may be lost; of a store where most are, another one is the right one. What an
    archive has to have nobody wrote down."""
    if owner.part is Part.ARCHIVE:
        return True
    pages, chunks = _tops(catalog, owner), _written(catalog, owner)
    lacking = len(store.missing(pages, Kind.PAGE)) + len(store.missing(chunks))
    return 2 * lacking <= len(pages) + len(chunks)


def _tops(catalog: Catalog, owner: Owner) -> set[Digest]:
    """The topmost pages of all disks of the region that are not empty."""
    return {root.digest for root in roots(catalog, owner.region)} - {HOLE}


def _written(catalog: Catalog, owner: Owner) -> set[Digest]:
    """Some of what has been written to pending snapshots of the region, if anything has."""
    parts = writings.digests(catalog, owner.region)
    return next((set(part) for part in parts if part), set[Digest]())


def _not_there(record: OwnerRecord, owner: Owner) -> ForeignStore:
    return ForeignStore(
        f"There is no {record.where}, nor most of what should be {owner}. Mount the disk that"
        " holds it, or put its place back into region_stores. (If the store is of a version that"
        " wrote no owner, start the server: it takes it.)"
    )


def roots(catalog: Catalog, region: Region) -> set[Root]:
    """Everything that a region's store must give, whoever relies on it."""
    with catalog.read() as tx:
        return {Root.from_text(text) for text in holders.of_region(tx, region)}


def wanted(catalog: Catalog, host: VolumeHost, region: Region, store: ChunkStore) -> Wanted:
    """The same with what has been written to snapshots that are pending."""
    # First: what is completed meanwhile is found by its root.
    chunks = {digest for part in writings.digests(catalog, region) for digest in part}
    return Wanted(roots=relied_on(catalog, host, region, store), chunks=chunks)


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
