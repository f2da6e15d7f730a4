"""The identity of a disk's content: the root of its manifest and how many blocks it has."""

import re
from dataclasses import dataclass
from typing import Final

from openami.domain.block import BLOCK_BYTES, HOLE, Digest

FANOUT: Final = 256
"""Entries of a manifest page: a leaf page speaks of 128 MiB of disk."""

_TEXT: Final = re.compile(r"b3:([0-9a-f]{64}):([1-9][0-9]{0,11})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """Equal roots are equal disks. A disk without any data has the digest HOLE."""

    digest: Digest
    blocks: int

    def __post_init__(self) -> None:
        if self.blocks < 1 or len(self.digest) != 32:
            raise ValueError(f"no disk has the root {self.digest.hex()}:{self.blocks}")

    @property
    def depth(self) -> int:
        """Levels of pages: 1 up to 128 MiB, 2 up to 32 GiB, 3 up to 8 TiB, 4 up to 2 PiB."""
        return depth_of(self.blocks)

    @property
    def size_bytes(self) -> int:
        return self.blocks * BLOCK_BYTES

    def to_text(self) -> str:
        """How the catalog keeps it: `b3:<64 hex digits>:<blocks>`."""
        return f"b3:{self.digest.hex()}:{self.blocks}"

    @staticmethod
    def from_text(text: str) -> "Root":
        """The root that `to_text` wrote. Raises ValueError for any other text."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"not the root of a manifest: {text!r}")
        return Root(digest=Digest(bytes.fromhex(found[1])), blocks=int(found[2]))

    @staticmethod
    def empty(blocks: int) -> "Root":
        return Root(digest=HOLE, blocks=blocks)


def depth_of(blocks: int) -> int:
    depth, reach = 1, FANOUT
    while reach < blocks:
        depth, reach = depth + 1, reach * FANOUT
    return depth
