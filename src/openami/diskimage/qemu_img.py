"""qemu-img on disks that we do not trust: alone, poor, without network, for one file only.

The process gets no path: it opens descriptors of ours by number, as an unprivileged user
when we are root, with limits on memory, processor time and what it may write, in a network
namespace of its own. The driver is always named, so QEMU never probes, and a file that
names another is refused before QEMU sees it (formats.py). Source: qemu-img(1); QEMU manual,
"Disk images".
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from openami.diskimage import formats
from openami.diskimage.errors import DiskImageError, DiskRejected
from openami.diskimage.formats import DiskFormat
from openami.diskimage.readable import LOOK_EVERY_S, Watch, nobody_watches, readable
from openami.diskimage.tools import find

_DRIVERS: Final = {
    DiskFormat.RAW: "raw",
    DiskFormat.QCOW2: "qcow2",
    DiskFormat.VMDK: "vmdk",
    DiskFormat.VHD: "vpc",
    DiskFormat.VHDX: "vhdx",
}
_WRITTEN_AS: Final = {
    DiskFormat.VMDK: "subformat=streamOptimized,adapter_type=lsilogic",
    DiskFormat.VHD: "subformat=dynamic,force_size=on",
}
_FORMAT_BYTES: Final = 64 << 20  # more than the tables of a small disk, whatever its format
_WITH_BACKING: Final = (DiskFormat.QCOW2, DiskFormat.VMDK)
# Of these a small file may hold much: blocks are compressed, or many are the same one. QEMU does
# not tell the holes of a VHDX, so that an honest one would seem to need all of its size.
_MEASURED: Final = (DiskFormat.QCOW2, DiskFormat.VMDK, DiskFormat.VHD)
_CHECKABLE: Final = (DiskFormat.QCOW2, DiskFormat.VMDK, DiskFormat.VHDX)
_CHECK_CORRUPT: Final = 2  # qemu-img check's exit status; 3 is leaked clusters, which lose nothing
# One arena and small stacks: what 64 threads of qemu-img reserve (8 MiB of stack and, each on its
# own, 64 MiB of heap) would be more address space than it may have, and it aborts on honest disks.
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "MALLOC_ARENA_MAX": "1"}
_STACK_BYTES: Final = 1024 * 1024

Needs = Callable[[int], None]
"""Told how many bytes are about to be written at most; what it raises ends the work."""


def nobody_counts(needed_bytes: int) -> None:
    """For work that takes the room that it finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run of qemu-img may use. `uid` is who it runs as when we are root."""

    memory_bytes: int = 1 << 30
    cpu_s: int = 3600
    wall_s: float = 7200.0
    virtual_size_bytes_max: int = formats.SIZE_BYTES_MAX
    uid: int = 65534


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskInfo:
    format: DiskFormat
    virtual_size_bytes: int
    file_size_bytes: int


def inspect(
    source: Path | BinaryIO,
    disk_format: DiskFormat | None = None,
    limits: Limits = DEFAULT_LIMITS,
    watch: Watch = nobody_watches,
) -> DiskInfo:
    """What the disk is. With `disk_format` it is read as that, else by its own mark.

    Raises DiskRejected with a sentence for its sender, DiskImageError for the host's faults.
    """
    with readable(source, limits.uid, watch) as file:
        return _inspect(file, disk_format or formats.detect(file), limits, watch)


def convert_to_raw(
    source: Path | BinaryIO,
    disk_format: DiskFormat,
    out: Path,
    limits: Limits = DEFAULT_LIMITS,
    watch: Watch = nobody_watches,
    needs: Needs = nobody_counts,
) -> DiskInfo:
    """Write the disk's content to the new sparse file `out`, which is whole or not there.

    Raises DiskRejected with a sentence for its sender, DiskImageError for the host's faults, and
    what `watch` and `needs` raise.
    """
    with readable(source, limits.uid, watch) as file:
        info = _inspect(file, disk_format, limits, watch)
        needs(_data_bytes(file, info, limits, watch))
        with _new(out, limits.uid) as target:
            _fill(file, info, target, limits, watch)
    return info


def convert_from_raw(
    path: Path,
    disk_format: DiskFormat,
    out: Path,
    limits: Limits = DEFAULT_LIMITS,
    watch: Watch = nobody_watches,
) -> None:
    """Write a raw disk of ours as the new file `out` (vmdk or vhd), which is whole or not there.

    A vmdk is streamOptimized; a vhd is dynamic and has the disk's size, not one of cylinders.
    Raises DiskRejected for a disk that the format cannot hold, DiskImageError for the host, and
    what `watch` raises.
    """
    with readable(path, limits.uid, watch) as file:
        size = os.fstat(file.fileno()).st_size
        with _new(out, limits.uid) as target:
            command = ["convert", "-S", "4k", "-O", _DRIVERS[disk_format]]
            command += ["-o", _WRITTEN_AS[disk_format]]
            command += [_source(file, DiskFormat.RAW), f"/proc/self/fd/{target.fileno()}"]
            write_bytes = size + size // 64 + _FORMAT_BYTES
            _qemu_img(command, (file, target), write_bytes, limits, disk_format, watch)


@contextmanager
def _new(out: Path, uid: int) -> Generator[BinaryIO]:
    """A new file that `uid` may write for this long: durable after it, gone if it fails."""
    try:
        with out.open("xb+") as target:
            descriptor = target.fileno()
            if os.geteuid() == 0:
                os.fchown(descriptor, uid, -1)
            yield target
            if os.geteuid() == 0:
                os.fchown(descriptor, 0, -1)
            os.fsync(descriptor)
    except BaseException as failure:
        if not isinstance(failure, FileExistsError):
            out.unlink(missing_ok=True)
        raise


def _inspect(
    file: BinaryIO, disk_format: DiskFormat, limits: Limits, watch: Watch = nobody_watches
) -> DiskInfo:
    formats.check(file, disk_format)
    file_size = os.fstat(file.fileno()).st_size
    size = file_size
    if disk_format is not DiskFormat.RAW:
        told = _qemu_img(
            ["info", "--output=json", _source(file, disk_format)], (file,), 0, limits, disk_format
        )
        size = int(cast("dict[str, Any]", json.loads(told))["virtual-size"])
    formats.check_size(size)
    if size > limits.virtual_size_bytes_max:
        raise DiskRejected(
            f"The disk has {size} bytes; at most {limits.virtual_size_bytes_max} are taken."
        )
    if disk_format in _CHECKABLE:
        command = ["check", "-q", "--output=human", _source(file, disk_format)]
        _qemu_img(command, (file,), 0, limits, disk_format, watch)
    return DiskInfo(format=disk_format, virtual_size_bytes=size, file_size_bytes=file_size)


def _data_bytes(file: BinaryIO, info: DiskInfo, limits: Limits, watch: Watch) -> int:
    """At most so many bytes of the disk are not holes.

    What the disk would take as a qcow2, where its file may be smaller; else the file has them all.
    """
    if info.format not in _MEASURED:
        return min(info.virtual_size_bytes, info.file_size_bytes)
    command = ["measure", "--output=json", "-O", "qcow2", _source(file, info.format)]
    told = _qemu_img(command, (file,), 0, limits, info.format, watch)
    measured = int(cast("dict[str, Any]", json.loads(told))["required"])
    return min(info.virtual_size_bytes, measured)


def _fill(file: BinaryIO, info: DiskInfo, target: BinaryIO, limits: Limits, watch: Watch) -> None:
    descriptor = target.fileno()
    os.ftruncate(descriptor, info.virtual_size_bytes)
    # The target exists and is zero, so only data is written and the rest stays a hole.
    command = ["convert", "-n", "--target-is-zero", "-S", "4k", "-O", "raw"]
    command += [_source(file, info.format), f"/proc/self/fd/{descriptor}"]
    _qemu_img(command, (file, target), info.virtual_size_bytes, limits, info.format, watch)


def _source(file: BinaryIO, disk_format: DiskFormat) -> str:
    """The block device as QEMU's JSON, all of it ours: nothing of it comes from the sender."""
    protocol = {"driver": "file", "filename": f"/proc/self/fd/{file.fileno()}"}
    node: dict[str, object] = {"driver": _DRIVERS[disk_format], "file": protocol}
    if disk_format in _WITH_BACKING:
        node["backing"] = None
    return f"json:{json.dumps(node)}"


def _qemu_img(
    arguments: Sequence[str],
    files: Sequence[BinaryIO],
    write_bytes: int,
    limits: Limits,
    disk_format: DiskFormat,
    watch: Watch = nobody_watches,
) -> str:
    command = [*_confinement(limits, write_bytes), find("qemu-img"), *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
        cwd="/",
        pass_fds=[file.fileno() for file in files],
    ) as process:
        try:
            output, errors = _said(process, limits.wall_s, watch)
        except subprocess.TimeoutExpired:
            raise DiskRejected(f"The {disk_format} disk takes too long to read.") from None
    said = (errors or output).decode(errors="replace").strip()
    leaks_only = arguments[0] == "check" and process.returncode == 3
    if process.returncode != 0 and not leaks_only:
        raise _failure(arguments[0], process.returncode, said, disk_format)
    return output.decode(errors="replace")


def _said(process: subprocess.Popen[bytes], wall_s: float, watch: Watch) -> tuple[bytes, bytes]:
    """What it wrote until its end. Whatever is raised, it has ended."""
    deadline = time.monotonic() + wall_s
    try:
        while True:
            left_s = deadline - time.monotonic()
            try:
                return process.communicate(timeout=max(0.0, min(LOOK_EVERY_S, left_s)))
            except subprocess.TimeoutExpired:
                if left_s <= 0:
                    raise
            watch()
    except BaseException:
        process.kill()
        process.wait()
        raise


def _failure(verb: str, status: int, said: str, disk_format: DiskFormat) -> Exception:
    if status in (126, 127) or re.match(r"(env|unshare|setpriv|prlimit):", said):
        return DiskImageError(f"qemu-img cannot be started confined: {said[-500:]}")
    for of_the_host in ("No space left on device", "Input/output error", "Permission denied"):
        if of_the_host in said:
            return DiskImageError(f"qemu-img {verb}: {said[-500:]}")
    if status < 0 or "llocat" in said:
        return DiskRejected(
            f"The {disk_format} disk is not valid: reading it takes more than is allowed."
        )
    if verb == "check" and status == _CHECK_CORRUPT:
        return DiskRejected(f"The {disk_format} disk is corrupt or truncated.")
    return DiskRejected(f"The {disk_format} disk cannot be read: {_reason(said)}.")


def _reason(said: str) -> str:
    """QEMU's last words without the names of our files."""
    line = said.splitlines()[-1] if said else "no reason told"
    line = re.sub(
        r"'(json:\{.*\}|/proc/self/fd/\d+)'|json:\{.*\}|/proc/self/fd/\d+", "the file", line
    )
    return line.removeprefix("qemu-img: ").strip(". ")[:200]


def _confinement(limits: Limits, write_bytes: int) -> list[str]:
    # The address space also holds what is mapped and not used, such as threads' stacks.
    space = [f"--as={limits.memory_bytes}", f"--stack={_STACK_BYTES}"]
    caps = [*space, f"--cpu={limits.cpu_s}", "--core=0", "--nofile=64"]
    limited = [find("prlimit"), *caps, f"--fsize={write_bytes}", "--"]
    if os.geteuid() != 0:
        return [find("setpriv"), "--no-new-privs", *limited]
    user = [f"--reuid={limits.uid}", f"--regid={limits.uid}", "--clear-groups"]
    powers = ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    return [find("unshare"), "--net", "--ipc", find("setpriv"), *user, *powers, *limited]
