"""Disks of a store as one stream of bytes, and back: the body of a stored image.

An object is a head, then records. Head: 8 bytes of magic, u32 length of the text, BLAKE3 of the
text, the text. Record: u32 length, then a body as `codec` frames it. There is nothing else and
nothing after: which page or chunk a record is, follows from the roots in the text. First the pages,
disk by disk and level by level from the top, then the chunks in the order in which the lowest pages
name them, each once. So every record is verified against a digest that came before it, and a
stream that is cut, longer, or of other bytes is refused. Numbers are little-endian.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from blake3 import blake3

from openami.blockstore import codec
from openami.blockstore.manifest import Entries, entries_of, page_of
from openami.blockstore.parallel import Progress, Tally, no_progress
from openami.blockstore.store import ChunkCorrupt, ChunkStore, Kind, Writer
from openami.blockstore.transfer import COMMIT_EVERY
from openami.domain.block import BLOCK_BYTES, HOLE, Digest
from openami.domain.manifest import FANOUT, Root

MAGIC: Final = b"oamiAMI1"
TEXT_BYTES_MAX: Final = 16 << 20
_HEAD: Final = struct.Struct("<8sI32s")
HEAD_BYTES: Final = _HEAD.size
_LENGTH: Final = struct.Struct("<I")


class NotAnArchive(Exception):
    """The bytes are no archive, or not a whole one; the message says where it fails."""


class Source:
    """Bytes in order, out of pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held: bytes = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises NotAnArchive if there are fewer."""
        parts: list[bytes] = []
        while count > 0:
            if self._at == len(self._held):
                self._held, self._at = self._next(), 0
            part = self._held[self._at : self._at + count]
            self._at += len(part)
            count -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _next(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise NotAnArchive("it ends too early")

    def require_end(self) -> None:
        """Raises NotAnArchive if bytes are left."""
        if self._at < len(self._held) or any(self._pieces):
            raise NotAnArchive("it has bytes after its end")


def head(text: bytes) -> bytes:
    """The head of an archive. Raises ValueError for a text that no reader would take."""
    if len(text) > TEXT_BYTES_MAX:
        raise ValueError(f"a head of {len(text)} bytes; at most {TEXT_BYTES_MAX} are read")
    return _HEAD.pack(MAGIC, len(text), blake3(text).digest()) + text


def text_of(source: Source) -> bytes:
    """The text of the head, verified. Raises NotAnArchive."""
    magic, length, digest = _HEAD.unpack(source.take(HEAD_BYTES))
    if magic != MAGIC:
        raise NotAnArchive("it does not begin like one")
    if length > TEXT_BYTES_MAX:
        raise NotAnArchive(f"its head has {length} bytes; at most {TEXT_BYTES_MAX} are read")
    text = source.take(length)
    if blake3(text).digest() != digest:
        raise NotAnArchive("its head is damaged")
    return text


def records(
    store: ChunkStore, roots: Sequence[Root], progress: Progress = no_progress
) -> Iterator[bytes]:
    """The disks, each object verified on its way out. Raises ChunkLost."""
    pages: dict[Digest, bytes] = {}

    def read(digest: Digest) -> bytes:
        pages[digest] = store.framed(digest, Kind.PAGE)
        return pages[digest]

    walk = _Walk(read)
    chunks = [each for root in roots for each in walk.down(root)]
    for body in pages.values():
        yield _LENGTH.pack(len(body)) + body
    pages.clear()
    wanted = dict.fromkeys(chunks)
    tally = Tally(progress, len(wanted) * BLOCK_BYTES)
    for digest in wanted:
        body = store.framed(digest)
        yield _LENGTH.pack(len(body)) + body
        tally.add(BLOCK_BYTES)


def restore(
    source: Source,
    store: ChunkStore,
    roots: Sequence[Root],
    *,
    progress: Progress = no_progress,
    commit_every: int = COMMIT_EVERY,
) -> None:
    """Make `store` hold the disks of the archive, durably. The caller has its lease.

    Raises NotAnArchive, before anything names what it brought; StoreFull; what `source` raises.
    """
    pages: dict[Digest, bytes] = {}

    def read(digest: Digest) -> bytes:
        pages[digest] = _record(source, Kind.PAGE)
        return pages[digest]

    walk = _Walk(read)
    try:
        wanted = dict.fromkeys(each for root in roots for each in walk.down(root))
        tally = Tally(progress, len(wanted) * BLOCK_BYTES)
        with store.writer() as writer:
            for number, digest in enumerate(wanted, 1):
                _take_chunk(source, writer, digest)
                tally.add(BLOCK_BYTES)
                if number % commit_every == 0:
                    writer.commit()
            source.require_end()
            for digest in reversed(pages):  # a page that is there names only what is there
                if writer.missing((digest,), Kind.PAGE):
                    writer.put(digest, pages[digest], Kind.PAGE)
    except ChunkCorrupt as corrupt:
        raise NotAnArchive(str(corrupt)) from corrupt


def _take_chunk(source: Source, writer: Writer, digest: Digest) -> None:
    body = _record(source, Kind.CHUNK)
    if len(codec.decode(digest, body)) != BLOCK_BYTES:
        raise NotAnArchive("it has a block of another size than all blocks have")
    if writer.missing((digest,)):
        writer.put(digest, body)


def _record(source: Source, kind: Kind) -> bytes:
    (length,) = _LENGTH.unpack(source.take(_LENGTH.size))
    if length > codec.body_bytes_max(kind):
        raise NotAnArchive(f"it has a record of {length} bytes, which none of ours has")
    return source.take(length)


class _Walk:
    """Down the trees of disks; a page is asked of `read` once, whatever names it again."""

    def __init__(self, read: Callable[[Digest], bytes]) -> None:
        self._read = read
        self._pages: dict[Digest, Entries] = {}

    def down(self, root: Root) -> Iterator[Digest]:
        """The chunks of the disk, in order, once each. Raises ChunkCorrupt, NotAnArchive.

        No page is empty, so the last entries lead to the last block that is not a hole. They are
        looked at level by level: no level is read that has more pages than a disk of so many
        blocks can have there.
        """
        if root.digest == HOLE:
            return iter(())
        level, last, first_block = {root.digest: None}, root.digest, 0
        for below in reversed(range(root.depth)):
            pages = [self._page(digest) for digest in level]
            page = self._page(last)
            slot = int(np.flatnonzero(page.any(axis=1))[-1])
            first_block += slot * FANOUT**below
            if first_block >= root.blocks:
                raise NotAnArchive("it has blocks beyond the end of a disk")
            last = Digest(page[slot].tobytes())
            level = dict.fromkeys(entry for page in pages for entry in entries_of(page))
        return iter(level)

    def _page(self, digest: Digest) -> Entries:
        if digest not in self._pages:
            text = codec.decode(digest, self._read(digest), Kind.PAGE)
            page = page_of(digest, text)
            if not page.any():
                raise NotAnArchive("it has a page that names nothing")
            self._pages[digest] = page
        return self._pages[digest]
