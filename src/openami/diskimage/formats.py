"""What kind of disk a file is, by its first and last bytes, and whether we take such a one.

Read here and not by QEMU's probing, which a guest that writes a header into its raw disk
can fool. Everything that would make a reader open a second file is refused: backing files,
external data files, extents and parents (docs/interop/qcow2.txt of QEMU; VMware's "Virtual
Disk Format 5.0"; Microsoft's "Virtual Hard Disk Image Format Specification").
"""

import re
import struct
from collections.abc import Callable
from enum import StrEnum
from typing import BinaryIO, Final

from openami.diskimage.errors import DiskRejected

SECTOR: Final = 512
_GIB: Final = 1 << 30
SIZE_BYTES_MAX: Final = 64 << 40  # EBS's largest volume, of the types gp3 and io2


class DiskFormat(StrEnum):
    """The names are EC2's (ImportSnapshot's Format) and qcow2, which EC2 lacks."""

    RAW = "raw"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"


_QCOW: Final = b"QFI\xfb"
_VMDK: Final = b"KDMV"
_VHD: Final = b"conectix"
_VHDX: Final = b"vhdxfile"
_REFUSED_MAGICS: Final = {
    b"COWD": "an ESX 3 sparse VMDK; export it as streamOptimized",
    b"# Disk Descriptor": "a VMDK descriptor that names other files; export it as streamOptimized",
    b"<<< ": "a VirtualBox VDI; convert it to raw, qcow2, vmdk, vhd or vhdx",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"\xfd7zXZ\0": "compressed with xz; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it first",
    b"LUKS\xba\xbe": "encrypted with LUKS",
}
_QCOW2_CORRUPT, _QCOW2_DATA_FILE = 1 << 1, 1 << 2
_QCOW2_DATA_FILE_NAME: Final = 0x44415441
_QCOW2_EXTENSIONS_MAX: Final = 64
_VMDK_DESCRIPTOR_SECTORS_MAX: Final = 128
_VMDK_TYPES: Final = ("monolithicSparse", "streamOptimized")
_VMDK_EXTENT: Final = re.compile(
    r'^(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)\s+"[^"]*"\s*\d*\s*$', re.MULTILINE
)
_VHD_KINDS: Final = {2: "fixed", 3: "dynamic"}


def detect(file: BinaryIO) -> DiskFormat:
    """The format of the open file; raw when it has no other's mark.

    Raises DiskRejected for an empty file and for formats that we know and do not take.
    """
    head, tail = _head(file, SECTOR), _tail(file, SECTOR)
    if not head:
        raise DiskRejected("The disk is empty: the file has no bytes.")
    for magic, what in _REFUSED_MAGICS.items():
        if head.startswith(magic):
            raise DiskRejected(f"The file is {what}.")
    marks = {_QCOW: DiskFormat.QCOW2, _VMDK: DiskFormat.VMDK, _VHDX: DiskFormat.VHDX}
    for magic, disk_format in marks.items():
        if head.startswith(magic):
            return disk_format
    if head.startswith(_VHD) or _VHD in (tail[:8], tail[1:9]):
        return DiskFormat.VHD
    return DiskFormat.RAW


def check(file: BinaryIO, disk_format: DiskFormat) -> None:
    """Raise DiskRejected unless the file's own headers allow a reader to open nothing else."""
    if not _head(file, 1):
        raise DiskRejected("The disk is empty: the file has no bytes.")
    _CHECKS[disk_format](file)


def check_size(size_bytes: int) -> None:
    """Raise DiskRejected for a virtual size that no volume has."""
    if size_bytes <= 0:
        raise DiskRejected("The disk is empty: its size is 0 bytes.")
    if size_bytes > SIZE_BYTES_MAX:
        raise DiskRejected(
            f"The disk has {-(-size_bytes // _GIB)} GiB; the largest volume has"
            f" {SIZE_BYTES_MAX // _GIB} GiB."
        )


def _check_raw(file: BinaryIO) -> None:
    size = file.seek(0, 2)
    if size % SECTOR:
        raise DiskRejected(
            f"A raw disk is a whole number of {SECTOR}-byte sectors; this file has {size} bytes."
        )
    check_size(size)


def _check_qcow2(file: BinaryIO) -> None:
    head = _whole_head(file, 72, _QCOW, "qcow2")
    (version, backing, _, cluster_bits, size, encryption) = struct.unpack_from(">IQIIQI", head, 4)
    if version not in (2, 3):
        raise DiskRejected(f"The qcow2 disk has version {version}; 2 and 3 are taken.")
    if backing:
        raise DiskRejected("The qcow2 disk names a backing file; only a disk of one file is taken.")
    if encryption:
        raise DiskRejected("The qcow2 disk is encrypted; decrypt it before the import.")
    if not 9 <= cluster_bits <= 21:
        raise DiskRejected(f"The qcow2 disk's clusters have 2^{cluster_bits} bytes: not valid.")
    check_size(size)
    if version == 3:
        _check_qcow2_v3(file)


def _check_qcow2_v3(file: BinaryIO) -> None:
    head = _whole_head(file, 104, _QCOW, "qcow2")
    (incompatible,) = struct.unpack_from(">Q", head, 72)
    if incompatible & _QCOW2_CORRUPT:
        raise DiskRejected("The qcow2 disk is marked as corrupt: repair it with qemu-img check -r.")
    external = incompatible & _QCOW2_DATA_FILE
    (at,) = struct.unpack_from(">I", head, 100)
    for _ in range(_QCOW2_EXTENSIONS_MAX):
        file.seek(at)
        kind, length = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
        if kind == 0:
            break
        external |= kind == _QCOW2_DATA_FILE_NAME
        at += 8 + (length + 7) // 8 * 8
    else:
        raise DiskRejected("The qcow2 disk's header does not end: not valid.")
    if external:
        raise DiskRejected(
            "The qcow2 disk names an external data file; only a disk of one file is taken."
        )


def _check_vmdk(file: BinaryIO) -> None:
    head = _whole_head(file, SECTOR, _VMDK, "vmdk")
    (capacity,) = struct.unpack_from("<Q", head, 12)
    at, sectors = struct.unpack_from("<QQ", head, 28)
    # With a capacity of 0 a reader goes by the descriptor's list of extents, which are files.
    if capacity == 0:
        raise DiskRejected("The vmdk names other files for its data; export it as streamOptimized.")
    check_size(capacity * SECTOR)
    if not 0 < sectors <= _VMDK_DESCRIPTOR_SECTORS_MAX or at > file.seek(0, 2) // SECTOR:
        raise DiskRejected("The vmdk has no valid descriptor in it; export it as streamOptimized.")
    file.seek(at * SECTOR)
    text = file.read(sectors * SECTOR).split(b"\0")[0].decode("utf-8", "replace")
    _check_vmdk_descriptor(text)


def _check_vmdk_descriptor(text: str) -> None:
    kind = _vmdk_value(text, "createType")
    if kind not in _VMDK_TYPES:
        raise DiskRejected(
            f"The vmdk's createType is {kind[:40]!r}; {' and '.join(_VMDK_TYPES)} are taken."
        )
    parent = _vmdk_value(text, "parentCID").lower()
    if parent not in ("", "ffffffff") or "parentfilenamehint" in text.lower():
        raise DiskRejected("The vmdk names a parent disk; only a disk of one file is taken.")
    if _VMDK_EXTENT.findall(text.replace("\r", "")) != ["SPARSE"]:
        raise DiskRejected("The vmdk names other files for its data; export it as streamOptimized.")


def _vmdk_value(text: str, name: str) -> str:
    found = re.search(rf'(?mi)^\s*{name}\s*=\s*"?([^"\r\n]*?)"?\s*$', text)
    return found.group(1) if found else ""


def _check_vhd(file: BinaryIO) -> None:
    tail = _tail(file, SECTOR)
    footer = tail if tail.startswith(_VHD) else tail[1:]  # old Virtual PC wrote 511 bytes
    if not footer.startswith(_VHD):
        raise DiskRejected("The vhd does not end with its footer: it is truncated or not a vhd.")
    kind, size = struct.unpack_from(">I", footer, 60)[0], struct.unpack_from(">Q", footer, 48)[0]
    if kind not in _VHD_KINDS:
        raise DiskRejected("The vhd is a differencing disk; only a disk of one file is taken.")
    if kind == 2 and file.seek(0, 2) < size:
        raise DiskRejected("The vhd is truncated: the file is smaller than its disk.")
    check_size(size)


def _check_vhdx(file: BinaryIO) -> None:
    _whole_head(file, 64 * 1024, _VHDX, "vhdx")


_CHECKS: Final[dict[DiskFormat, Callable[[BinaryIO], None]]] = {
    DiskFormat.RAW: _check_raw,
    DiskFormat.QCOW2: _check_qcow2,
    DiskFormat.VMDK: _check_vmdk,
    DiskFormat.VHD: _check_vhd,
    DiskFormat.VHDX: _check_vhdx,
}


def _head(file: BinaryIO, count: int) -> bytes:
    file.seek(0)
    return file.read(count)


def _tail(file: BinaryIO, count: int) -> bytes:
    file.seek(max(0, file.seek(0, 2) - count))
    return file.read(count)


def _whole_head(file: BinaryIO, count: int, magic: bytes, name: str) -> bytes:
    head = _head(file, count)
    if not head.startswith(magic):
        raise DiskRejected(f"The file is not a {name} disk: it does not begin like one.")
    if len(head) < count:
        raise DiskRejected(f"The {name} disk is truncated: its header is not whole.")
    return head
