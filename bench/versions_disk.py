"""A disk and its upgrades in place: what a packet manager does to a server's disk."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.disk import ext4_of

VERSIONS: Final = 10
_EVERY: Final = 25
"""Of so many programs one is replaced by an upgrade: 4 %."""
_STAMP_EVERY: Final = 1024
_SIZE_BYTES: Final = 1 << 30


def versions(directory: Path, count: int) -> Iterator[Path]:
    """The disk as it is made, then as each upgrade left it: always the same file.

    An upgrade takes a program away and writes a new one under its name, as big and about as
    compressible; so its blocks are what is free then, and the filesystem's tables change too.
    """
    directory.mkdir(parents=True, exist_ok=True)
    disk = ext4_of(["bin"], directory / "disk.raw", _SIZE_BYTES)
    yield disk
    programs = sorted(each for each in Path("/usr/bin").iterdir() if _is_program(each))
    for number in range(1, count):
        _upgrade(disk, programs[number % _EVERY :: _EVERY], number, directory / "new")
        yield disk


def _is_program(file: Path) -> bool:
    return file.is_file() and not file.is_symlink()


def _upgrade(disk: Path, programs: list[Path], number: int, new: Path) -> None:
    new.mkdir()
    script = ["cd /bin"]
    for program in programs:
        (new / program.name).write_bytes(_changed(program.read_bytes(), number))
        script += [f'rm "{program.name}"', f'write "{new / program.name}" "{program.name}"']
    (new / ".script").write_text("\n".join(script))
    debugfs = ["debugfs", "-w", "-f", new / ".script", disk]
    subprocess.run(debugfs, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(new)


def _changed(program: bytes, number: int) -> bytes:
    """Other bytes everywhere, as in a program that was compiled again."""
    changed = bytearray(program)
    for at in range(0, len(changed), _STAMP_EVERY):
        stamp = hashlib.sha256(f"{number}/{at}".encode()).digest()[:8]
        changed[at : at + len(stamp)] = stamp
    return bytes(changed)
