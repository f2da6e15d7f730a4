"""What a server's snapshot holds, read from its store: not by way of what would be restored."""

import sqlite3
from contextlib import closing
from pathlib import Path

from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.manifest import Manifests
from openami.domain.block import BLOCK_BYTES
from openami.domain.manifest import Root
from support.server import Server


def blocks_of(server: Server, snapshot_id: str) -> dict[int, bytes]:
    """From the store, and not by way of what would be restored."""
    catalog = f"file:{server.state_dir}/catalog.sqlite?mode=ro"
    with closing(sqlite3.connect(catalog, uri=True)) as rows:
        (text,) = rows.execute("SELECT root FROM snapshot WHERE id = ?", [snapshot_id]).fetchone()
    store = LocalDirChunkStore(server.state_dir / "chunks")
    found = Manifests(store).iterate(Root.from_text(text))
    return {index: bytes(store.get(digest)) for index, digest in found}


def written_out(server: Server, snapshot_id: str, disk: Path) -> Path:
    """The snapshot as a sparse raw disk, which ends where its last block does."""
    with disk.open("wb") as file:
        for index, block in blocks_of(server, snapshot_id).items():
            file.seek(index * BLOCK_BYTES)
            file.write(block)
    return disk
