"""The GUID partition table, as bytes. Pure; source: UEFI specification 2.10, chapter 5."""

import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SECTOR: Final = 512
MIB: Final = 1024 * 1024
BIOS_BOOT: Final = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
EFI_SYSTEM: Final = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX_ROOT_X86_64: Final = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")

_ENTRIES: Final = 128
_ENTRY_BYTES: Final = 128
_TABLE_SECTORS: Final = _ENTRIES * _ENTRY_BYTES // SECTOR
FIRST_USABLE_LBA: Final = 2 + _TABLE_SECTORS
RESERVED_AT_END: Final = 1 + _TABLE_SECTORS  # the second header and the second table


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Entry `number` (1-128) of the table; it ends with its last sector, not after it."""

    number: int
    type: uuid.UUID
    guid: uuid.UUID
    name: str
    first_lba: int
    last_lba: int

    @property
    def offset_bytes(self) -> int:
        return self.first_lba * SECTOR

    @property
    def size_bytes(self) -> int:
        return (self.last_lba - self.first_lba + 1) * SECTOR


def tables(
    disk_sectors: int, disk_guid: uuid.UUID, partitions: Sequence[Partition]
) -> dict[int, bytes]:
    """Everything a partition table writes: byte offset → bytes.

    The protective record's first 440 bytes, the boot code, are not among it.
    """
    last = disk_sectors - 1
    entries = _entries(partitions)
    second_table = disk_sectors - RESERVED_AT_END
    return {
        446: _protective_record(disk_sectors),
        1 * SECTOR: _header(disk_sectors, disk_guid, entries, own=1, other=last, table=2),
        2 * SECTOR: entries,
        second_table * SECTOR: entries,
        last * SECTOR: _header(
            disk_sectors, disk_guid, entries, own=last, other=1, table=second_table
        ),
    }


def _entries(partitions: Sequence[Partition]) -> bytes:
    table = bytearray(_ENTRIES * _ENTRY_BYTES)
    for part in partitions:
        at = (part.number - 1) * _ENTRY_BYTES
        name = part.name.encode("utf-16le").ljust(72, b"\0")
        span = struct.pack("<QQQ", part.first_lba, part.last_lba, 0)
        table[at : at + _ENTRY_BYTES] = part.type.bytes_le + part.guid.bytes_le + span + name
    return bytes(table)


def _header(
    disk_sectors: int, disk_guid: uuid.UUID, entries: bytes, *, own: int, other: int, table: int
) -> bytes:
    last_usable = disk_sectors - RESERVED_AT_END - 1
    header = bytearray(struct.pack("<8sIIII", b"EFI PART", 0x10000, 92, 0, 0))
    header += struct.pack("<QQQQ", own, other, FIRST_USABLE_LBA, last_usable)
    header += disk_guid.bytes_le
    header += struct.pack("<QIII", table, _ENTRIES, _ENTRY_BYTES, zlib.crc32(entries))
    struct.pack_into("<I", header, 16, zlib.crc32(bytes(header)))
    return bytes(header).ljust(SECTOR, b"\0")


def _protective_record(disk_sectors: int) -> bytes:
    size = min(disk_sectors - 1, 0xFFFFFFFF)
    entry = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, size)
    return entry.ljust(64, b"\0") + b"\x55\xaa"
