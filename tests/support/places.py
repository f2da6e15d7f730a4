"""Whether this machine has the room to keep the files of tests in memory."""

import os
import shutil
from pathlib import Path
from typing import Final

IN_MEMORY: Final = Path("/dev/shm")
NEEDED_FREE_BYTES: Final = 6 << 30
NEEDED_AVAILABLE_BYTES: Final = 12 << 30  # guests have theirs of it as well


def has_room_in_memory() -> bool:
    if not os.access(IN_MEMORY, os.W_OK | os.X_OK):
        return False
    if os.statvfs(IN_MEMORY).f_flag & (os.ST_NOEXEC | os.ST_NODEV):  # as containers have it
        return False
    free = shutil.disk_usage(IN_MEMORY).free
    return free >= NEEDED_FREE_BYTES and _available_bytes() >= NEEDED_AVAILABLE_BYTES


def _available_bytes() -> int:
    """proc(5): what programs can have without anything being swapped out."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, value = line.split(":")
        if name == "MemAvailable":
            return int(value.split()[0]) << 10
    return 0
