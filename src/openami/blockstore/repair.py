"""Lost objects come back from where their bytes still are: content has no home but its name."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from openami.blockstore.ingest import ingest_file
from openami.blockstore.store import ChunkLost, ChunkStore, Writer
from openami.blockstore.verify import Named, needs
from openami.domain.manifest import Root


def from_stores(
    store: ChunkStore, lost: Iterable[Named], others: Mapping[str, ChunkStore]
) -> Mapping[Named, str]:
    """Bring back what any of `others` has, verified; each that is back → whose copy it was.

    Raises StoreFull.
    """
    found: dict[Named, str] = {}
    with store.writer() as writer:
        for kind, digest in lost:
            for name, other in others.items():
                if _brought(writer, other, (kind, digest)):
                    found[kind, digest] = name
                    break
    return found


def _brought(writer: Writer, other: ChunkStore, named: Named) -> bool:
    kind, digest = named
    try:
        framed = other.framed(digest, kind)
    except ChunkLost:
        return False
    if writer.missing([digest], kind):
        writer.put(digest, framed, kind)
    return True


def from_bases(
    store: ChunkStore, lost: Iterable[Named], bases: Mapping[Root, Path]
) -> Mapping[Named, str]:
    """The same out of whole disks on the host, page for page and chunk for chunk. Raises StoreFull.

    A base that is not what its name says brings objects that nobody needs, and nothing else.
    """
    left, found = set(lost), dict[Named, str]()
    for root, base in bases.items():
        if left & needs(store, [root]):
            ingest_file(store, base)
            back = {(kind, digest) for kind, digest in left if store.has(digest, kind)}
            found.update(dict.fromkeys(back, str(base)))
            left -= back
    return found
