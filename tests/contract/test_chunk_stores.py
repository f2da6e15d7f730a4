"""What every ChunkStore promises. A new one is a new subclass at the end, and nothing else."""

import struct
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
import zstandard

from openami.blockstore import codec
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.s3 import bucket
from openami.blockstore.s3.store import S3ChunkStore
from openami.blockstore.store import ChunkCorrupt, ChunkLost, ChunkStore, Kind
from openami.domain.block import BLOCK_BYTES
from openami.objects.store import Endpoint
from support.faulty_s3 import faulty_s3
from support.objects import place_in

CHUNK = b"some bytes of a disk" * 1000
DIGEST = codec.digest_of(CHUNK)
FRAMED = codec.encode(CHUNK)
PAGE = bytes(32) + b"entries"
PAGE_DIGEST = codec.digest_of(PAGE)


def put(store: ChunkStore, framed: bytes = FRAMED) -> None:
    with store.writer() as writer:
        writer.put(DIGEST, framed)


def framed_by_hand(codec_number: int, length: int, payload: bytes, version: int = 1) -> bytes:
    return struct.pack("<4sBBHQ", b"oami", version, codec_number, 0, length) + payload


HOSTILE = {
    "nothing": b"",
    "half a header": FRAMED[:9],
    "a header and no body": FRAMED[:16],
    "a body cut short": FRAMED[:-1],
    "a body with something after it": FRAMED + b"\0",
    "another magic": b"evil" + FRAMED[4:],
    "a version to come": FRAMED[:4] + b"\2" + FRAMED[5:],
    "an unknown codec": FRAMED[:5] + b"\7" + FRAMED[6:],
    "an unknown flag": FRAMED[:6] + b"\1" + FRAMED[7:],
    "other bytes, well framed": codec.encode(b"other bytes of a disk" * 1000),
    "a length that is not the body's": framed_by_hand(0, len(CHUNK) - 1, CHUNK),
    "a frame longer than it says": framed_by_hand(1, 10, zstandard.compress(CHUNK)),
    "more than a chunk, raw": framed_by_hand(0, BLOCK_BYTES + 1, bytes(BLOCK_BYTES + 1)),
    "a bomb": framed_by_hand(1, BLOCK_BYTES, zstandard.compress(bytes(1 << 30))),
    "a bomb that is open about it": framed_by_hand(1, 1 << 30, zstandard.compress(bytes(1 << 30))),
    "a frame that does not say its length": framed_by_hand(
        1, len(CHUNK), zstandard.ZstdCompressor(write_content_size=False).compress(CHUNK)
    ),
    "two frames": framed_by_hand(1, len(CHUNK), FRAMED[16:] * 2),
}


class ChunkStoreContract:
    @pytest.fixture
    def store(self, tmp_path: Path) -> ChunkStore:
        raise NotImplementedError

    def test_what_was_put_is_what_is_got(self, store: ChunkStore) -> None:
        put(store)
        assert store.get(DIGEST) == CHUNK
        assert store.has(DIGEST)
        assert list(store.digests()) == [DIGEST]
        assert store.stored_bytes(DIGEST) == len(FRAMED)

    def test_bytes_that_do_not_shrink_are_kept_as_they_are(self, store: ChunkStore) -> None:
        noise = b"".join(codec.digest_of(bytes([i, j])) for i in range(64) for j in range(256))
        digest = codec.digest_of(noise)
        with store.writer() as writer:
            writer.put(digest, codec.encode(noise))
        assert store.get(digest) == noise
        assert store.stored_bytes(digest) == 16 + len(noise)

    def test_a_page_that_is_not_committed_is_not_there(self, store: ChunkStore) -> None:
        with store.writer() as writer:
            writer.put(DIGEST, FRAMED)
            writer.put(PAGE_DIGEST, codec.encode(PAGE, Kind.PAGE), Kind.PAGE)
            assert not store.has(PAGE_DIGEST, Kind.PAGE)
            assert not list(store.digests(Kind.PAGE))
            with pytest.raises(ChunkLost):
                store.get(PAGE_DIGEST, Kind.PAGE)
            writer.commit()
            assert store.get(DIGEST) == CHUNK
            assert store.get(PAGE_DIGEST, Kind.PAGE) == PAGE

    def test_a_writer_that_fails_leaves_no_page(self, store: ChunkStore) -> None:
        with pytest.raises(KeyboardInterrupt), store.writer() as writer:
            writer.put(PAGE_DIGEST, codec.encode(PAGE, Kind.PAGE), Kind.PAGE)
            raise KeyboardInterrupt
        assert not store.has(PAGE_DIGEST, Kind.PAGE)
        assert not list(store.digests(Kind.PAGE))

    def test_what_was_committed_stays_when_the_writer_fails_later(self, store: ChunkStore) -> None:
        with pytest.raises(KeyboardInterrupt), store.writer() as writer:
            writer.put(DIGEST, FRAMED)
            writer.commit()
            raise KeyboardInterrupt
        assert store.get(DIGEST) == CHUNK

    def test_committing_twice_is_committing_once(self, store: ChunkStore) -> None:
        with store.writer() as writer:
            writer.put(DIGEST, FRAMED)
            writer.commit()
            writer.put(DIGEST, FRAMED)
            writer.commit()
            writer.commit()
        assert list(store.digests()) == [DIGEST]

    def test_two_writers_of_the_same_chunk_do_not_disturb_each_other(
        self, store: ChunkStore
    ) -> None:
        with store.writer() as first, store.writer() as second:
            first.put(DIGEST, FRAMED)
            second.put(DIGEST, FRAMED)
            first.commit()
            second.commit()
        assert store.get(DIGEST) == CHUNK
        assert list(store.digests()) == [DIGEST]

    def test_one_writer_takes_the_same_chunk_from_many_threads(self, store: ChunkStore) -> None:
        with store.writer() as writer:
            threads = [
                threading.Thread(target=writer.put, args=(DIGEST, FRAMED)) for _ in range(16)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert store.get(DIGEST) == CHUNK

    def test_pages_and_chunks_do_not_share_names(self, store: ChunkStore) -> None:
        with store.writer() as writer:
            writer.put(PAGE_DIGEST, codec.encode(PAGE, Kind.PAGE), Kind.PAGE)
        assert store.get(PAGE_DIGEST, Kind.PAGE) == PAGE
        assert not store.has(PAGE_DIGEST)
        assert list(store.digests(Kind.PAGE)) == [PAGE_DIGEST]
        assert not list(store.digests())

    def test_a_missing_chunk_is_lost_not_empty(self, store: ChunkStore) -> None:
        with pytest.raises(ChunkLost):
            store.get(DIGEST)
        with pytest.raises(ChunkLost):
            store.stored_bytes(DIGEST)

    @pytest.mark.parametrize("what", HOSTILE)
    def test_a_rotten_or_hostile_chunk_is_never_served(self, store: ChunkStore, what: str) -> None:
        put(store, HOSTILE[what])
        with pytest.raises(ChunkCorrupt):
            store.get(DIGEST)

    def test_a_rotten_chunk_no_longer_counts_as_there_and_can_be_written_again(
        self, store: ChunkStore
    ) -> None:
        put(store, FRAMED[:-1])
        with pytest.raises(ChunkCorrupt):
            store.get(DIGEST)
        assert not store.has(DIGEST)
        put(store)
        assert store.get(DIGEST) == CHUNK

    def test_a_page_may_not_be_as_long_as_a_chunk(self, store: ChunkStore) -> None:
        with store.writer() as writer:
            writer.put(DIGEST, framed_by_hand(0, len(CHUNK), CHUNK), Kind.PAGE)
        with pytest.raises(ChunkCorrupt):
            store.get(DIGEST, Kind.PAGE)

    def test_deleting_and_quarantining_what_is_not_there_is_harmless(
        self, store: ChunkStore
    ) -> None:
        store.delete(DIGEST)
        store.quarantine(DIGEST)
        assert not list(store.digests())

    def test_what_is_framed_is_what_another_store_takes(self, store: ChunkStore) -> None:
        put(store)
        assert store.framed(DIGEST) == FRAMED
        with pytest.raises(ChunkLost):
            store.framed(PAGE_DIGEST)

    @pytest.mark.parametrize("what", HOSTILE)
    def test_a_rotten_chunk_is_not_handed_on(self, store: ChunkStore, what: str) -> None:
        put(store, HOSTILE[what])
        with pytest.raises(ChunkCorrupt):
            store.framed(DIGEST)
        assert not store.has(DIGEST)

    def test_a_writer_knows_what_it_staged_and_what_others_published(
        self, store: ChunkStore
    ) -> None:
        put(store)
        with store.writer() as writer:
            assert writer.missing([DIGEST, PAGE_DIGEST], Kind.PAGE) == {DIGEST, PAGE_DIGEST}
            writer.put(PAGE_DIGEST, codec.encode(PAGE, Kind.PAGE), Kind.PAGE)
            assert writer.missing([DIGEST, PAGE_DIGEST]) == {PAGE_DIGEST}
            assert writer.missing([DIGEST, PAGE_DIGEST], Kind.PAGE) == {DIGEST}
            assert not store.has(PAGE_DIGEST, Kind.PAGE)
            writer.commit()
            assert writer.missing([DIGEST, PAGE_DIGEST], Kind.PAGE) == {DIGEST}

    def test_of_many_it_says_which_are_missing(self, store: ChunkStore) -> None:
        put(store)
        with store.writer() as writer:
            writer.put(PAGE_DIGEST, codec.encode(PAGE, Kind.PAGE), Kind.PAGE)
        assert store.missing([DIGEST, PAGE_DIGEST]) == {PAGE_DIGEST}
        assert store.missing([DIGEST, PAGE_DIGEST], Kind.PAGE) == {DIGEST}
        assert store.missing([]) == set()

    def test_a_deleted_chunk_is_gone(self, store: ChunkStore) -> None:
        put(store)
        store.delete(DIGEST)
        assert not store.has(DIGEST)


class StagingContract(ChunkStoreContract):
    """Of stores that keep chunks, too, to themselves until their writer commits."""

    def test_what_is_not_committed_is_not_there(self, store: ChunkStore) -> None:
        with store.writer() as writer:
            writer.put(DIGEST, FRAMED)
            assert not store.has(DIGEST)
            assert not list(store.digests())
            with pytest.raises(ChunkLost):
                store.get(DIGEST)
            writer.commit()
            assert store.get(DIGEST) == CHUNK

    def test_a_writer_that_fails_leaves_nothing(self, store: ChunkStore) -> None:
        with pytest.raises(KeyboardInterrupt), store.writer() as writer:
            writer.put(DIGEST, FRAMED)
            raise KeyboardInterrupt
        assert not store.has(DIGEST)
        assert not list(store.digests())


class TestMemory(StagingContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ChunkStore:
        return MemoryChunkStore()


class TestLocalDir(StagingContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ChunkStore:
        return LocalDirChunkStore(tmp_path)


class TestS3(ChunkStoreContract):
    """Over an S3 whose listings are many pages long."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Generator[ChunkStore]:
        with faulty_s3() as s3:
            yield S3ChunkStore(bucket.at(s3.place))


class TestSeaweedFS(ChunkStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path, seaweed: Endpoint) -> ChunkStore:
        return S3ChunkStore(bucket.at(place_in(seaweed, "things", tmp_path.name)))
