"""The partition table is one that others read as we meant it."""

import struct
import uuid
import zlib

from openami.diskimage import gpt

SECTORS = 64 * gpt.MIB // gpt.SECTOR
DISK_GUID = uuid.UUID(int=7)


def a_partition(number: int = 1, first_lba: int = 2048, last_lba: int = 4095) -> gpt.Partition:
    return gpt.Partition(
        number=number,
        type=gpt.EFI_SYSTEM,
        guid=uuid.UUID(int=number),
        name="esp",
        first_lba=first_lba,
        last_lba=last_lba,
    )


def the_disk(*partitions: gpt.Partition) -> bytes:
    disk = bytearray(SECTORS * gpt.SECTOR)
    for offset, data in gpt.tables(SECTORS, DISK_GUID, partitions).items():
        disk[offset : offset + len(data)] = data
    return bytes(disk)


def header_at(disk: bytes, lba: int) -> bytes:
    return disk[lba * gpt.SECTOR : lba * gpt.SECTOR + 92]


def test_both_headers_carry_a_checksum_of_themselves_and_of_their_table() -> None:
    disk = the_disk(a_partition())
    for lba in (1, SECTORS - 1):
        header = bytearray(header_at(disk, lba))
        told = struct.unpack_from("<I", header, 16)[0]
        struct.pack_into("<I", header, 16, 0)
        table_lba, count, size, table_checksum = struct.unpack_from("<QIII", header, 72)
        table = disk[table_lba * gpt.SECTOR :][: count * size]
        assert zlib.crc32(bytes(header)) == told
        assert zlib.crc32(table) == table_checksum


def test_the_headers_name_each_other_and_the_space_between_the_tables() -> None:
    disk = the_disk()
    first = struct.unpack_from("<QQQQ", header_at(disk, 1), 24)
    second = struct.unpack_from("<QQQQ", header_at(disk, SECTORS - 1), 24)
    assert first == (1, SECTORS - 1, 34, SECTORS - 34)
    assert second == (SECTORS - 1, 1, 34, SECTORS - 34)


def test_a_partition_is_found_at_the_entry_of_its_number() -> None:
    disk = the_disk(a_partition(number=15, first_lba=4096, last_lba=8191))
    entry = disk[2 * gpt.SECTOR + 14 * 128 :][:128]
    assert uuid.UUID(bytes_le=entry[:16]) == gpt.EFI_SYSTEM
    assert struct.unpack_from("<QQ", entry, 32) == (4096, 8191)
    assert entry[56:].decode("utf-16le").rstrip("\0") == "esp"


def test_the_protective_record_leaves_the_boot_code_alone() -> None:
    offsets = gpt.tables(SECTORS, DISK_GUID, ())
    disk = the_disk()
    assert min(offsets) == 446
    assert disk[450] == 0xEE
    assert disk[510:512] == b"\x55\xaa"


def test_a_partition_knows_its_place_in_bytes() -> None:
    assert a_partition().offset_bytes == gpt.MIB
    assert a_partition().size_bytes == gpt.MIB
