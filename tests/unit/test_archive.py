"""Disks as one stream of bytes, and what is refused of a stream that is not one of ours."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from openami.blockstore import archive, codec
from openami.blockstore.archive import NotAnArchive, Source
from openami.blockstore.ingest import ingest_file
from openami.blockstore.manifest import Manifests, digests_array
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import ChunkLost, Kind
from openami.domain.block import BLOCK_BYTES, HOLE, Digest
from openami.domain.manifest import Root
from support.blocks import a_disk
from support.disk_contents import blocks_of

FIRST, SECOND = {0: "a", 5: "b", 300: "c", 2047: "a"}, {0: "a", 7: "d"}


@pytest.fixture
def store(tmp_path: Path) -> MemoryChunkStore:
    return MemoryChunkStore()


@pytest.fixture
def roots(store: MemoryChunkStore, tmp_path: Path) -> list[Root]:
    return [stored(store, tmp_path, FIRST), stored(store, tmp_path, SECOND), Root.empty(4)]


def stored(store: MemoryChunkStore, tmp_path: Path, content: dict[int, str]) -> Root:
    blocks = {index: sign.encode() * BLOCK_BYTES for index, sign in content.items()}
    return ingest_file(store, a_disk(tmp_path / "disk", blocks, 1 << 30))


def written(store: MemoryChunkStore, roots: list[Root], text: bytes = b"{}") -> bytes:
    return archive.head(text) + b"".join(archive.records(store, roots))


def read(data: bytes, roots: list[Root]) -> MemoryChunkStore:
    target = MemoryChunkStore()
    source = Source([data[i : i + 1000] for i in range(0, len(data), 1000)])
    archive.text_of(source)
    archive.restore(source, target, roots, commit_every=2)
    return target


def nothing_names_anything(target: MemoryChunkStore) -> bool:
    return not list(target.digests(Kind.PAGE))


def test_what_was_written_is_read_into_an_empty_store(
    store: MemoryChunkStore, roots: list[Root]
) -> None:
    target = read(written(store, roots), roots)
    assert [blocks_of(target, root) for root in roots] == [FIRST, SECOND, {}]


def test_a_chunk_that_several_disks_have_is_written_once(
    store: MemoryChunkStore, roots: list[Root]
) -> None:
    data = written(store, roots)
    assert data.count(codec.encode(b"a" * BLOCK_BYTES)) == 1


def test_both_sides_tell_their_progress_to_the_end(
    store: MemoryChunkStore, roots: list[Root]
) -> None:
    told: list[tuple[int, int]] = []
    out = list(archive.records(store, roots, lambda done, total: told.append((done, total))))
    total = 4 * BLOCK_BYTES
    assert told == [(n * BLOCK_BYTES, total) for n in range(1, 5)]
    told.clear()
    target = MemoryChunkStore()
    archive.restore(
        Source(out), target, roots, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (total, total)


@pytest.mark.parametrize("kept", [0, 5, 50, 200, -1])
def test_a_stream_that_is_cut_is_refused(
    store: MemoryChunkStore, roots: list[Root], kept: int
) -> None:
    with pytest.raises(NotAnArchive, match="too early"):
        read(written(store, roots)[:kept], roots)


def test_bytes_after_the_end_are_refused(store: MemoryChunkStore, roots: list[Root]) -> None:
    with pytest.raises(NotAnArchive, match="after its end"):
        read(written(store, roots) + b"x", roots)


def test_a_changed_byte_anywhere_is_refused_and_nothing_is_named(
    store: MemoryChunkStore, roots: list[Root]
) -> None:
    data = written(store, roots)
    for at in [*range(0, 400, 7), *range(400, len(data), 97), len(data) - 1]:
        spoiled = bytearray(data)
        spoiled[at] ^= 1
        target = MemoryChunkStore()
        source = Source([bytes(spoiled)])
        with pytest.raises(NotAnArchive):
            archive.text_of(source)
            archive.restore(source, target, roots)
        assert nothing_names_anything(target), at


def test_a_head_of_any_length_is_not_believed() -> None:
    with pytest.raises(NotAnArchive, match="at most"):
        archive.text_of(Source([b"oamiAMI1" + b"\xff" * 36 + bytes(100)]))


def test_a_lost_chunk_is_told_before_an_archive_is_whole(
    store: MemoryChunkStore, roots: list[Root]
) -> None:
    store.delete(codec.digest_of(b"d" * BLOCK_BYTES))
    with pytest.raises(ChunkLost):
        written(store, roots)


def forged(make: Callable[[MemoryChunkStore], Root]) -> tuple[bytes, list[Root]]:
    """An archive of a tree that nobody's disk has, every digest of it right."""
    store = MemoryChunkStore()
    root = make(store)

    def record(kind: Kind, digest: Digest) -> bytes:
        body = store.framed(digest, kind)
        return len(body).to_bytes(4, "little") + body

    return b"".join(record(*each) for each in reversed(list(objects(store)))), [root]


def objects(store: MemoryChunkStore) -> Iterator[tuple[Kind, Digest]]:
    yield from (
        (kind, digest) for kind in (Kind.CHUNK, Kind.PAGE) for digest in store.digests(kind)
    )


def page(store: MemoryChunkStore, entries: dict[int, Digest]) -> Digest:
    bits = np.zeros(256, np.bool_)
    bits[list(entries)] = True
    text = np.packbits(bits).tobytes() + b"".join(entries[i] for i in sorted(entries))
    digest = codec.digest_of(text)
    with store.writer() as writer:
        writer.put(digest, codec.encode(text, Kind.PAGE), Kind.PAGE)
    return digest


def chunk(store: MemoryChunkStore, plain: bytes) -> Digest:
    digest = codec.digest_of(plain)
    with store.writer() as writer:
        writer.put(digest, codec.encode(plain))
    return digest


BLOCK = b"x" * BLOCK_BYTES


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda s: Root(digest=page(s, {3: chunk(s, BLOCK)}), blocks=3), "beyond the end"),
        (lambda s: Root(digest=page(s, {0: chunk(s, b"short")}), blocks=1), "another size"),
        (lambda s: Root(digest=page(s, {}), blocks=1), "names nothing"),
        (lambda s: Root(digest=page(s, {0: HOLE}), blocks=1), "names nothing"),
        (lambda s: Root(digest=page(s, {0: page(s, {})}), blocks=300), "names nothing"),
        (
            lambda s: Root(digest=page(s, {255: page(s, {255: chunk(s, BLOCK)})}), blocks=300),
            "beyond the end",
        ),
    ],
)
def test_a_tree_that_no_disk_has_is_refused(
    make: Callable[[MemoryChunkStore], Root], why: str
) -> None:
    data, roots = forged(make)
    target = MemoryChunkStore()
    with pytest.raises(NotAnArchive, match=why):
        archive.restore(Source([data]), target, roots)
    assert nothing_names_anything(target)


def test_a_small_archive_of_an_enormous_disk_is_read_without_enormous_work() -> None:
    """Four pages that each name the next 256 times stand for 2 PiB: more than a root may have."""
    store = MemoryChunkStore()
    digest = chunk(store, BLOCK)
    for _ in range(4):
        digest = page(store, dict.fromkeys(range(256), digest))
    root = Root(digest=digest, blocks=256**4)
    data = b"".join(archive.records(store, [root]))
    target = MemoryChunkStore()
    archive.restore(Source([data]), target, [root])
    assert target.has(codec.digest_of(BLOCK))


def test_no_level_is_read_of_a_tree_that_reaches_beyond_its_disk() -> None:
    """256 pages where the disk has two: the stream ends where the third level would begin."""
    store = MemoryChunkStore()
    leaves = [page(store, {n: codec.digest_of(b"no such block")}) for n in range(256)]
    middle = page(store, dict(enumerate(leaves)))
    blocks = 256**2 + 1
    top = page(store, {0: middle, 2: middle})
    bodies = [store.framed(digest, Kind.PAGE) for digest in (top, middle, *leaves)]
    pieces = [len(body).to_bytes(4, "little") + body for body in bodies]
    taken: list[bytes] = []
    source = Source(taken.append(piece) or piece for piece in pieces)
    with pytest.raises(NotAnArchive, match="beyond the end"):
        archive.restore(source, MemoryChunkStore(), [Root(digest=top, blocks=blocks)])
    assert len(taken) == 1


def test_a_random_disk_goes_there_and_back(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    blocks = [os.urandom(BLOCK_BYTES) for _ in range(3)]
    digests = [chunk(store, block) for block in blocks]
    with store.writer() as writer:
        root = Manifests(store).build(writer, digests_array([HOLE, *digests, HOLE]))
    target = MemoryChunkStore()
    archive.restore(Source(archive.records(store, [root])), target, [root])
    assert [target.get(digest) for digest in digests] == blocks
