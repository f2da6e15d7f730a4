"""The regions' stores as a server finds them: opened, cleared of drafts, and filled once.

Before regions had stores of their own, all of them shared the first one's.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from openami.blockstore import regional
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.store import ChunkLost
from openami.blockstore.transfer import transfer
from openami.catalog import ingests, snapshot_copies, snapshots, volumes
from openami.catalog.catalog import Catalog
from openami.catalog.transfers import export_tasks, store_image_tasks
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.settings import Settings

_log = logging.getLogger(__name__)


def places(settings: Settings, catalog: Catalog) -> Mapping[Region, Path]:
    """Region → the directory of its store, as it is when a server has started.

    A region that was taken out of the settings keeps its store while anything of it is there.
    Raises SettingsError.
    """
    with catalog.read() as tx:
        used = sorted({*snapshots.regions(tx), *volumes.regions(tx)})
    return regional.directories(settings.state_dir, [*settings.regions, *used], settings.store_of)


def homes(settings: Settings, catalog: Catalog) -> Mapping[Region, Path]:
    """Region → the directory where its bytes are now: the first one's until its own is filled."""
    directories = places(settings, catalog)
    first = next(iter(directories.values()))
    return {
        region: directory if regional.owner(directory) == region else first
        for region, directory in directories.items()
    }


def ready(settings: Settings, catalog: Catalog) -> Mapping[Region, LocalDirChunkStore]:
    """The stores, each with all that its region's snapshots and volumes rely on.

    Raises SettingsError, StoreOfAnotherRegion, StoreFull.
    """
    directories = places(settings, catalog)
    stores = regional.opened(directories)
    first = next(iter(stores.values()))
    for region, store in stores.items():
        store.recover()
        if regional.owner(store.directory) is None:
            for root in roots(catalog, region):
                _bring(first, store, root)
            regional.claim(store.directory, region)
    return stores


def roots(catalog: Catalog, region: Region) -> set[Root]:
    """Everything that a region's store must give: snapshots' disks, volumes' bases, and what is
    being copied or uploaded from there."""
    with catalog.read() as tx:
        texts = {
            *snapshots.all_roots(tx, region),
            *volumes.all_roots(tx, region),
            *snapshot_copies.all_roots(tx, region),
            *ingests.all_roots(tx, region),
            *store_image_tasks.all_roots(tx, region),
            *export_tasks.all_roots(tx, region),
        }
    return {Root.from_text(text) for text in texts}


def _bring(first: LocalDirChunkStore, store: LocalDirChunkStore, root: Root) -> None:
    try:
        transfer(first, store, root)
    except ChunkLost:  # lost it is in either place; the server has more to do than this disk
        _log.exception("%s cannot be brought to %s", root.to_text(), store.directory)
