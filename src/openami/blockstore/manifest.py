"""A disk as an immutable Merkle tree: block index → digest (DESIGN D10).

A page has 256 entries of 32 bytes and is written as a bitmap of its non-null entries followed by
those entries. It is stored under the BLAKE3 of that text, as chunks are. A leaf's entries name
chunks, the others' name pages; a null entry is 256, 65,536, … blocks of hole. Two disks with the
same content have the same tree, so equal digests end every comparison.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from openami.blockstore import codec
from openami.blockstore.store import ChunkCorrupt, ChunkLost, ChunkStore, Kind, Writer
from openami.domain.block import HOLE, Digest
from openami.domain.manifest import FANOUT, Root, depth_of

Entries = npt.NDArray[np.uint8]  # (256, 32) for a page, (n, 32) for a list of digests

_BITMAP_BYTES: Final = FANOUT // 8
_PAGES_CACHED: Final = 4096  # 8 KiB each
_NULL_PAGE: Final[Entries] = np.zeros((FANOUT, 32), np.uint8)
_NULL_PAGE.flags.writeable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A block in which two disks differ. HOLE where a disk has none or ends before it."""

    index: int
    before: Digest
    after: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Changes of one page: where in the disk its entries go, sorted, and what they become."""

    indices: npt.NDArray[np.int64]
    digests: Entries


class Manifests:
    """The trees of one store, with the pages last used kept in memory. Safe between threads."""

    def __init__(self, store: ChunkStore, pages_cached: int = _PAGES_CACHED) -> None:
        self._store = store
        self._cached: OrderedDict[Digest, Entries] = OrderedDict()
        self._pages_cached = pages_cached
        self._lock = threading.Lock()

    def build(self, writer: Writer, digests: Entries) -> Root:
        """The tree of a disk whose block i has the digest in row i. Its chunks are the caller's."""
        indices = np.flatnonzero(digests.any(axis=1))
        return self._updated(
            writer, Root.empty(len(digests)), _Part(indices=indices, digests=digests[indices])
        )

    def update(self, writer: Writer, root: Root, changes: Mapping[int, Digest]) -> Root:
        """The tree of `root` with some blocks replaced; HOLE removes one.

        Costs a page per level and changed block at most. Raises IndexError for a block that
        the disk does not have, ChunkLost if a page of `root` is gone.
        """
        indices = np.fromiter(changes.keys(), np.int64, len(changes))
        digests = np.frombuffer(b"".join(changes.values()), np.uint8).reshape(-1, 32)
        order = np.argsort(indices)
        return self._updated(writer, root, _Part(indices=indices[order], digests=digests[order]))

    def resized(self, writer: Writer, root: Root, blocks: int) -> Root:
        """The same disk with holes at its end: a page per level that the tree grows, at most.

        Raises ValueError if it would become smaller.
        """
        if blocks < root.blocks:
            raise ValueError(f"a disk of {root.blocks} blocks cannot shrink to {blocks}")
        digest = root.digest
        for _ in range(depth_of(blocks) - root.depth):
            digest = self._written(writer, HOLE, _above(digest))
        return Root(digest=digest, blocks=blocks)

    def lookup(self, root: Root, index: int) -> Digest:
        """What block `index` holds. Raises IndexError, ChunkLost."""
        return self._found(root, index)[0]

    def run(self, root: Root, index: int) -> tuple[Digest, int]:
        """What block `index` holds, and how far blocks go on to be holes, or not to be, as it is.

        The end is that of the run within one page: the next run may be of the same kind. Costs no
        more than `lookup`. Raises IndexError, ChunkLost.
        """
        digest, page, level = self._found(root, index)
        if page is None:  # a disk without any data
            return digest, root.blocks
        entry = index // FANOUT**level
        slot = entry % FANOUT
        others = np.flatnonzero(page[slot:].any(axis=1) == (digest == HOLE))
        length = int(others[0]) if len(others) else FANOUT - slot
        return digest, min((entry + length) * FANOUT**level, root.blocks)

    def _found(self, root: Root, index: int) -> tuple[Digest, Entries | None, int]:
        """The chunk or the hole, the page that says so, and that page's level: 0 is a leaf."""
        if not 0 <= index < root.blocks:
            raise IndexError(f"block {index} of a disk of {root.blocks}")
        digest, page, level = root.digest, None, root.depth
        while level > 0 and digest != HOLE:
            level -= 1
            page = self._page(digest)
            digest = _entry(page, index // FANOUT**level % FANOUT)
        return digest, page, level

    def iterate(self, root: Root, start: int = 0) -> Iterator[tuple[int, Digest]]:
        """Every block from `start` on that is not a hole, in order.

        Pages are read as they are needed, those before `start` not at all.
        """
        return self._walk(root.digest, root.depth - 1, 0, start)

    def diff(self, before: Root, after: Root, start: int = 0) -> Iterator[Change]:
        """The blocks from `start` on in which two disks differ, in order.

        Reads only pages that differ.
        """
        depth = max(before.depth, after.depth)
        raised: dict[Digest, Entries] = {}
        tops = [_raised(root, depth, raised) for root in (before, after)]
        return self._differing((tops[0], tops[1]), depth - 1, 0, start, raised)

    def leaves(
        self, root: Root, seen: set[Digest], on_lost: Callable[[ChunkLost], None]
    ) -> Iterator[list[Digest]]:
        """The chunks of every leaf below `root` whose page is not in `seen`; adds all pages to it.

        A page that cannot be read is told to `on_lost` and passed over, if that returns.
        """
        below = [(root.digest, root.depth - 1)]
        while below:
            digest, level = below.pop()
            if digest == HOLE or digest in seen:
                continue
            seen.add(digest)
            try:
                page = self._page(digest)
            except ChunkLost as lost:
                on_lost(lost)
                continue
            entries = entries_of(page)
            if level == 0:
                yield entries
            else:
                below += [(entry, level - 1) for entry in entries]

    def named(self, root: Root) -> tuple[list[Digest], list[Digest]]:
        """Everything the disk relies on: its pages, each after all those below it, and its chunks.

        Raises ChunkLost if a page is gone.
        """
        pages: list[Digest] = []
        level = {} if root.digest == HOLE else {root.digest: None}
        for _ in range(root.depth):
            pages += level
            level = dict.fromkeys(entry for page in level for entry in entries_of(self._page(page)))
        return pages[::-1], list(level)

    def _walk(
        self, digest: Digest, level: int, first: int, start: int
    ) -> Iterator[tuple[int, Digest]]:
        if digest == HOLE:
            return
        page = self._page(digest)
        for i in _slots(page, level, first, start):
            index = first + i * FANOUT**level
            if level == 0:
                yield index, _entry(page, i)
            else:
                yield from self._walk(_entry(page, i), level - 1, index, start)

    def _differing(
        self,
        tops: tuple[Digest, Digest],
        level: int,
        first: int,
        start: int,
        raised: dict[Digest, Entries],
    ) -> Iterator[Change]:
        if tops[0] == tops[1]:
            return
        old, new = (self._page_or_null(digest, raised) for digest in tops)
        for i in _slots(old.view(np.uint64) != new.view(np.uint64), level, first, start):
            index = first + i * FANOUT**level
            was, becomes = _entry(old, i), _entry(new, i)
            if level == 0:
                yield Change(index=index, before=was, after=becomes)
            else:
                yield from self._differing((was, becomes), level - 1, index, start, raised)

    def _updated(self, writer: Writer, root: Root, part: _Part) -> Root:
        if len(part.indices) == 0:
            return root
        if part.indices[0] < 0 or part.indices[-1] >= root.blocks:
            raise IndexError(f"a changed block is outside of the disk's {root.blocks} blocks")
        digest = self._replaced(writer, root.digest, root.depth - 1, part)
        return Root(digest=digest, blocks=root.blocks)

    def _replaced(self, writer: Writer, digest: Digest, level: int, part: _Part) -> Digest:
        page = self._page_or_null(digest, {}).copy()
        slots = part.indices // FANOUT**level % FANOUT
        if level == 0:
            page[slots] = part.digests
            return self._written(writer, digest, page)
        starts = np.flatnonzero(np.diff(slots, prepend=-1)).tolist()
        for start, end in zip(starts, [*starts[1:], len(slots)], strict=True):
            below = _Part(indices=part.indices[start:end], digests=part.digests[start:end])
            slot = int(slots[start])
            child = self._replaced(writer, _entry(page, slot), level - 1, below)
            page[slot] = np.frombuffer(child, np.uint8)
        return self._written(writer, digest, page)

    def _written(self, writer: Writer, replaces: Digest, page: Entries) -> Digest:
        full = page.any(axis=1)
        if not full.any():
            return HOLE
        text = np.packbits(full).tobytes() + page[full].tobytes()
        digest = codec.digest_of(text)
        if digest != replaces and writer.missing((digest,), Kind.PAGE):
            writer.put(digest, codec.encode(text, Kind.PAGE), Kind.PAGE)
        return digest

    def _page_or_null(self, digest: Digest, beside: Mapping[Digest, Entries]) -> Entries:
        if digest == HOLE:
            return _NULL_PAGE
        page = beside.get(digest)
        return self._page(digest) if page is None else page

    def _page(self, digest: Digest) -> Entries:
        with self._lock:
            page = self._cached.get(digest)
            if page is not None:
                self._cached.move_to_end(digest)
                return page
        page = page_of(digest, self._store.get(digest, Kind.PAGE))
        with self._lock:
            self._cached[digest] = page
            if len(self._cached) > self._pages_cached:
                self._cached.popitem(last=False)
        return page


def digests_array(digests: Iterable[Digest]) -> Entries:
    """Digests as the rows of an array, for `Manifests.build`."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def page_of(digest: Digest, text: bytes) -> Entries:
    """The entries that a page's text tells. Raises ChunkCorrupt for one that is none."""
    bitmap = np.unpackbits(np.frombuffer(text[:_BITMAP_BYTES], np.uint8)).astype(np.bool_)
    if len(bitmap) != FANOUT or len(text) != _BITMAP_BYTES + 32 * int(bitmap.sum()):
        raise ChunkCorrupt(digest, Kind.PAGE, "is not a page of a manifest")
    page = np.zeros((FANOUT, 32), np.uint8)
    page[bitmap] = np.frombuffer(text, np.uint8, offset=_BITMAP_BYTES).reshape(-1, 32)
    page.flags.writeable = False
    return page


def _slots(rows: npt.NDArray[Any], level: int, first: int, start: int) -> list[int]:
    """The rows with something in them, of a page of disk from block `first` on, from `start` on."""
    passed = max(0, start - first) // FANOUT**level
    return [passed + i for i in np.flatnonzero(rows[passed:].any(axis=1)).tolist()]


def _entry(page: Entries, slot: int) -> Digest:
    return Digest(page[slot].tobytes())


def entries_of(page: Entries) -> list[Digest]:
    """What the page names, in order."""
    return [_entry(page, i) for i in np.flatnonzero(page.any(axis=1)).tolist()]


def _above(digest: Digest) -> Entries:
    """The page whose first entry is `digest` and which has no other."""
    page = _NULL_PAGE.copy()
    page[0] = np.frombuffer(digest, np.uint8)
    return page


def _raised(root: Root, depth: int, raised: dict[Digest, Entries]) -> Digest:
    """The digest that `root` has as a tree of `depth`; its new pages go into `raised`."""
    digest = root.digest
    for _ in range(depth - root.depth):
        if digest == HOLE:
            break
        page = _above(digest)
        digest = codec.digest_of(np.packbits(page.any(axis=1)).tobytes() + digest)
        raised[digest] = page
    return digest
