"""Runs the programs that images are made with, and says which Debian package lacks if one does."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from openami.diskimage.errors import DiskImageError

Progress = Callable[[str], None]
"""Told one short sentence at the start of each step of a long work."""

PACKAGE_OF: Final = {
    "apt-cache": "apt",
    "apt-get": "apt",
    "debugfs": "e2fsprogs",
    "dpkg-deb": "dpkg",
    "dumpe2fs": "e2fsprogs",
    "fakeroot": "fakeroot",
    "grub-mkimage": "grub-common",
    "mcopy": "mtools",
    "mformat": "mtools",
    "mke2fs": "e2fsprogs",
    "mmd": "mtools",
    "mmdebstrap": "mmdebstrap",
    "prlimit": "util-linux",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
_OUTPUT_TAIL: Final = 2000  # characters of a failed program's output that are told


def find(program: str) -> str:
    """Where `program` is. Raises DiskImageError that names the package to install."""
    found = shutil.which(program) or shutil.which(program, path=_SYSTEM_PATH)
    if found is None:
        package = PACKAGE_OF.get(program, program)
        raise DiskImageError(f"{program} is not installed: apt-get install {package}")
    return found


def require(*programs: str) -> None:
    """Raise one DiskImageError that names every package lacking of `programs`."""
    lacking: dict[str, str] = {}
    for program in programs:
        if not shutil.which(program) and not shutil.which(program, path=_SYSTEM_PATH):
            lacking[program] = PACKAGE_OF.get(program, program)
    if lacking:
        packages = " ".join(sorted(set(lacking.values())))
        raise DiskImageError(
            f"{', '.join(sorted(lacking))} not installed: apt-get install {packages}"
        )


def run(
    argv: Sequence[str], *, variables: Mapping[str, str] | None = None, cwd: Path | None = None
) -> str:
    """Run a program to its end and return what it printed; its standard input is empty.

    The messages are English whatever the host speaks. Raises DiskImageError with the end
    of the program's output when it fails.
    """
    settings = {"LC_ALL": "C.UTF-8", **(variables or {})}
    # env(1) adds to the environment without this process reading its own.
    command = ["env", *(f"{name}={value}" for name, value in settings.items())]
    command += [find(argv[0]), *argv[1:]]
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode(errors="replace").strip()[-_OUTPUT_TAIL:]
        raise DiskImageError(f"{argv[0]} failed with status {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")


def as_root(argv: Sequence[str]) -> list[str]:
    """The command, under fakeroot unless we are root: files of ours then count as root's."""
    return list(argv) if os.geteuid() == 0 else ["fakeroot", *argv]
