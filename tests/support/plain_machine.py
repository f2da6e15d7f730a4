"""A QEMU started by hand, without any of openami: shows that a disk boots by itself.

It has no way out: its network is QEMU's own with `restrict=on`, and the metadata service in
it is a program that QEMU starts for each connection.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

OVMF = Path("/usr/share/OVMF")
CPUS = 2
_TELLING = re.compile(r"CPU#|R[A-Z0-9]{2} ?=|CR0=|0x[0-9a-f]{16}:|I[SR]R\t|Timer\t|ICR")
SERIAL = "vol0123456789abcdef0"
INSTANCE_ID = "i-0123456789abcdef0"
# HTTP on standard input and output, for one request.
_METADATA = """\
import sys
lines = []
for line in sys.stdin.buffer:
    if not line.strip():
        break
    lines.append(line.decode().strip())
method, path, _ = lines[0].split()
token = method == "PUT" or "X-aws-ec2-metadata-token: TOKEN" in lines
body = ANSWERS.get(path) if token else None
status = "200 OK" if body is not None else "404 Not Found"
head = f"HTTP/1.0 {status}\\r\\nContent-Length: {len(body or '')}\\r\\n\\r\\n"
sys.stdout.write(head + (body or ""))
"""


class PlainMachine:
    """One running guest; `console` is all it has printed, without colours."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, answers: Path) -> None:
        self._process, self._log, self._answers = process, log, answers

    @property
    def console(self) -> str:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]", "", text)

    def wait_for(self, pattern: str, timeout_s: float, times: int = 1) -> Self:
        """Until the console holds `pattern` this often; fails with the console's end if not."""
        deadline = time.monotonic() + timeout_s
        while len(re.findall(pattern, self.console)) < times:
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                why = "ended" if ended else f"is late\n{self._where_it_is()}"
                raise AssertionError(f"{pattern!r}: machine {why}\n{self.console[-3000:]}")
            self._pause()
        return self

    def monitor(self, *commands: str) -> None:
        """Commands of QEMU's human monitor."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{command}\n" for command in commands).encode())
        self._process.stdin.flush()

    def wait_off(self, timeout_s: float) -> None:
        self._process.wait(timeout_s)

    def _where_it_is(self) -> str:
        """What each CPU is about to do: tells a guest that hangs from one that is slow."""
        for cpu in range(CPUS):
            self.monitor(f"cpu {cpu}", "info registers", "x /8i $eip", "info lapic")
        self.monitor("print 4321+1234")
        deadline = time.monotonic() + 10
        while "5555" not in self._answers.read_text(errors="replace"):
            if time.monotonic() > deadline:
                return "its monitor does not answer"
            self._pause()
        lines = self._answers.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if _TELLING.match(line))

    def _pause(self) -> None:
        try:
            self._process.wait(0.05)
        except subprocess.TimeoutExpired:
            return


@contextmanager
def plain_machine(
    disk: Path,
    work: Path,
    *,
    memory_mib: int = 256,
    uefi: bool = False,
    metadata: dict[str, str] | None = None,
) -> Generator[PlainMachine]:
    """Boot `disk`, writing to it. `metadata` is path → answer; without it there is no network."""
    log = work / "console.log"
    log.unlink(missing_ok=True)
    command = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg,thread=multi,tb-size=128"]
    command += ["-m", str(memory_mib), "-smp", str(CPUS), "-nodefaults", "-display", "none"]
    command += ["-serial", f"file:{log}", "-monitor", "stdio", "-device", "virtio-rng-pci"]
    command += ["-drive", f"file={disk},if=none,id=root,format=raw,cache=unsafe"]
    command += ["-device", f"virtio-blk-pci,drive=root,serial={SERIAL}"]
    command += _firmware(work) if uefi else []
    command += _network(work, metadata) if metadata is not None else []
    answers = work / "monitor.log"
    with answers.open("wb") as told:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=told, stderr=subprocess.STDOUT
        )
    try:
        yield PlainMachine(process, log, answers)
    finally:
        process.kill()
        process.communicate()


def a_copy(disk: Path, work: Path, size_bytes: int | None = None) -> Path:
    """A sparse copy of the disk that a guest may write to, larger if asked."""
    copy = work / "disk.raw"
    subprocess.run(["cp", "--sparse=always", disk, copy], check=True)
    copy.chmod(0o600)
    if size_bytes is not None:
        with copy.open("r+b") as file:
            file.truncate(size_bytes)
    return copy


def _firmware(work: Path) -> Sequence[str]:
    variables = work / "variables.fd"
    shutil.copyfile(OVMF / "OVMF_VARS_4M.fd", variables)
    code = f"if=pflash,format=raw,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}"
    return ["-drive", code, "-drive", f"if=pflash,format=raw,file={variables}"]


def _network(work: Path, metadata: dict[str, str]) -> Sequence[str]:
    program = work / "metadata.py"
    answers = {f"/latest/{path}": text for path, text in metadata.items()}
    program.write_text(f"ANSWERS = {answers!r}\n{_METADATA}")
    user = "user,id=net,restrict=on,net=169.254.0.0/16,host=169.254.0.1,dhcpstart=169.254.10.10"
    relay = f"guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} {program}"
    return ["-netdev", f"{user},{relay}", "-device", "virtio-net-pci,netdev=net,romfile="]
