"""One store of chunks per region, so that what a region holds is there without the others.

Each is a directory. Whose it is, its owner's record says (ownership.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from openami.blockstore.ownership import ForeignStore
from openami.domain.ids import Region


def directories(
    state_dir: Path, regions: Sequence[str], elsewhere: Mapping[str, Path]
) -> dict[Region, Path]:
    """Region → where its store is or will be: `elsewhere` if it is named there, otherwise
    `<state_dir>/chunks` for the first and `<state_dir>/regions/<region>/chunks` for the others.

    Raises ForeignStore where two regions are to share one.
    """
    found: dict[Region, Path] = {}
    for name in dict.fromkeys(regions):
        ordinary = state_dir / "regions" / name / "chunks" if found else state_dir / "chunks"
        found[Region(name)] = elsewhere.get(name, ordinary)
    _refuse_shared(found)
    return found


def _refuse_shared(places: Mapping[Region, Path]) -> None:
    """Each region would take what is the other's for garbage."""
    seen: dict[Path, Region] = {}
    for region, directory in places.items():
        first = seen.setdefault(directory.resolve(), region)
        if first != region:
            raise ForeignStore(
                f"{directory} is named for {first} and for {region}: each region needs its own"
            )
