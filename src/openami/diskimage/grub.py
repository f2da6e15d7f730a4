"""GRUB for a disk we have as a file: what grub-install does, by a few writes and without root.

Sources: GRUB manual, "BIOS installation"; grub's boot.S and diskboot.S for the two fields
that hold where the core image is.
"""

import struct
from pathlib import Path
from typing import Final

from openami.diskimage.errors import DiskImageError
from openami.diskimage.tools import run

GRUB_DIR: Final = Path("/usr/lib/grub")
BOOT_CODE_BYTES: Final = 440

_COMMON: Final = "part_gpt ext2 normal linux configfile echo test serial terminal sleep reboot halt"
_BIOS_MODULES: Final = f"biosdisk {_COMMON}".split()
_EFI_MODULES: Final = f"fat regexp all_video efi_gop {_COMMON}".split()
_BOOT_IMG_CORE_LBA: Final = 0x5C
_DISKBOOT_REST_LBA: Final = 0x1F4

# The root is looked for on the disk the firmware started, not by its label: a second
# volume made from the same image has the same label.
_EFI_EARLY: Final = """\
regexp --set=1:disk '^\\(([^,)]+)' "$cmdpath"
set root="$disk,gpt1"
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""


def require_modules() -> None:
    """Raise DiskImageError unless GRUB's parts for both firmwares are on this host."""
    for folder, package in (("i386-pc", "grub-pc-bin"), ("x86_64-efi", "grub-efi-amd64-bin")):
        if not (GRUB_DIR / folder / "normal.mod").exists():
            raise DiskImageError(f"GRUB for {folder} is not here: apt-get install {package}")


def bios_images(work: Path, core_lba: int) -> tuple[bytes, bytes]:
    """The boot code for sector 0 (440 bytes) and the core image for the sectors at `core_lba`."""
    folder, out = GRUB_DIR / "i386-pc", work / "core.img"
    command = ["grub-mkimage", "-d", str(folder), "-O", "i386-pc", "-o", str(out)]
    run([*command, "-p", "(,gpt1)/boot/grub", *_BIOS_MODULES])
    core = bytearray(out.read_bytes())
    boot = bytearray((folder / "boot.img").read_bytes()[:BOOT_CODE_BYTES])
    struct.pack_into("<Q", boot, _BOOT_IMG_CORE_LBA, core_lba)
    struct.pack_into("<Q", core, _DISKBOOT_REST_LBA, core_lba + 1)
    return bytes(boot), bytes(core)


def efi_binary(work: Path) -> Path:
    """BOOTX64.EFI, which goes on to /boot/grub/grub.cfg of partition 1 of its own disk."""
    early, out = work / "early.cfg", work / "BOOTX64.EFI"
    early.write_text(_EFI_EARLY)
    command = ["grub-mkimage", "-d", str(GRUB_DIR / "x86_64-efi"), "-O", "x86_64-efi"]
    command += ["-o", str(out), "-p", "/EFI/BOOT", "-c", str(early)]
    run([*command, *_EFI_MODULES])
    return out
