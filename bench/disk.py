"""The disk that is measured with: 1.2 GiB of this machine's own programs, as ext4 in 2 GiB."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from openami.diskimage.build_cache import built

SOURCES = ("bin", "share")
BUILD_CACHE = Path(os.environ.get("OPENAMI_BUILD_CACHE") or Path.home() / ".cache" / "openami")


def bootable_disk(name: str) -> Path:
    """`tiny` or `debian-12`, built once, as the demo does it."""
    return built(name, BUILD_CACHE, lambda told: print(f"  {told}", flush=True))


def tiny_and_data(scratch: Path, part: Path, data_bytes: int) -> Path:
    """A system that boots in seconds, and behind it what makes the image worth waiting for."""
    whole = part / "tiny-and-data.raw"
    shutil.copyfile(bootable_disk("tiny"), whole)
    with realistic_disk(scratch).open("rb") as data, whole.open("ab") as file:
        file.write(data.read(data_bytes))
    return whole


def realistic_disk(scratch: Path) -> Path:
    """Made once; kept for later runs."""
    disk = scratch / "disk.raw"
    if not disk.exists():
        print("making a disk of /usr/bin and /usr/share", flush=True)
        ext4_of(SOURCES, disk, 2 << 30)
    return disk


def ext4_of(names: Sequence[str], disk: Path, size_bytes: int) -> Path:
    """Of these directories of /usr, without a mount, with fixed ids and times."""
    tree, draft = disk.with_name("tree"), disk.with_name("disk.draft")
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in names:
        subprocess.run(["cp", "-a", f"/usr/{name}", tree / name], check=True)
    draft.unlink(missing_ok=True)
    with draft.open("wb") as file:
        file.truncate(size_bytes)
    seed = "00000000-0000-0000-0000-000000000001"
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-U", seed, "-E", f"hash_seed={seed}", "-d", tree, draft],
        check=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "E2FSPROGS_FAKE_TIME": "1700000000"},
    )
    shutil.rmtree(tree)
    draft.rename(disk)
    return disk
