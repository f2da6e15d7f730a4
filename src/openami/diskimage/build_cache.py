"""Built disks, kept: each is built once for what it is made of and found again by name.

A cached disk's name ends in a digest of the recipe (our own source) and of the versions of
the packages that go in; a change of either builds anew. Older ones are left for who uses
them as a base and may be deleted at any time.
"""

import fcntl
import hashlib
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from openami.diskimage import debian, tiny
from openami.diskimage.errors import DiskImageError
from openami.diskimage.tools import Progress

_KEY_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    versions: Callable[[], str]
    build: Callable[[Path, Path, Progress], None]
    guest: str  # the folder of guest/ that goes in
    sources: tuple[str, ...]


_COMMON: Final = ("rootfs.py", "grub.py", "gpt.py")
_RECIPES: Final = {
    "tiny": _Recipe(
        versions=tiny.versions,
        build=tiny.build_tiny,
        guest="tiny",
        sources=(*_COMMON, "tiny.py", "initramfs.py"),
    ),
    "debian-12": _Recipe(
        versions=debian.versions,
        build=lambda out, work, progress: debian.build_debian_12(out, work, progress, ()),
        guest="debian",
        sources=(*_COMMON, "debian.py", "apt_sources.py"),
    ),
}
NAMES: Final = tuple(_RECIPES)


def built(name: str, cache_dir: Path, progress: Progress) -> Path:
    """The raw disk `name` ("tiny" or "debian-12"), built now if `cache_dir` lacks it.

    Read-only for its users. Processes that ask at the same time wait for one build.
    Raises DiskImageError.
    """
    if name not in _RECIPES:
        raise DiskImageError(f"no recipe {name!r}; there are {', '.join(NAMES)}")
    cache_dir.mkdir(parents=True, exist_ok=True)
    recipe = _RECIPES[name]
    disk = cache_dir / f"{name}-{_key(recipe)}.raw"
    if disk.exists():
        return disk
    with _lock(cache_dir / f"{name}.lock", progress):
        if not disk.exists():
            with tempfile.TemporaryDirectory(prefix=f"{name}-build-", dir=cache_dir) as work:
                recipe.build(disk, Path(work), progress)
    return disk


def _key(recipe: _Recipe) -> str:
    package = resources.files("openami.diskimage")
    guest = package.joinpath("guest", recipe.guest)
    parts = [package.joinpath(name).read_bytes() for name in recipe.sources]
    parts += [guest.joinpath(name).read_bytes() for name in sorted(f.name for f in guest.iterdir())]
    digest = hashlib.sha256(recipe.versions().encode())
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:_KEY_CHARACTERS]


@contextmanager
def _lock(path: Path, progress: Progress) -> Generator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that builds the same disk")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
