"""The tools we are measured beside, from the distribution."""

import shutil
import subprocess

PACKAGES = {
    "restic": "restic",
    "borg": "borgbackup",
    "casync": "casync",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "zstd": "zstd",
    "nbdkit": "nbdkit",
    "qemu-nbd": "qemu-utils",
}
VERSION = {
    "restic": ["restic", "version"],
    "borg": ["borg", "--version"],
    "casync": ["casync", "--version"],
    "qemu-img": ["qemu-img", "--version"],
    "zstd": ["zstd", "-qV"],
    "nbdkit": ["nbdkit", "--version"],
}


def install(*tools: str) -> None:
    """Install what is missing, and say so. Raises CalledProcessError where apt-get cannot."""
    missing = [PACKAGES[tool] for tool in tools if shutil.which(tool) is None]
    if missing:
        print(f"installing {' '.join(missing)} to be measured beside", flush=True)
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def versions() -> dict[str, str]:
    """Of those that are installed; "?" where one does not say. The table does not wait for it."""
    return {tool: _version(command) for tool, command in VERSION.items() if shutil.which(tool)}


def _version(command: list[str]) -> str:
    try:
        said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return "?"
    return next((word for word in said.stdout.split() if word[0].isdigit()), "?")
