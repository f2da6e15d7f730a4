"""One store of chunks per region, so that what a region holds is there without the others.

Each is a directory that says in its file `region` whose it is: a changed order of the setting
`regions` is refused rather than taken for lost bytes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from openami.blockstore.local_dir import LocalDirChunkStore
from openami.domain.ids import Region

_OWNER: Final = "region"


class StoreOfAnotherRegion(Exception):
    """A directory holds the chunks of another region than the settings say."""


def directories(
    state_dir: Path, regions: Sequence[str], elsewhere: Mapping[str, Path]
) -> dict[Region, Path]:
    """Region → where its store is or will be: `elsewhere` if it is named there, otherwise
    `<state_dir>/chunks` for the first and `<state_dir>/regions/<region>/chunks` for the others.
    """
    found: dict[Region, Path] = {}
    for name in dict.fromkeys(regions):
        ordinary = state_dir / "regions" / name / "chunks" if found else state_dir / "chunks"
        found[Region(name)] = elsewhere.get(name, ordinary)
    return found


def opened(places: Mapping[Region, Path]) -> dict[Region, LocalDirChunkStore]:
    """The stores, made where they are not there. Raises StoreOfAnotherRegion."""
    _refuse_shared(places)
    for region, directory in places.items():
        if owner(directory) not in (None, region):
            raise StoreOfAnotherRegion(
                f"{directory} holds the chunks of {owner(directory)}, not of {region}: put the"
                " setting regions back into the order it had, or name directories in"
                " region_stores"
            )
    return {region: LocalDirChunkStore(directory) for region, directory in places.items()}


def _refuse_shared(places: Mapping[Region, Path]) -> None:
    """Each region would take what is the other's for garbage."""
    seen: dict[Path, Region] = {}
    for region, directory in places.items():
        first = seen.setdefault(directory.resolve(), region)
        if first != region:
            raise StoreOfAnotherRegion(
                f"{directory} is named for {first} and for {region}: each region needs its own"
            )


def owner(directory: Path) -> Region | None:
    """The region whose chunks the directory holds; None if nobody has claimed it."""
    try:
        return Region((directory / _OWNER).read_text().strip())
    except FileNotFoundError:
        return None


def claim(directory: Path, region: Region) -> None:
    """Write down whose it is: from now on all that the region relies on is in it."""
    draft = directory / f".{_OWNER}"
    draft.write_text(f"{region}\n")
    draft.rename(directory / _OWNER)
