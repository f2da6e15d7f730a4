"""Real guest disks for tests, each built once and kept for as long as its recipe is the same."""

import os
from pathlib import Path

from openami.diskimage.build_cache import built


def cache_dir() -> Path:
    """$OPENAMI_BUILD_CACHE, or ~/.cache/openami."""
    return Path(os.environ.get("OPENAMI_BUILD_CACHE") or Path.home() / ".cache" / "openami")


def tiny_disk() -> Path:
    """A 64 MiB raw disk that boots in seconds and prints "tiny: READY". Never write to it."""
    return built("tiny", cache_dir(), print)


def debian_disk() -> Path:
    """A 2 GiB raw disk with Debian 12 and cloud-init. Never write to it."""
    return built("debian-12", cache_dir(), print)
