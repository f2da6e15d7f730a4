"""The disk of an OVA: a tar with a description (OVF), the disk it names, and little else.

Read here and not by a library: only plain files, with plain names, of bounded number and size
are taken, and nothing is written where an archive says. Sources: DSP0243, "Open Virtualization
Format Specification" 1.1 and 2.1; POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's
manual, "Basic Tar Format", for sizes beyond 8 GiB.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from xml.etree import ElementTree

from openami.diskimage.errors import DiskRejected

_RECORD: Final = 512
_MAGIC: Final = b"ustar"
_MAGIC_AT: Final = 257
_MEMBERS_MAX: Final = 64
_DESCRIPTION_BYTES_MAX: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9_+@()][A-Za-z0-9 ._+@()-]{0,98}")
_PLAIN_FILE: Final = (b"0", b"\0")
_LARGE: Final = 0x80
_COPY_BYTES: Final = 8 << 20
_STREAM_OPTIMIZED: Final = "streamoptimized"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file in the archive, and where its bytes begin."""

    name: str
    offset: int
    size_bytes: int


def is_archive(file: BinaryIO) -> bool:
    """Whether the open file begins like a tar."""
    file.seek(_MAGIC_AT)
    return file.read(len(_MAGIC)) == _MAGIC


def unpack_disk(file: BinaryIO, target: Path, progress: Progress) -> None:
    """Write the one disk of the archive, a streamOptimized VMDK, to `target`, whole and durable
    or not at all.

    `progress` is told (done_bytes, total_bytes) before each part; what it raises ends the work.
    Raises DiskRejected with a sentence for the archive's sender, OSError.
    """
    draft = target.with_name(f".{target.name}")
    with draft.open("wb") as out:
        disk = disk_of(file)
        file.seek(disk.offset)
        for done in range(0, disk.size_bytes, _COPY_BYTES):
            progress(done, disk.size_bytes)
            wanted = min(_COPY_BYTES, disk.size_bytes - done)
            part = file.read(wanted)
            if len(part) < wanted:
                raise DiskRejected("The ova was cut off while it was read.")
            out.write(part)
        out.flush()
        os.fsync(out.fileno())
    draft.rename(target)


def disk_of(file: BinaryIO) -> Member:
    """The one disk that the archive's description names. Raises DiskRejected."""
    if not is_archive(file):
        raise DiskRejected("The file is not an ova: it does not begin like a tar.")
    members = {member.name: member for member in _members(file)}
    descriptions = [member for member in members.values() if member.name.lower().endswith(".ovf")]
    if len(descriptions) != 1:
        raise DiskRejected(f"The ova has {len(descriptions)} .ovf files; it needs one.")
    name, told_bytes = _described(_text(file, descriptions[0]))
    disk = members.get(name)
    if disk is None:
        raise DiskRejected(f"The ova lacks the disk {name!r} that its description names.")
    if told_bytes is not None and told_bytes != disk.size_bytes:
        raise DiskRejected(f"The ova's disk {name!r} has not the size that its description says.")
    return disk


def _members(file: BinaryIO) -> Iterator[Member]:
    end = file.seek(0, 2)
    at, seen = 0, set[str]()
    while at + _RECORD <= end:
        file.seek(at)
        header = file.read(_RECORD)
        if not any(header):
            return
        member = _member(header, at + _RECORD)
        if member.offset + member.size_bytes > end:
            raise DiskRejected(f"The ova is truncated: {member.name!r} is not whole in it.")
        if member.name in seen or len(seen) == _MEMBERS_MAX:
            raise DiskRejected(f"The ova has {member.name!r} twice, or over {_MEMBERS_MAX} files.")
        seen.add(member.name)
        yield member
        at = member.offset + -(-member.size_bytes // _RECORD) * _RECORD


def _member(header: bytes, offset: int) -> Member:
    told = _number(header[148:156])
    if told != sum(header) - sum(header[148:156]) + 8 * 0x20:
        raise DiskRejected("The ova is not a valid tar: a header's checksum is wrong.")
    name = header[:100].rstrip(b"\0").decode("utf-8", "replace")
    if header[156:157] not in _PLAIN_FILE:
        raise DiskRejected(
            "The ova has something else in it than plain files: make it anew by"
            " tar --format=gnu with short names."
        )
    if header[345:346] != b"\0" or _NAME.fullmatch(name) is None:
        raise DiskRejected("The ova has a file whose name is a path, too long, or not plain.")
    return Member(name=name, offset=offset, size_bytes=_number(header[124:136]))


def _number(field: bytes) -> int:
    """Octal digits; or, with the first bit set, the bytes themselves."""
    if field[0] & _LARGE:
        number = int.from_bytes(bytes([field[0] & ~_LARGE]) + field[1:], "big")
        if number < 1 << 50:
            return number
    digits = field.strip(b" \0")
    if re.fullmatch(rb"[0-7]+", digits) is None:
        raise DiskRejected("The ova is not a valid tar: a header has a number that is none.")
    return int(digits, 8)


def _text(file: BinaryIO, member: Member) -> str:
    if member.size_bytes > _DESCRIPTION_BYTES_MAX:
        raise DiskRejected(f"The ova's description has over {_DESCRIPTION_BYTES_MAX} bytes.")
    file.seek(member.offset)
    try:
        text = file.read(member.size_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise DiskRejected("The ova's description is not in UTF-8.") from wrong
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DiskRejected("The ova's description declares entities, which no description needs.")
    return text


def _described(text: str) -> tuple[str, int | None]:
    """The file name of the one disk, and its size if told."""
    try:
        root = ElementTree.fromstring(text)  # noqa: S314, small and without entities: see _text
    except (ElementTree.ParseError, ValueError) as wrong:
        raise DiskRejected("The ova's description is not valid XML.") from wrong
    files = {_told(each, "id"): each for each in _named(root, "File")}
    disks = [each for each in _named(root, "Disk") if _told(each, "fileRef")]
    if len(disks) != 1:
        raise DiskRejected(
            f"The ova describes {len(disks)} disks with content; one is taken. Import each disk"
            " of it on its own."
        )
    if _STREAM_OPTIMIZED not in _told(disks[0], "format").lower():
        raise DiskRejected("The ova's disk is not a streamOptimized vmdk; export it as one.")
    file = files.get(_told(disks[0], "fileRef"))
    if file is None or _told(file, "compression") not in ("", "identity"):
        raise DiskRejected("The ova's disk is compressed around, or its file is not described.")
    if _told(file, "chunkSize"):
        raise DiskRejected("The ova's disk is cut into chunks; export it as one file.")
    size = _told(file, "size")
    return _told(file, "href"), int(size) if re.fullmatch(r"[0-9]{1,18}", size) else None


def _named(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """The elements of that name in any version's namespace."""
    return [each for each in root.iter() if each.tag.rpartition("}")[2] == name]


def _told(element: ElementTree.Element, name: str) -> str:
    values = (value for key, value in element.items() if key.rpartition("}")[2] == name)
    return next(values, "").strip()
