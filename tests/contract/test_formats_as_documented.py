"""What docs/storage.md says of formats is enough to read a store by."""

import os
from pathlib import Path

from openami.blockstore import codec
from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.domain.block import BLOCK_BYTES
from openami.domain.manifest import Root
from support import documented_reader
from support.blocks import a_block, a_disk

# The first and the last of a leaf, two leaves, a leaf of holes between; one that does not shrink.
NOISE = os.urandom(BLOCK_BYTES)
BLOCKS = {0: NOISE, 255: a_block("255"), 256: a_block("256"), 900: a_block("900")}


def read(tmp_path: Path, root: Root) -> bytes:
    """Its digest: two disks that differ are too long to be told."""
    return codec.digest_of(documented_reader.disk(tmp_path / "chunks", root.to_text()))


def test_a_disk_can_be_read_by_what_the_documents_say(tmp_path: Path) -> None:
    path = a_disk(tmp_path / "disk", BLOCKS, 901 * BLOCK_BYTES)
    os.truncate(path, path.stat().st_size - 512)
    root = ingest_file(LocalDirChunkStore(tmp_path / "chunks"), path)
    assert read(tmp_path, root) == codec.digest_of(path.read_bytes() + bytes(512))
    assert root.depth == 2


def test_a_disk_without_data_and_one_of_a_single_block_are_read_so_too(tmp_path: Path) -> None:
    path = a_disk(tmp_path / "disk", {0: NOISE}, BLOCK_BYTES)
    root = ingest_file(LocalDirChunkStore(tmp_path / "chunks"), path)
    assert read(tmp_path, root) == codec.digest_of(NOISE)
    assert read(tmp_path, Root.empty(3)) == codec.digest_of(bytes(3 * BLOCK_BYTES))
