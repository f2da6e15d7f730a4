"""Disk files made by hand: small good ones, and ones that try to make a reader go elsewhere."""

import struct
from pathlib import Path

MIB = 1024 * 1024


def qcow2(
    path: Path,
    *,
    version: int = 3,
    size: int = MIB,
    backing: bytes = b"",
    incompatible: int = 0,
    data_file: bytes = b"",
    encryption: int = 0,
    cluster_bits: int = 16,
    l1_size: int = 1,
) -> Path:
    """A qcow2 header, its extensions, and an empty L1 and refcount table."""
    extensions = b""
    if data_file:
        extensions = struct.pack(">II", 0x44415441, len(data_file))
        extensions += data_file + b"\0" * (-len(data_file) % 8)
    extensions += b"\0" * 8
    backing_at = 104 + len(extensions) if backing else 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        *(b"QFI\xfb", version, backing_at, len(backing), cluster_bits, size, encryption),
        *(l1_size, 3 * 65536, 65536, 1, 0, 0),
    )
    header += struct.pack(">QQQII", incompatible, 0, 0, 4, 104)
    file = bytearray(4 * 65536)
    head = header + extensions + backing
    file[: len(head)] = head
    struct.pack_into(">Q", file, 65536, 2 * 65536)
    for cluster in range(4):
        struct.pack_into(">H", file, 2 * 65536 + 2 * cluster, 1)
    path.write_bytes(file)
    return path


def vmdk(
    path: Path,
    *,
    capacity_sectors: int = 2048,
    kind: str = "monolithicSparse",
    parent: str = "ffffffff",
    hint: str = "",
    extents: str = 'RW 2048 SPARSE "disk.vmdk"',
) -> Path:
    """A sparse extent's header with the descriptor that it carries."""
    header = struct.pack(
        "<4sIIQQQQIQQQ", b"KDMV", 1, 3, capacity_sectors, 128, 1, 20, 512, 21, 26, 128
    )
    text = f"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID={parent}\n"
    text += f'createType="{kind}"\n{hint}\n# Extent description\n{extents}\n'
    file = bytearray(256 * 512)
    file[: len(header)] = header
    file[512 : 512 + len(text)] = text.encode()
    path.write_bytes(file)
    return path


def vhd(path: Path, *, kind: int = 2, size: int = MIB) -> Path:
    """A disk of zeros with a footer of the given kind (2 fixed, 3 dynamic, 4 differencing)."""
    footer = bytearray(512)
    footer[:8] = b"conectix"
    struct.pack_into(">QI", footer, 48, size, 0)
    struct.pack_into(">I", footer, 60, kind)
    path.write_bytes(b"\0" * MIB + bytes(footer))
    return path
