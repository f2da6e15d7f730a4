"""Which objects of a store do disks rely on? Small enough to ask it of a hundred million.

An object is kept in mind by the first eight bytes of its digest. Two that share them are both
taken for needed: that keeps garbage, and never loses anything.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.blockstore.manifest import Manifests
from openami.blockstore.store import ChunkLost, ChunkStore, Kind
from openami.domain.block import Digest
from openami.domain.manifest import Root

_PREFIX_BYTES: Final = 8

Prefixes = npt.NDArray[np.uint64]
_NONE: Final[Prefixes] = np.empty(0, np.uint64)


class Needed:
    """What `needed` found; asked in large portions."""

    def __init__(self, prefixes: dict[Kind, Prefixes]) -> None:
        self._prefixes = prefixes

    def spare(self, kind: Kind, digests: Sequence[Digest]) -> list[Digest]:
        """Those of `digests` that no disk relies on."""
        prefixes, asked = self._prefixes[kind], _prefixes(digests)
        if len(prefixes) == 0:
            return list(digests)
        places = np.minimum(np.searchsorted(prefixes, asked), len(prefixes) - 1)
        kept = prefixes[places] == asked
        return [
            digest for digest, is_kept in zip(digests, kept.tolist(), strict=True) if not is_kept
        ]


def prefixes_of(parts: Iterable[Sequence[Digest]]) -> Prefixes:
    """Digests as `needed` keeps them in mind."""
    found = [_prefixes(each) for each in parts]
    return np.concatenate(found) if found else _NONE


def needed(store: ChunkStore, roots: Iterable[Root], more_chunks: Prefixes = _NONE) -> Needed:
    """Everything that the disks rely on, and some chunks that no disk has yet.

    Raises ChunkLost if a page cannot be read: what lies below it would be taken for garbage.
    """

    def refuse(lost: ChunkLost) -> None:
        raise lost

    pages: set[Digest] = set()
    chunks: list[Prefixes] = [more_chunks]
    manifests = Manifests(store)
    for root in roots:
        chunks += (_prefixes(each) for each in manifests.leaves(root, pages, refuse))
    return Needed(
        {Kind.CHUNK: _sorted(np.concatenate(chunks)), Kind.PAGE: _sorted(_prefixes(list(pages)))}
    )


def _prefixes(digests: Sequence[Digest]) -> Prefixes:
    text = b"".join(digest[:_PREFIX_BYTES] for digest in digests)
    return np.frombuffer(text, np.uint64)


def _sorted(prefixes: Prefixes) -> Prefixes:
    """Each once. (np.unique takes ten times as long.)"""
    ascending = np.sort(prefixes)
    fresh = np.ones(len(ascending), np.bool_)
    fresh[1:] = ascending[1:] != ascending[:-1]
    return ascending[fresh]
