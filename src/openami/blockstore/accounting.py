"""Whose bytes are they? Exact, manifest pages and headers and all, as they are in the store."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from openami.blockstore.manifest import Manifests
from openami.blockstore.store import ChunkStore, Kind
from openami.domain.block import Digest
from openami.domain.manifest import Root

Named = tuple[Kind, Digest]
_NOTHING: Final[Mapping[str, Iterable[Digest]]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a holder relies on: what the store would get back without it, and what others need."""

    own_bytes: int = 0
    shared_bytes: int = 0


def shares(
    store: ChunkStore,
    holders: Mapping[str, Iterable[Root]],
    more_chunks: Mapping[str, Iterable[Digest]] = _NOTHING,
) -> Mapping[str, Share]:
    """Of every holder of disks, each told apart from all the others.

    `more_chunks` are a holder's beside those of its disks. Raises ChunkLost if a disk is not whole.
    """
    named = {
        holder: _named(store, roots, more_chunks.get(holder, ()))
        for holder, roots in holders.items()
    }
    users: dict[Named, int] = {}
    for each in named.values():
        for one in each:
            users[one] = users.get(one, 0) + 1
    return {
        holder: Share(
            own_bytes=_stored(store, (one for one in each if users[one] == 1)),
            shared_bytes=_stored(store, (one for one in each if users[one] > 1)),
        )
        for holder, each in named.items()
    }


def freed_bytes(
    store: ChunkStore,
    going: Iterable[Root],
    staying: Iterable[Root],
    more_chunks: Iterable[Digest] = (),
) -> int:
    """What the store gets back when some disks go, and others and some chunks stay.

    Raises ChunkLost.
    """
    return _stored(store, _named(store, going) - _named(store, staying, more_chunks))


def _stored(store: ChunkStore, named: Iterable[Named]) -> int:
    return sum(store.stored_bytes(digest, kind) for kind, digest in named)


def _named(
    store: ChunkStore, roots: Iterable[Root], more_chunks: Iterable[Digest] = ()
) -> set[Named]:
    manifests = Manifests(store)
    found: set[Named] = {(Kind.CHUNK, chunk) for chunk in more_chunks}
    for root in set(roots):
        pages, chunks = manifests.named(root)
        found.update((Kind.PAGE, page) for page in pages)
        found.update((Kind.CHUNK, chunk) for chunk in chunks)
    return found
