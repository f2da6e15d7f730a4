"""A block: 512 KiB of a disk, known by its index. A chunk: those bytes, known by their digest.

512 KiB is the block of the EBS direct APIs:
https://docs.aws.amazon.com/ebs/latest/userguide/ebsapi-elements.html
"""

from typing import Final, NewType

BLOCK_BYTES: Final = 512 * 1024
GIB: Final = 1024**3
BLOCKS_PER_GIB: Final = GIB // BLOCK_BYTES

Digest = NewType("Digest", bytes)
"""The 32 bytes of a chunk's BLAKE3. All zeros never names a chunk: it is the hole."""

HOLE: Final = Digest(bytes(32))
