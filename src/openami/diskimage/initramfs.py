"""A minimal initramfs: the kernel modules that mount the root, busybox and a script."""

import lzma
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from openami.diskimage.errors import DiskImageError


def modules_in_order(modules_dir: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    """File name → content of the wanted modules and what they need, in the order to load them.

    `modules_dir` is /lib/modules/<version> of an unpacked kernel; what is built into that
    kernel is left out. Raises DiskImageError for a module it has in neither way.
    """
    files = {_name(path): path for path in sorted(modules_dir.rglob("*.ko*"))}
    listed = (modules_dir / "modules.builtin").read_text().split()
    builtin = {_name(Path(line)) for line in listed}
    chosen: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in builtin or name in chosen:
            return
        if name not in files:
            raise DiskImageError(f"the kernel in {modules_dir} has no module {name}")
        content = _content(files[name])
        for needed in _depends(content):
            add(needed)
        chosen[name] = content

    for name in wanted:
        add(name)
    return {f"{number:02}-{name}.ko": data for number, (name, data) in enumerate(chosen.items())}


def _name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _depends(module: bytes) -> list[str]:
    for entry in module.split(b"\0"):
        if entry.startswith(b"depends="):
            names = entry.removeprefix(b"depends=").decode().split(",")
            return [name.replace("-", "_") for name in names if name]
    return []


def archive(
    folders: Iterable[str], files: Mapping[str, bytes], links: Mapping[str, str], epoch_s: int
) -> bytes:
    """A cpio archive ("newc", kernel's buffer-format document); all of it is root's, mode 755."""
    out = bytearray()
    for name in folders:
        out += _entry(name, 0o040755, b"", epoch_s)
    for name, data in files.items():
        out += _entry(name, 0o100755, data, epoch_s)
    for name, target in links.items():
        out += _entry(name, 0o120777, target.encode(), epoch_s)
    return bytes(out + _entry("TRAILER!!!", 0, b"", 0))


def _entry(name: str, mode: int, data: bytes, epoch_s: int) -> bytes:
    path = name.encode() + b"\0"
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    fields = (0, mode, 0, 0, 1, epoch_s, len(data), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
