"""Debian packages as material: fetched with the machine's own apt, unpacked, never installed."""

import re
from pathlib import Path

from openami.diskimage.errors import DiskImageError
from openami.diskimage.tools import run


def candidate_version(package: str) -> str:
    """The version that apt would install. Raises DiskImageError if it knows none."""
    return _field(package, "Version")


def kernel_package(meta_package: str) -> str:
    """The package with the kernel that `meta_package`, such as linux-image-cloud-amd64, names."""
    found = re.search(r"linux-image-[0-9][^\s,]*", _field(meta_package, "Depends"))
    if found is None:
        raise DiskImageError(f"{meta_package} names no kernel")
    return found.group()


def unpack(package: str, cache: Path, into: Path) -> None:
    """Put the package's files under `into`; its .deb is kept in `cache`. Raises DiskImageError."""
    version = candidate_version(package)
    folder = cache / f"{package}_{version.replace(':', '%3a')}"
    if not list(folder.glob("*.deb")):
        folder.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "download", "-qq", f"{package}={version}"], cwd=folder)
    into.mkdir(parents=True, exist_ok=True)
    run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(into)])


def _field(package: str, name: str) -> str:
    told = run(["apt-cache", "show", "--no-all-versions", package])
    found = re.search(rf"^{name}: (.*)$", told, re.MULTILINE)
    if found is None:
        raise DiskImageError(f"apt knows no package {package}: run apt-get update")
    return found.group(1)
