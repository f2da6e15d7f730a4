"""*tiny*: a guest that boots in seconds. Debian's cloud kernel and busybox on a real disk.

It does what an instance does, in small: DHCP, metadata (IMDSv2), host name, user data once
per instance, the serial console, the ACPI power button, disks that come and go. It is for
trying out openami and for its tests. The scripts that run in it are in the folder guest/tiny/.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from openami.diskimage import initramfs
from openami.diskimage.packages import candidate_versions, kernel_package, unpack
from openami.diskimage.rootfs import Recipe, require_tools, set_times, write_disk
from openami.diskimage.tools import Progress, require

KERNEL: Final = "linux-image-cloud-amd64"
BUSYBOX: Final = "busybox-static"
SIZE_MIB: Final = 64
_ESP_MIB: Final = 4

_MODULES: Final = (
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_rng",
    "ext4",
    "button",
    "evdev",
)
_FOLDERS: Final = (
    *("bin", "sbin", "usr/local/bin", "root", "tmp", "run", "mnt", "dev", "proc", "sys"),
    *("etc/acpi/PWRF", "var/lib/tiny", "boot/grub"),
)
_POWER_BUTTON_EVENT: Final = "etc/acpi/PWRF/00000080"  # as busybox acpid looks it up
_SCRIPTS: Final = {
    "init": "sbin/init",
    "describe-disk": "sbin/describe-disk",
    "disk-event": "sbin/disk-event",
    "imds": "sbin/imds",
    "udhcpc.script": "etc/udhcpc.script",
    "leave": "sbin/poweroff",
    "power-button": _POWER_BUTTON_EVENT,
}
_OURS: Final = ("poweroff", "reboot", "halt", "init")  # not busybox's
_GRUB_CFG: Final = """\
set timeout=0
linux /boot/vmlinuz console=tty0 console=ttyS0,115200 quiet mitigations=off \
net.ifnames=0 random.trust_cpu=on panic=5
initrd /boot/initrd.img
boot
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Material:
    """What the guest is made of, unpacked."""

    kernel: Path
    modules: Path
    busybox: Path
    epoch_s: int


def build_tiny(out: Path, work: Path, progress: Progress) -> None:
    """Make the sparse raw disk `out` (64 MiB); `work` is a scratch folder and a cache of packages.

    Needs no root. The same packages give the same bytes. Raises DiskImageError.
    """
    require("apt-get", "apt-cache", "dpkg-deb")
    require_tools()
    material = _fetch(work, progress)
    progress("laying out the guest's files")
    tree = work / "tiny-tree"
    shutil.rmtree(tree, ignore_errors=True)
    _lay_out(tree, material)
    recipe = Recipe(
        size_mib=SIZE_MIB,
        esp_mib=_ESP_MIB,
        label="tiny",
        seed=f"tiny/{material.kernel.name}",
        epoch_s=material.epoch_s,
    )
    set_times(tree, material.epoch_s)
    write_disk(tree, out, work, recipe, progress)
    shutil.rmtree(tree)
    progress("done")


def versions() -> str:
    """The packages that a build would use now, as one line; another line, another disk."""
    found = candidate_versions((KERNEL, BUSYBOX))
    return " ".join(f"{name}={version}" for name, version in sorted(found.items()))


def _fetch(work: Path, progress: Progress) -> _Material:
    unpacked = work / "tiny-packages"
    shutil.rmtree(unpacked, ignore_errors=True)
    for package in (kernel_package(KERNEL), BUSYBOX):
        progress(f"fetching {package}")
        unpack(package, work / "debs", unpacked)
    kernel = next((unpacked / "boot").glob("vmlinuz-*"))
    release = kernel.name.removeprefix("vmlinuz-")
    modules = next(path for path in unpacked.rglob(f"modules/{release}") if path.is_dir())
    busybox = next(path for path in unpacked.rglob("bin/busybox") if path.is_file())
    epoch_s = int(kernel.stat().st_mtime)
    return _Material(kernel=kernel, modules=modules, busybox=busybox, epoch_s=epoch_s)


def _lay_out(tree: Path, material: _Material) -> None:
    for folder in _FOLDERS:
        (tree / folder).mkdir(parents=True, exist_ok=True)
    _install_busybox(tree, material.busybox)
    for name, place in _SCRIPTS.items():
        path = tree / place
        path.write_bytes(_script(name))
        path.chmod(0o755)
    for name in ("reboot", "halt"):
        (tree / "sbin" / name).symlink_to("poweroff")
    (tree / "etc/hostname").write_text("tiny\n")
    (tree / "etc/passwd").write_text("root::0:0:root:/root:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\n")
    (tree / "etc/resolv.conf").touch()
    (tree / "root").chmod(0o700)
    shutil.copyfile(material.kernel, tree / "boot/vmlinuz")
    (tree / "boot/initrd.img").write_bytes(_initramfs(material))
    (tree / "boot/grub/grub.cfg").write_text(_GRUB_CFG)


def _install_busybox(tree: Path, busybox: Path) -> None:
    target = tree / "bin/busybox"
    shutil.copyfile(busybox, target)
    target.chmod(0o755)
    listed = subprocess.run([os.fspath(busybox), "--list"], capture_output=True, check=True)
    for applet in listed.stdout.decode().split():
        if applet not in (*_OURS, "busybox"):
            (tree / "bin" / applet).symlink_to("busybox")


def _initramfs(material: _Material) -> bytes:
    modules = initramfs.modules_in_order(material.modules, _MODULES)
    files = {"init": _script("initramfs-init"), "bin/busybox": material.busybox.read_bytes()}
    files |= {f"modules/{name}": content for name, content in modules.items()}
    folders = ("bin", "modules", "proc", "sys", "dev", "new")
    return initramfs.archive(folders, files, {"bin/sh": "busybox"}, material.epoch_s)


def _script(name: str) -> bytes:
    return resources.files("openami.diskimage").joinpath("guest", "tiny", name).read_bytes()
