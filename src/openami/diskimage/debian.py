"""Debian 12 as a cloud image: cloud-init with EC2's metadata, ssh, a serial console.

Bootstrapped with mmdebstrap from the build machine's own apt sources; the image itself
names Debian's public ones only, and nothing of the build machine stays in it. The same
packages give the same bytes.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from openami.diskimage import apt_sources
from openami.diskimage.errors import DiskImageError
from openami.diskimage.packages import candidate_versions
from openami.diskimage.rootfs import Recipe, require_tools, write_disk
from openami.diskimage.tools import Progress, require, run

LABEL: Final = "cloudimg-rootfs"
SIZE_MIB: Final = 2048
_ESP_MIB: Final = 16
_ETC_APT: Final = Path("/etc/apt")
_KERNEL: Final = "linux-image-cloud-amd64"
PACKAGES: Final = (
    *(_KERNEL, "systemd-sysv", "udev", "dbus", "libpam-systemd"),
    *("cloud-init", "cloud-guest-utils", "e2fsprogs", "fdisk"),
    *("openssh-server", "sudo", "ifupdown", "isc-dhcp-client", "iproute2", "iputils-ping"),
    *("netbase", "ca-certificates", "less", "vim-tiny", "procps", "qemu-guest-agent"),
)
# Only an initrd made at this time, whatever the time is, is the same twice.
_INITRD_TIME: Final = "export SOURCE_DATE_EPOCH=1686355200\n"
_INITRD_CONF: Final = "etc/initramfs-tools/conf.d/build-time"
_GRUB_CFG: Final = f"""\
set timeout=0
serial --unit=0 --speed=115200
terminal_output serial
linux /vmlinuz root=LABEL={LABEL} ro console=tty0 console=ttyS0,115200 consoleblank=0 net.ifnames=0
initrd /initrd.img
boot
"""
_INTERFACES: Final = """\
auto lo
iface lo inet loopback
source /etc/network/interfaces.d/*
"""
_FILES: Final = {
    "etc/fstab": f"LABEL={LABEL} / ext4 defaults,discard,errors=remount-ro 0 1\n",
    "etc/hostname": "debian\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/machine-id": "",
    "etc/resolv.conf": "",  # the build machine's would cost each first boot 40 s
    "etc/apt/sources.list": apt_sources.PUBLIC,
    "etc/network/interfaces": _INTERFACES,
    "boot/grub/grub.cfg": _GRUB_CFG,
    # Said here and not to cloud-init, which would restart sshd on every first boot for it.
    "etc/ssh/sshd_config.d/50-openami.conf": "PasswordAuthentication no\n",
}
# What the build leaves behind, and what would tell of it or of its time: whole, then files only.
_LEFTOVERS: Final = (
    *("dev/*", "run/*", "tmp/*", "var/tmp/*", "root/.ssh", "var/lib/dbus/machine-id"),
    *("var/cache/ldconfig/aux-cache", "var/cache/debconf/*-old", "var/lib/dpkg/*-old"),
    *("etc/*-", "etc/.pwd.lock", _INITRD_CONF, "etc/ssh/ssh_host_*"),
    *("var/lib/systemd/random-seed", "etc/apt/sources.list.d/*", "etc/apt/auth.conf.d/*"),
    "etc/apt/apt.conf.d/99mmdebstrap",
    # These check ext4 on LVM snapshots: there is no LVM, and looking for it costs a boot seconds.
    "etc/systemd/system/*.wants/e2scrub_*",
)
_LEFTOVER_FILES: Final = ("var/log/**/*", "var/cache/apt/**/*", "var/lib/apt/lists/**/*")


def build_debian_12(out: Path, work: Path, progress: Progress, include: Sequence[str]) -> None:
    """Make the sparse raw disk `out` (2 GiB) with the packages of `include` besides PACKAGES.

    `work` is a scratch folder. Takes about a minute and needs root, because packages are
    installed in a chroot. Raises DiskImageError.
    """
    if os.geteuid() != 0:
        raise DiskImageError("building Debian installs its packages in a chroot: run it as root")
    require("mmdebstrap", "apt-get", "apt-cache")
    require_tools()
    tree = work / "debian-tree"
    shutil.rmtree(tree, ignore_errors=True)
    try:
        _bootstrap(tree, work, progress, sorted({*PACKAGES, *include}))
        progress("making it a cloud image")
        epoch_s = newest_packaged_s(tree)
        _configure(tree)
        _clean(tree)
        _cap_times(tree, epoch_s)
        recipe = Recipe(
            size_mib=SIZE_MIB, esp_mib=_ESP_MIB, label=LABEL, seed="debian-12", epoch_s=epoch_s
        )
        write_disk(tree, out, work, recipe, progress)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    progress("done")


def versions() -> str:
    """The packages that a build would install by name, with versions, as one line."""
    found = candidate_versions(PACKAGES)
    return " ".join(f"{name}={version}" for name, version in sorted(found.items()))


def _bootstrap(tree: Path, work: Path, progress: Progress, packages: Sequence[str]) -> None:
    progress(f"installing {len(packages)} packages and what they need")
    sources, conf = work / "build.list", work / "initrd-time"
    sources.write_text("".join(f"{entry}\n" for entry in apt_sources.for_build(_ETC_APT)))
    conf.write_text(_INITRD_TIME)
    hook = f'install -D -m 644 {conf} "$1/{_INITRD_CONF}"'
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"]
    command += [f"--include={','.join(packages)}", f"--essential-hook={hook}"]
    run([*command, "bookworm", str(tree), str(sources)], variables={"TMPDIR": str(work)})


def newest_packaged_s(tree: Path) -> int:
    """The time of the newest file that came in a package, by dpkg's own lists; Unix seconds."""
    newest = 0
    for listing in (tree / "var/lib/dpkg/info").glob("*.list"):
        for line in listing.read_text().splitlines():
            path = tree / line.lstrip("/")
            if line.startswith("/usr/") and path.is_file() and not path.is_symlink():
                newest = max(newest, int(path.stat().st_mtime))
    return newest


def _configure(tree: Path) -> None:
    for name, text in _FILES.items():
        path = tree / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    cloud = (
        resources.files("openami.diskimage").joinpath("guest", "debian", "cloud.cfg").read_bytes()
    )
    (tree / "etc/cloud/cloud.cfg.d/90_openami.cfg").write_bytes(cloud)
    shadow = tree / "etc/shadow"
    # The day of the last password change is the day of the build: no password, no day.
    lines = [line.split(":") for line in shadow.read_text().splitlines()]
    shadow.write_text("".join(":".join([*f[:2], "19000", *f[3:]]) + "\n" for f in lines))


def _clean(tree: Path) -> None:
    for path in [path for pattern in _LEFTOVERS for path in tree.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in [path for pattern in _LEFTOVER_FILES for path in tree.glob(pattern)]:
        if not path.is_dir():
            path.unlink()


def _cap_times(tree: Path, epoch_s: int) -> None:
    """What was made during the build gets the packages' newest time; older times stay.

    Not one time for all: Python's compiled files name the time of their source.
    """
    for path in _everything(tree):
        mtime = min(int(path.lstat().st_mtime), epoch_s)
        os.utime(path, (mtime, mtime), follow_symlinks=False)


def _everything(tree: Path) -> Iterator[Path]:
    yield from tree.rglob("*")
    yield tree
