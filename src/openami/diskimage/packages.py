"""Debian packages as material: fetched with the machine's own apt, unpacked, never installed."""

import re
from collections.abc import Iterable
from pathlib import Path

from openami.diskimage.errors import DiskImageError
from openami.diskimage.tools import run


def candidate_versions(packages: Iterable[str]) -> dict[str, str]:
    """Package → the version that apt would install. Raises DiskImageError if it knows none."""
    return {name: _field(stanza, name, "Version") for name, stanza in _known(packages).items()}


def kernel_package(meta_package: str) -> str:
    """The package with the kernel that `meta_package`, such as linux-image-cloud-amd64, names."""
    needs = _field(_known([meta_package])[meta_package], meta_package, "Depends")
    found = re.search(r"linux-image-[0-9][^\s,]*", needs)
    if found is None:
        raise DiskImageError(f"{meta_package} names no kernel")
    return found.group()


def unpack(package: str, cache: Path, into: Path) -> None:
    """Put the package's files under `into`; its .deb is kept in `cache`. Raises DiskImageError."""
    version = candidate_versions([package])[package]
    folder = cache / f"{package}_{version.replace(':', '%3a')}"
    if not list(folder.glob("*.deb")):
        folder.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "download", "-qq", f"{package}={version}"], cwd=folder)
    into.mkdir(parents=True, exist_ok=True)
    run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(into)])


def _known(packages: Iterable[str]) -> dict[str, str]:
    """What apt says of each, in one call: reading its lists takes a second."""
    wanted = sorted(set(packages))
    told = run(["apt-cache", "show", "--no-all-versions", *wanted])
    known = {_field(stanza, "?", "Package"): stanza for stanza in told.strip().split("\n\n")}
    for name in wanted:
        if name not in known:
            raise DiskImageError(f"apt knows no package {name}: run apt-get update")
    return known


def _field(stanza: str, package: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", stanza, re.MULTILINE)
    if found is None:
        raise DiskImageError(f"apt tells no {name} of {package}: run apt-get update")
    return found.group(1)
