"""One store of chunks per region, so that what a region holds is there without the others.

Each is in a directory of its own, or under a prefix of a bucket, in the same layout. Whose it is,
its owner's record says (ownership.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Final, TypeAlias

from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.ownership import ForeignStore, OwnerFile, OwnerRecord
from openami.blockstore.s3 import bucket
from openami.blockstore.s3.owner import OwnerObject
from openami.blockstore.s3.store import S3ChunkStore
from openami.blockstore.tiered import TieredStore
from openami.domain.ids import Region
from openami.domain.store_place import BucketPlace

Place: TypeAlias = Path | BucketPlace
RegionStore: TypeAlias = LocalDirChunkStore | S3ChunkStore

ARCHIVE: Final = "archive"
"""Beside a store's chunks. In a directory it may be a link to a slower disk, or its mount."""


def places(
    state_dir: Path, regions: Sequence[str], elsewhere: Mapping[str, Place]
) -> dict[Region, Place]:
    """Region → where its store is or will be: `elsewhere` if it is named there, otherwise
    `<state_dir>/chunks` for the first and `<state_dir>/regions/<region>/chunks` for the others.

    Raises ForeignStore where two regions are to share one.
    """
    found: dict[Region, Place] = {}
    for name in dict.fromkeys(regions):
        ordinary = state_dir / "regions" / name / "chunks" if found else state_dir / "chunks"
        found[Region(name)] = elsewhere.get(name, ordinary)
    for (first, its), (second, other) in combinations(found.items(), 2):
        if _overlap(its, other):  # each region would take what is the other's for garbage
            raise ForeignStore(
                f"{other} is named for {first} and for {second}: each region needs its own"
            )
    return found


def _overlap(one: Place, other: Place) -> bool:
    match one, other:
        case Path(), Path():
            return one.resolve() == other.resolve()
        case BucketPlace(), BucketPlace():
            return one.overlaps(other)
        case _:
            return False


def archive_of(place: Place) -> Place:
    """Where the archive of the store there is."""
    match place:
        case Path():
            return place / ARCHIVE
        case BucketPlace():
            return replace(place, prefix=f"{place.prefix}/{ARCHIVE}".lstrip("/"))


def store_at(place: Place) -> RegionStore:
    """A directory is made if it is not there, a bucket is not."""
    match place:
        case Path():
            return LocalDirChunkStore(place)
        case BucketPlace():
            return S3ChunkStore(bucket.at(place))


def opened(place: Place) -> TieredStore:
    """The store there with its archive."""
    return TieredStore(store_at(place), store_at(archive_of(place)))


def told(place: Place) -> str | Mapping[str, str]:
    """The place as JSON can hold it, keys and all, for another process of ours."""
    return str(place.absolute()) if isinstance(place, Path) else asdict(place)


def understood(text: str | Mapping[str, str]) -> Place:
    """The place that `told` has told."""
    return Path(text) if isinstance(text, str) else BucketPlace(**text)


def record_at(place: Place, *, briefly: bool = False) -> OwnerRecord:
    """`briefly` is for who would rather be told soon that the store is away."""
    match place:
        case Path():
            return OwnerFile(place)
        case BucketPlace():
            return OwnerObject(bucket.at(place, bucket.BRIEF if briefly else bucket.PATIENCE))
