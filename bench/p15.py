"""P15: a copy to another region: bytes moved, and round trips when nothing is missing."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench import disk
from bench.measure import Line, stored_mb
from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore, LocalDirWriter
from openami.blockstore.manifest import Manifests
from openami.blockstore.store import Kind
from openami.blockstore.transfer import transfer
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.manifest import Root

GATE, AMBITION = 1 / 1.05, 1 / 1.01
ROUND_TRIPS_MAX: Final = 3
CHANGED_EVERY: Final = 100


class CountedWriter(LocalDirWriter):
    def __init__(self, store: "CountedStore") -> None:
        super().__init__(store)
        self._counted = store

    def put(self, digest: Digest, framed: bytes, kind: Kind = Kind.CHUNK) -> None:
        self._counted.asked("put")
        super().put(digest, framed, kind)

    def commit(self) -> None:
        self._counted.asked("commit")
        super().commit()


class CountedStore(LocalDirChunkStore):
    """The destination: what it is asked is a round trip when it is far away."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.round_trips = 0

    def asked(self, _what: str) -> None:
        self.round_trips += 1

    def has(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bool:
        self.asked("has")
        return super().has(digest, kind)

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        self.asked("missing")
        # One question about many; that a directory answers it name by name crosses no wire.
        return {each for each in digests if not Path(self.path(each, kind)).exists()}

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        self.asked("get")
        return super().get(digest, kind)

    def writer(self) -> CountedWriter:
        return CountedWriter(self)


def bench(scratch: Path, _count: int) -> list[Line]:
    """Counted, not timed: one round tells it."""
    part = scratch / "p15"
    part.mkdir(parents=True)
    source = LocalDirChunkStore(part / "east")
    target = CountedStore(part / "west")
    original = disk.realistic_disk(scratch)
    first = ingest_file(source, original)
    lines = [_copied(source, target, first, "all of it")]
    second = ingest_file(source, _upgraded(original, part / "upgraded.raw"))
    lines.append(_copied(source, target, second, "the same, 1 % upgraded"))
    target.round_trips = 0
    transfer(source, target, second)
    return [*lines, _unneeded(target.round_trips)]


def _copied(source: LocalDirChunkStore, target: CountedStore, root: Root, what: str) -> Line:
    """Beside what a directory listing says: the stored sizes of the chunks that were not there."""
    chunks = {digest for _, digest in Manifests(source).iterate(root)}
    missing = chunks - set(target.digests())
    wanted_mb = sum(source.stored_bytes(digest) for digest in missing) / 1e6
    before_mb = stored_mb(target.directory)
    transfer(source, target, root)
    moved_mb = stored_mb(target.directory) - before_mb
    return Line(
        id="P15",
        what=f"bytes moved: {what}",
        ours=f"{moved_mb:.3f} MB",
        peer_name="missing chunks, compressed",
        peer=f"{wanted_mb:.3f} MB",
        ratio=wanted_mb / moved_mb,
        worst=wanted_mb / moved_mb,
        best=wanted_mb / moved_mb,
        gate=GATE,
        ambition=AMBITION,
        note=NOTE,
    )


def _unneeded(round_trips: int) -> Line:
    return Line(
        id="P15",
        what="round trips when nothing is missing",
        ours=str(round_trips),
        peer_name="the limit",
        peer=str(ROUND_TRIPS_MAX),
        ratio=ROUND_TRIPS_MAX / round_trips,
        worst=ROUND_TRIPS_MAX / round_trips,
        best=ROUND_TRIPS_MAX / round_trips,
        gate=1,
        ambition=1,
        note=NOTE,
    )


def _upgraded(original: Path, path: Path) -> Path:
    """The disk with new text at the start of every hundredth block."""
    shutil.copyfile(original, path)
    with path.open("r+b") as file:
        for index in range(0, path.stat().st_size // BLOCK_BYTES, CHANGED_EVERY):
            file.seek(index * BLOCK_BYTES)
            file.write(f"upgrade of block {index}\n".encode() * 1000)
    return path


NOTE = "counted at the destination's store, which is what CopyImage's workflow writes to"
