"""From a folder to a disk that boots by BIOS and by UEFI: no mount, no loop device, no root.

The root is partition 1 and the last on the disk, so that it can grow; 14 holds GRUB for
BIOS, 15 is the EFI system partition. The same folder gives the same bytes: every
identifier is derived from `Recipe.seed` and every time is `Recipe.epoch_s`.
"""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.diskimage import gpt, grub
from openami.diskimage.errors import DiskImageError
from openami.diskimage.tools import Progress, as_root, require, run

_NAMESPACE: Final = uuid.UUID("6f70656e-616d-5969-8d64-69736b696d67")
_BIOS_LBA: Final = 2048
_ESP_LBA: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is wanted of a disk; `label` is the root's, at most 16 characters."""

    size_mib: int
    esp_mib: int
    label: str
    seed: str
    epoch_s: int

    def guid(self, what: str) -> uuid.UUID:
        return uuid.uuid5(_NAMESPACE, f"{self.seed}/{what}")

    @property
    def sectors(self) -> int:
        return self.size_mib * gpt.MIB // gpt.SECTOR

    def partitions(self) -> tuple[gpt.Partition, gpt.Partition, gpt.Partition]:
        """BIOS boot, EFI system, root; each begins and ends on a whole MiB."""
        root_lba = _ESP_LBA + self.esp_mib * gpt.MIB // gpt.SECTOR
        root_end = self.sectors - gpt.MIB // gpt.SECTOR - 1
        return (
            self._partition(14, gpt.BIOS_BOOT, "bios", _BIOS_LBA, _ESP_LBA - 1),
            self._partition(15, gpt.EFI_SYSTEM, "esp", _ESP_LBA, root_lba - 1),
            self._partition(1, gpt.LINUX_ROOT_X86_64, "root", root_lba, root_end),
        )

    def _partition(
        self, number: int, kind: uuid.UUID, name: str, first: int, last: int
    ) -> gpt.Partition:
        return gpt.Partition(
            number=number,
            type=kind,
            guid=self.guid(name),
            name=name,
            first_lba=first,
            last_lba=last,
        )


def require_tools() -> None:
    """Raise DiskImageError now rather than after the long part of a build."""
    require("grub-mkimage", "mke2fs", "debugfs", "dumpe2fs", "mformat", "mmd", "mcopy")
    if os.geteuid() != 0:
        require("fakeroot")
    grub.require_modules()


def set_times(tree: Path, epoch_s: int) -> None:
    """Give everything under `tree` one time: the disk must not tell when it was made."""
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)


def write_disk(tree: Path, out: Path, work: Path, recipe: Recipe, progress: Progress) -> None:
    """Make the sparse raw disk `out` of `tree`, which has /boot/grub/grub.cfg.

    `out` appears complete or not at all. Raises DiskImageError.
    """
    draft = work / "disk.raw"
    draft.unlink(missing_ok=True)
    bios, esp, root = recipe.partitions()
    with draft.open("xb") as file:
        file.truncate(recipe.sectors * gpt.SECTOR)
    progress("writing the root file system")
    _write_ext4(tree, draft, root, recipe)
    progress("writing the boot loaders and the partition table")
    _write_esp(draft, esp, work, recipe)
    boot, core = grub.bios_images(work, bios.first_lba)
    if len(core) > bios.size_bytes:
        raise DiskImageError(f"GRUB's core image has {len(core)} bytes: too large to place")
    with draft.open("r+b") as file:
        pieces = gpt.tables(recipe.sectors, recipe.guid("disk"), (bios, esp, root))
        for offset, data in {**pieces, 0: boot, bios.offset_bytes: core}.items():
            file.seek(offset)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(out)


def _times(recipe: Recipe) -> dict[str, str]:
    text = str(recipe.epoch_s)
    return {"SOURCE_DATE_EPOCH": text, "E2FSPROGS_FAKE_TIME": text}


def _write_ext4(tree: Path, disk: Path, part: gpt.Partition, recipe: Recipe) -> None:
    # Inode tables are zeroed now, which is free in a sparse file; left for later, each
    # guest would write them into its own overlay.
    options = f"offset={part.offset_bytes},lazy_itable_init=0,lazy_journal_init=1,discard"
    options += f",root_owner=0:0,hash_seed={recipe.guid('hash')}"
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "1", "-L", recipe.label]
    command += ["-U", str(recipe.guid("ext4")), "-E", options, "-d", str(tree)]
    command += [str(disk), f"{part.size_bytes // 1024}k"]
    run(as_root(command), variables=_times(recipe))
    _settle_inode_times(disk, part, recipe)


def _settle_inode_times(disk: Path, part: gpt.Partition, recipe: Recipe) -> None:
    """Overwrite the times that mke2fs took from the host's files and that nobody can set there."""
    place = f"{disk}?offset={part.offset_bytes}"
    script = disk.with_suffix(".debugfs")
    with script.open("w") as file:
        for inode in _used_inodes(run(["dumpe2fs", place])):
            file.writelines(
                f"set_inode_field <{inode}> {field} @{recipe.epoch_s}\n"
                for field in ("atime", "ctime", "crtime")
            )
    run(["debugfs", "-w", "-f", str(script), place], variables=_times(recipe))
    script.unlink()


def _used_inodes(dump: str) -> Iterator[int]:
    """Inode numbers in use, from the inode counts and free ranges that dumpe2fs prints."""
    free: set[int] = set()
    total = 0
    for line in dump.splitlines():
        text = line.strip()
        if text.startswith("Inode count:"):
            total = int(text.split(":")[1])
        if line.startswith("  ") and text.startswith("Free inodes:"):
            free.update(_ranges(text.split(":", 1)[1]))
    first_of_ours = 11  # lower ones are the file system's own, but for the root
    yield 2
    yield from (inode for inode in range(first_of_ours, total + 1) if inode not in free)


def _ranges(text: str) -> Iterator[int]:
    for part in text.replace(" ", "").split(","):
        if part:
            first, _, last = part.partition("-")
            yield from range(int(first), int(last or first) + 1)


def _write_esp(disk: Path, part: gpt.Partition, work: Path, recipe: Recipe) -> None:
    place = f"{disk}@@{part.offset_bytes}"
    sectors = part.size_bytes // gpt.SECTOR
    serial = recipe.guid("esp").hex[:8]
    loader = grub.efi_binary(work)
    os.utime(loader, (recipe.epoch_s, recipe.epoch_s))
    times = {**_times(recipe), "TZ": "UTC"}
    geometry = ["-T", str(sectors), "-h", "64", "-s", "32", "-N", serial, "-v", "ESP"]
    run(["mformat", "-i", place, *geometry, "::"], variables=times)
    run(["mmd", "-i", place, "::EFI", "::EFI/BOOT"], variables=times)
    run(["mcopy", "-m", "-i", place, str(loader), "::EFI/BOOT/BOOTX64.EFI"], variables=times)
