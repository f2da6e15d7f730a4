"""The volumes of one host: each a qcow2 overlay over the shared base of its snapshot.

`<directory>/<volume id>/disk.qcow2` is the overlay; the driver gives it to its machine's user.
`origin.json` beside it says what lies below and stays ours: what QEMU may have written into the
overlay's header is never believed.
"""

import json
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from openami.blockstore.cache import BaseCache
from openami.blockstore.codec import Buffer
from openami.blockstore.disk_sync import full_disk_is_told, sync_directory, write_all
from openami.blockstore.ingest import ingest_changes
from openami.blockstore.manifest import Manifests
from openami.blockstore.restore import write_disk
from openami.blockstore.store import ChunkStore
from openami.diskimage.qcow2 import Changed, changed_blocks, create_overlay, overlay_at
from openami.diskimage.qcow2 import grow as grow_overlay
from openami.domain.block import BLOCK_BYTES, BLOCKS_PER_GIB, GIB, HOLE
from openami.domain.ids import Region, VolumeId, is_id
from openami.domain.manifest import Root

_ZERO: Final = bytes(BLOCK_BYTES)
_OVERLAY: Final = "disk.qcow2"
_ORIGIN: Final = "origin.json"


class VolumeAbsent(Exception):
    """There is no such volume on this host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a volume was made of."""

    root: Root | None
    size_gib: int


class VolumeHost:
    """Calls may be repeated and may die anywhere: a volume is there when its overlay is.

    Whoever names a volume names its region: that is where the blocks below it are stored.
    Volumes are made `over_absent_bases` where somebody else serves those until they are here.
    """

    def __init__(
        self,
        directory: Path,
        cache: BaseCache,
        stores: Mapping[Region, ChunkStore],
        *,
        over_absent_bases: bool = False,
    ) -> None:
        self._directory = directory.absolute()
        self._cache, self._stores = cache, stores
        self._over_absent_bases = over_absent_bases
        self._manifests = {region: Manifests(store) for region, store in stores.items()}
        self._evicting = threading.Lock()
        self._pins = Counter[Root]()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o711)

    def manifests(self, region: Region) -> Manifests:
        """The trees of the region's store, with the pages that were read last."""
        return self._manifests[region]

    def create(self, volume_id: VolumeId, region: Region, root: Root | None, size_gib: int) -> None:
        """Make the volume, durably, if it is not there: `size_gib` of the disk `root`, or of zeros.

        Raises ValueError if it is there but was made of something else, or if `root` is larger;
        ChunkLost or ChunkCorrupt if its base cannot be made; StoreFull.
        """
        if root is not None and root.size_bytes > size_gib * GIB:
            raise ValueError(f"a volume of {size_gib} GiB cannot hold {root.size_bytes} bytes")
        wanted = Origin(root=root, size_gib=size_gib)
        home = self._home(volume_id)
        if (home / _OVERLAY).exists():
            if self.origin(volume_id) != wanted:
                raise ValueError(f"{volume_id} was made of something else: {home / _ORIGIN}")
            return
        with self._pinned(root), full_disk_is_told(self._directory):
            # A name alone, which says where the base is or will be: nobody believes it.
            below = _content(root)
            base = None if below is None else self._cache.path(below)
            if not self._over_absent_bases:
                self._base(region, root)
            home.mkdir(exist_ok=True)
            home.chmod(0o711)
            for draft in home.iterdir():  # of an attempt that died
                draft.unlink()
            _write_origin(home / _ORIGIN, wanted)
            draft = home / f".{_OVERLAY}"
            create_overlay(draft, size_gib * GIB, base)
            draft.rename(home / _OVERLAY)
            sync_directory(home)
            sync_directory(self._directory)

    def origin(self, volume_id: VolumeId) -> Origin:
        """Raises VolumeAbsent."""
        try:
            text = (self._home(volume_id) / _ORIGIN).read_text()
        except FileNotFoundError as missing:
            raise VolumeAbsent(volume_id) from missing
        fields = json.loads(text)
        root = None if fields["root"] is None else Root.from_text(fields["root"])
        return Origin(root=root, size_gib=fields["size_gib"])

    def paths(self, volume_id: VolumeId, region: Region) -> tuple[Path, Path | None]:
        """The overlay, and the base under it (made first where it is not here).

        Raises VolumeAbsent, ChunkLost, ChunkCorrupt, StoreFull.
        """
        overlay = self.overlay(volume_id)
        return overlay, self._base(region, self.origin(volume_id).root)

    def overlay(self, volume_id: VolumeId) -> Path:
        """The overlay alone, whatever is below it. Raises VolumeAbsent."""
        overlay = self._home(volume_id) / _OVERLAY
        if not overlay.exists():
            raise VolumeAbsent(volume_id)
        return overlay

    def absent_base(self, volume_id: VolumeId) -> Root | None:
        """What lies below the volume and is not here; None where nothing is missing.

        Raises VolumeAbsent.
        """
        root = _content(self.origin(volume_id).root)
        return None if root is None or self.is_at_hand(root) else root

    def bring_to_hand(self, region: Region, root: Root) -> None:
        """Make the base of volumes to come, so that they need not wait for it.

        Raises ChunkLost, ChunkCorrupt, StoreFull.
        """
        self._base(region, root)

    def is_at_hand(self, root: Root) -> bool:
        return root.digest == HOLE or self._cache.path(root).exists()

    def release(self, root: Root) -> None:
        """Drop the base unless a volume lies on it."""
        with self._evicting:
            if root not in self._in_use():
                self._cache.drop(root)

    def evict(self, wanted: Iterable[Root], bytes_max: int) -> int:
        """Make the cache of bases as small as that, as far as no volume lies on them and they are
        not `wanted`; how many bytes that freed."""
        with self._evicting:
            return self._cache.evict({*wanted, *self._in_use()}, bytes_max)

    def _in_use(self) -> set[Root]:
        return self.roots() | self._pins.keys()

    @contextmanager
    def _pinned(self, root: Root | None) -> Generator[None]:
        """Keep the base of a volume that is being made: nothing on the disk says so yet."""
        pins = Counter[Root]() if root is None else Counter([root])
        with self._evicting:
            self._pins += pins
        try:
            yield
        finally:
            with self._evicting:
                self._pins -= pins

    def delete(self, volume_id: VolumeId) -> None:
        """Remove the volume and its bytes. One that is not there is fine."""
        home = self._home(volume_id)
        (home / _OVERLAY).unlink(missing_ok=True)  # first: without it there is no volume
        if home.exists():
            shutil.rmtree(home)

    def list(self) -> Iterator[VolumeId]:
        """The volumes there are, in no order."""
        for home in self._directory.iterdir():
            if is_id("vol", home.name) and (home / _OVERLAY).exists():
                yield VolumeId(home.name)

    def roots(self) -> set[Root]:
        """What the volumes lie on: not to be evicted, and not to be collected."""
        return set(self.bases().values())

    def bases(self) -> dict[VolumeId, Root]:
        """What each volume lies on, of those that lie on anything."""
        found: dict[VolumeId, Root] = {}
        for volume_id in self.list():
            with suppress(VolumeAbsent):  # deleted since it was listed
                root = self.origin(volume_id).root
                if root is not None:
                    found[volume_id] = root
        return found

    def grow(self, volume_id: VolumeId, size_gib: int) -> None:
        """Make the volume larger. One that a machine has open is grown by the machine first.

        Raises VolumeAbsent, Qcow2Error.
        """
        home, origin = self._home(volume_id), self.origin(volume_id)
        if not (home / _OVERLAY).exists():
            raise VolumeAbsent(volume_id)
        grow_overlay(home / _OVERLAY, size_gib * GIB)
        if origin.size_gib < size_gib:
            draft = home / f".{_ORIGIN}"
            draft.unlink(missing_ok=True)
            _write_origin(draft, replace(origin, size_gib=size_gib))
            draft.rename(home / _ORIGIN)
            sync_directory(home)

    def snapshot_from(
        self,
        overlay: Path,
        region: Region,
        base_root: Root | None,
        size_gib: int,
        *,
        of_gib: int | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> Root:
        """Store a quiescent overlay, or a backup of one that runs, as a disk; cost is what changed.

        `of_gib` is how much of the disk is wanted, when it has grown since it was asked for.
        `look` is called before each block, by one thread at a time; what it raises ends all.
        The caller holds the ingest's lease, which covers `base_root` too. Raises Qcow2Error if
        the file is not a disk of that size, ChunkLost, ChunkCorrupt, StoreFull.
        """
        store, manifests = self._stores[region], self._manifests[region]
        blocks = (of_gib or size_gib) * BLOCKS_PER_GIB
        base = base_root or Root.empty(blocks)
        if base.blocks != blocks:
            with store.writer() as writer:
                base = manifests.resized(writer, base, blocks)
        with overlay_at(overlay, size_gib * GIB) as opened:

            def read(changed: Changed) -> tuple[int, Buffer]:
                below = partial(self._block, region, base)
                return changed.index, opened.block(changed, below)

            def wanted() -> Iterator[Changed]:
                for each in opened.changes():
                    look()
                    if each.index < blocks:
                        yield each

            return ingest_changes(store, base, wanted(), read, manifests=manifests)

    def export_raw(self, volume_id: VolumeId, region: Region, path: Path) -> None:
        """Write a quiescent volume to `path` as a sparse raw file, whole or not at all.

        Raises VolumeAbsent, Qcow2Error, ChunkLost, ChunkCorrupt, StoreFull.
        """
        overlay = self._home(volume_id) / _OVERLAY
        origin = self.origin(volume_id)
        size_bytes = origin.size_gib * GIB
        base = origin.root or Root.empty(origin.size_gib * BLOCKS_PER_GIB)
        with full_disk_is_told(path.parent):
            descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            try:
                write_disk(self._stores[region], base, descriptor, size_bytes=size_bytes)
                for index, block in changed_blocks(
                    overlay, size_bytes, lambda index: self._block(region, base, index)
                ):
                    os.lseek(descriptor, index * BLOCK_BYTES, os.SEEK_SET)
                    write_all(descriptor, block)
                os.fsync(descriptor)
                Path(draft).replace(path)
            except BaseException:
                Path(draft).unlink(missing_ok=True)
                raise
            finally:
                os.close(descriptor)
            sync_directory(path.parent)

    def _home(self, volume_id: VolumeId) -> Path:
        if not is_id("vol", volume_id):
            raise ValueError(f"not a volume id: {volume_id!r}")
        return self._directory / volume_id

    def _base(self, region: Region, root: Root | None) -> Path | None:
        below = _content(root)
        return None if below is None else self._cache.ensure(self._stores[region], below)

    def _block(self, region: Region, root: Root, index: int) -> bytes:
        """A block of `root` as it is stored, verified; zeros beyond its end."""
        if index >= root.blocks:
            return _ZERO
        digest = self._manifests[region].lookup(root, index)
        return _ZERO if digest == HOLE else self._stores[region].get(digest)


def _content(root: Root | None) -> Root | None:
    """The disk, unless it is all zeros: then there is nothing to lie on."""
    return None if root is None or root.digest == HOLE else root


def _write_origin(path: Path, origin: Origin) -> None:
    root = None if origin.root is None else origin.root.to_text()
    text = json.dumps({"root": root, "size_gib": origin.size_gib})
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
