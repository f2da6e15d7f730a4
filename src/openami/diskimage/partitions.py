"""What the first block of a disk says of its partitions: whether it has any, and how it boots.

Sources: UEFI specification 2.10, chapter 5; the layout of a master boot record.
"""

import struct
import uuid
from dataclasses import dataclass
from typing import Final

from openami.diskimage.gpt import BIOS_BOOT, EFI_SYSTEM, SECTOR

_MICROSOFT_RESERVED: Final = uuid.UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae")
_ENTRY_BYTES_MAX: Final = 4096
_ENTRIES_MAX: Final = 256
_MBR_EFI, _MBR_PROTECTIVE = 0xEF, 0xEE


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """`bios` and `efi`: whether something is there that this firmware would start."""

    any: bool = False
    bios: bool = False
    efi: bool = False
    windows: bool = False

    @property
    def boot_mode(self) -> str:
        """EC2's word for how the disk boots; the BIOS where both would."""
        return "uefi" if self.efi and not self.bios else "legacy-bios"


def read(head: bytes) -> Partitions:
    """`head` is the beginning of the disk. A table that lies after it counts as empty."""
    if len(head) < 2 * SECTOR or head[510:512] != b"\x55\xaa":
        return Partitions()
    boots = any(head[:440])
    kinds = {head[446 + 16 * i + 4] for i in range(4)} - {0}
    if _MBR_PROTECTIVE not in kinds or head[SECTOR : SECTOR + 8] != b"EFI PART":
        return Partitions(any=bool(kinds), bios=boots, efi=_MBR_EFI in kinds)
    types = _types(head)
    return Partitions(
        any=bool(types),
        bios=boots and (BIOS_BOOT in types or EFI_SYSTEM not in types),
        efi=EFI_SYSTEM in types,
        windows=_MICROSOFT_RESERVED in types,
    )


def _types(head: bytes) -> set[uuid.UUID]:
    at, count, size = struct.unpack_from("<QII", head, SECTOR + 72)
    if not 128 <= size <= _ENTRY_BYTES_MAX or count > _ENTRIES_MAX:
        return set()
    table = head[at * SECTOR : at * SECTOR + count * size]
    starts = range(0, len(table) - size + 1, size)
    return {uuid.UUID(bytes_le=table[start : start + 16]) for start in starts} - {uuid.UUID(int=0)}
