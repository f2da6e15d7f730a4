"""P2: RunInstances until QMP says running, beside doing it by hand."""

import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import peers
from bench.live_server import LiveServer, room_for_machines, serving
from bench.measure import Line, Sample, beside, rounds

TAP = "oabench0"
GATE, AMBITION = 1 / 1.5, 1 / 1.1
ROUNDS_MIN = 9
BASE_DEADLINE_S = 60


def bench(_scratch: Path, count: int) -> list[Line]:
    peers.install("qemu-img")
    with room_for_machines() as directory, serving(directory / "state", _disk(directory)) as server:
        first = server.launch()  # P1 measures those that come before their disks
        base = _awaited_base(directory)
        server.terminate(first)
        template = server.launch()  # its VPC has a machine already, as it has in a busy service
        with _tap():
            by_hand = ByHand.like(server.machine_arguments(template), directory, base)
            samples = rounds(
                {"openami": lambda _: _ours(server), "qemu by hand": lambda _: by_hand.run()},
                max(count, ROUNDS_MIN),
            )
        server.terminate(template)
    line = beside(
        samples,
        "openami",
        "qemu by hand",
        id="P2",
        what="RunInstances until QMP says running",
        gate=GATE,
        ambition=AMBITION,
        note=NOTE,
    )
    ours, theirs = (_ms(samples[name]) for name in ("openami", "qemu by hand"))
    return [replace(line, ours=ours, peer=theirs)]


def _awaited_base(directory: Path) -> Path:
    """The disk as a file of this host, which the first launch has not waited for."""
    deadline = time.monotonic() + BASE_DEADLINE_S
    while time.monotonic() < deadline:
        for base in (directory / "state" / "cache").glob("*.raw"):
            return base
        time.sleep(0.1)
    raise RuntimeError("the disk does not come to this host")


def _ms(samples: list[Sample]) -> str:
    return f"{1000 * statistics.median(each.wall_s for each in samples):.0f} ms"


def _ours(server: LiveServer) -> Sample:
    request = server.signed(server.run_instances)
    began = time.perf_counter()
    answer = server.send(request)
    wall_s = time.perf_counter() - began
    instance_id = server.instance_id(answer)
    state = server.state(instance_id)
    if state != "running":
        raise RuntimeError(f"{instance_id} is {state} when RunInstances has answered")
    server.terminate(instance_id)
    return Sample(wall_s=wall_s, cpu_s=0, peak_mib=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """The same PC, without anybody's service: qemu-img, qemu, its monitor."""

    arguments: list[str]
    directory: Path
    base: Path

    @classmethod
    def like(cls, arguments: list[str], directory: Path, base: Path) -> "ByHand":
        """From a running machine's arguments: files instead of descriptors."""
        files = {"10": directory / "hand.qcow2", "11": base, "1": directory / "hand.console"}
        kept: list[str] = []
        pairs = iter(arguments)
        for argument in pairs:
            if argument == "-add-fd":
                next(pairs)
                continue
            text = re.sub(r"/dev/fdset/(\d+)", lambda found: str(files[found[1]]), argument)
            text = re.sub(r"(id=monitor),fd=\d+", rf"\1,path={directory}/hand.qmp", text)
            kept.append(re.sub(r"(tap,id=network),fd=\d+", _BY_NAME, text))
        return cls(arguments=[*kept, "-S"], directory=directory, base=base)

    def run(self) -> Sample:
        for name in ("hand.qmp", "hand.qcow2", "hand.console"):
            (self.directory / name).unlink(missing_ok=True)
        overlay = self.directory / "hand.qcow2"
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.base, overlay]
        began = time.perf_counter()
        subprocess.run([*create, "1G"], check=True)
        with subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL) as machine:
            try:
                _continue(machine, self.directory / "hand.qmp")
                wall_s = time.perf_counter() - began
            finally:
                machine.kill()
        return Sample(wall_s=wall_s, cpu_s=0, peak_mib=0)


def _continue(machine: subprocess.Popen[bytes], monitor: Path) -> None:
    with _connected(machine, monitor) as connection, connection.makefile("rwb") as stream:
        json.loads(stream.readline())
        for command in ("qmp_capabilities", "cont", "query-status"):
            stream.write(json.dumps({"execute": command}).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline())
            while "event" in answer:
                answer = json.loads(stream.readline())
        if answer["return"]["status"] != "running":
            raise RuntimeError(f"the machine by hand is {answer}")


def _connected(machine: subprocess.Popen[bytes], monitor: Path) -> socket.socket:
    while True:
        if machine.poll() is not None:
            raise RuntimeError(f"the machine by hand ended with {machine.returncode}")
        connection = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            connection.connect(str(monitor))
            return connection
        connection.close()
        time.sleep(0.0005)


@contextmanager
def _tap() -> Generator[None]:
    """Made before the clock runs, and leading nowhere."""
    subprocess.run(["ip", "tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "delete", TAP], check=True)


def _disk(directory: Path) -> Path:
    """No system to boot: what the guest would do is not measured."""
    disk = directory / "disk.raw"
    with disk.open("wb") as file:
        file.write(os.urandom(8 << 20))
        file.truncate(64 << 20)
    return disk


_BY_NAME = rf"\1,ifname={TAP},script=no,downscript=no"
NOTE = (
    "ours through HTTP on loopback, signed beforehand, with durable rows and volume, network,"
    " firewall and a confined process; by hand as root, the tap made beforehand, nothing synced."
    " A gate of 0.67x allows 1.5 times the time by hand"
)
