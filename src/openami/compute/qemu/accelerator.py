"""Which accelerator this host really has, found out by booting something (DESIGN D16).

/dev/kvm may open and still not boot anything: some nested hosts fail as soon as a kernel
leaves the low addresses. kvm_probe.asm does what kernels do, in 512 bytes; whatever does not
end it in time and with its own exit code is no KVM for us.
"""

import json
import logging
import os
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.compute.driver import MachineFailed
from openami.compute.qemu import process
from openami.compute.qemu.command_line import MACHINE_TYPE, QEMU

DEADLINE_S: Final = 1.5
KVM_DEVICE: Final = Path("/dev/kvm")
_SUCCESS: Final = "exited with code 131"  # 0x41 * 2 + 1, see kvm_probe.asm
_CACHE_BYTES_MAX: Final = 4096
_PROBE: Final = bytes.fromhex(
    "ea057c0000fa6631c08ed88ed0bc007c0f0116207d0f20c00c010f22c0ea227c080066b810008ed88ec08ed0"
    "bc007c0000bf00000100b90010000031c0f3abc7050000010003100100c705f80f010003100100c705001001"
    "0003200100c705f01f010003200100c70500200100830000000f20e083c8200f22e0b8000001000f22d8b980"
    "0000c00f320d000100000f300f20c00d000000800f22c0eaa27c0000180048b8ae7c0080ffffffffffe048c7"
    "c4007c008048c7c30030018048b8fb7c0080ffffffff6689433066c74332180066c74334008e48c1e8106689"
    "433648c1e8108943380f011d3a00000031c9cc80f941750488c8e6f4f4ebfdb14148cf900000000000000000"
    "ffff0000009acf00ffff00000092cf00ffff0000009aaf001f00007d0000ff0f00300180ffffffff"
)
BOOT_SECTOR: Final = _PROBE.ljust(510, b"\0") + b"\x55\xaa"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    accelerator: str  # "kvm" or "tcg"
    because: str


def accelerator(wanted: str, cache: Path, uid: int) -> str:
    """ "kvm" or "tcg"; `wanted` is the setting: "auto" tries, once per boot and QEMU.

    `uid` is the user that the trial runs as. The answer is kept in the file `cache`.
    """
    if wanted != "auto":
        return wanted
    key = f"{process.boot_id()} {qemu_version()}"
    verdict = _remembered(cache, key)
    if verdict is None:
        verdict = trial("kvm", uid) if KVM_DEVICE.exists() else _no_device()
        _log.warning("machines run on %s: %s", verdict.accelerator, verdict.because)
        told = {"key": key, "accelerator": verdict.accelerator, "because": verdict.because}
        staged = cache.with_name(f"{cache.name}.new")
        staged.write_text(json.dumps(told))
        staged.rename(cache)
    return verdict.accelerator


def trial(candidate: str, uid: int) -> Verdict:
    """Boot the probe on `candidate`, as the user `uid`, within the deadline."""
    boot = os.memfd_create("openami-probe", os.MFD_CLOEXEC)
    log = os.memfd_create("openami-probe-log", os.MFD_CLOEXEC)
    try:
        os.write(boot, BOOT_SECTOR)
        how = _run(_probe_command(candidate, boot), uid, boot, log)
        said = os.pread(log, 1000, 0).decode(errors="replace").split("\n")[0].strip()
    except MachineFailed as wrong:
        how, said = str(wrong), ""
    finally:
        os.close(boot)
        os.close(log)
    if how == _SUCCESS:
        return Verdict(accelerator=candidate, because="a trial boot went through")
    return Verdict(
        accelerator="tcg", because=f"a trial boot on {candidate} {how}; {said}".rstrip("; ")
    )


def kvm_groups() -> Sequence[int]:
    """The group that a machine's process needs to open /dev/kvm, if a group may."""
    try:
        status = KVM_DEVICE.stat()
    except FileNotFoundError:
        return ()
    may = status.st_mode & stat.S_IRGRP and status.st_mode & stat.S_IWGRP
    return (status.st_gid,) if may and status.st_gid != 0 else ()


def qemu_version() -> str:
    """The first line of what QEMU says of itself. Raises MachineFailed if there is no QEMU."""
    try:
        done = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as wrong:
        raise MachineFailed(f"{QEMU} does not run: {wrong}") from wrong
    return done.stdout.split("\n")[0]


def _no_device() -> Verdict:
    return Verdict(accelerator="tcg", because=f"there is no {KVM_DEVICE}")


def _probe_command(candidate: str, boot: int) -> list[str]:
    return [
        *(QEMU, "-machine", MACHINE_TYPE, "-accel", candidate, "-m", "32", "-display", "none"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-add-fd", f"fd={boot},set=1"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
        *("-blockdev", "driver=file,node-name=boot,filename=/dev/fdset/1"),
        *("-device", "ide-hd,drive=boot"),
    ]


def _run(argv: list[str], uid: int, boot: int, log: int) -> str:
    pid = process.spawn(argv, uid, kvm_groups(), [boot], log)
    pidfd = os.pidfd_open(pid)  # ours and not waited for yet: it cannot be another process
    try:
        if process.has_ended(pidfd, DEADLINE_S):
            return process.exit_status(pidfd)
        process.kill(pidfd)
        process.has_ended(pidfd, DEADLINE_S)
        process.exit_status(pidfd)
        return f"did not end within {DEADLINE_S} s"
    finally:
        os.close(pidfd)


def _remembered(cache: Path, key: str) -> Verdict | None:
    try:
        with cache.open("rb") as file:
            told = json.loads(file.read(_CACHE_BYTES_MAX))
        if told["key"] != key:
            return None
        return Verdict(accelerator=told["accelerator"], because=told["because"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
