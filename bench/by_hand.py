"""Launching a machine by openami, and the same PC by hand: what P2 and P3 compare."""

import contextlib
import json
import re
import resource
import socket
import subprocess
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import asked
from bench.live_server import LiveServer, until
from bench.measure import BRIEF_S, Sample, busy_s, cores_in_use
from openami.blockstore.disk_sync import sync_directory, sync_file

TAP = "oabench0"
_BY_NAME = rf"\1,ifname={TAP},script=no,downscript=no"


def brought_to_hand(server: LiveServer, timeout_s: float) -> Path:
    """The image's disk as a file of this host, which the first launch has not waited for."""
    first = server.launch()  # P1 measures those that come before their disks
    until(lambda: any(_bases(server)), "the disk comes to this host", timeout_s)
    server.terminate(first)
    return next(_bases(server))


def _bases(server: LiveServer) -> Iterator[Path]:
    return (server.state_dir / "cache").glob("*.raw")


def launched(server: LiveServer) -> Sample:
    """RunInstances until it answers. Raises RuntimeError if nothing runs then."""
    request, others = server.signed(server.run_instances), cores_in_use()
    before_s, began = asked.cpu_s(server.pid), time.perf_counter()
    answer = server.send(request)
    wall_s = time.perf_counter() - began
    used_s = asked.cpu_s(server.pid) - before_s
    instance_id = server.instance_id(answer)
    state = server.state(instance_id)
    if state != "running":
        raise RuntimeError(f"{instance_id} is {state} when RunInstances has answered")
    server.terminate(instance_id)
    peak_mib = asked.resident_mib(server.pid)
    return Sample(wall_s=wall_s, cpu_s=used_s, peak_mib=peak_mib, other_cores=others)


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
            for chardev, name in (("monitor", "qmp"), ("agent", "agent")):
                path = rf"\1,path={directory}/hand.{name}"
                text = re.sub(rf"(id={chardev}),fd=\d+", path, text)
            kept.append(re.sub(r"(tap,id=network),fd=\d+", _BY_NAME, text))
        return cls(arguments=[*kept, "-S"], directory=directory, base=base)

    def run(self) -> Sample:
        """On a new overlay of the image, which is as durable as ours."""
        options = ["-q", "-f", "qcow2", "-F", "raw", "-b", self.base]
        return self._run(["qemu-img", "create", *options, self._disk, "1G"])

    def run_on_a_copy(self) -> Sample:
        """On a whole copy of the image, which is as durable as our volume.

        By itself qemu-img writes copies with the cache mode `unsafe` and flushes nothing. Past the
        page cache it copies faster than into it with a sync afterwards.
        """
        options = ["-m", "16", "-W", "-t", "none", "-f", "raw", "-O", "qcow2"]
        return self._run(["qemu-img", "convert", *options, self.base, self._disk])

    @property
    def _disk(self) -> Path:
        return self.directory / "hand.qcow2"

    def _run(self, make: Sequence[str | Path]) -> Sample:
        for name in ("hand.qmp", "hand.agent", "hand.qcow2", "hand.console"):
            (self.directory / name).unlink(missing_ok=True)
        others, all_s = cores_in_use(), busy_s()
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(make, check=True)
        sync_file(self._disk)
        sync_directory(self.directory)
        with subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL) as machine:
            try:
                _continue(machine, self.directory / "hand.qmp")
                wall_s = time.perf_counter() - began
            finally:
                machine.kill()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if wall_s >= BRIEF_S:
            others = max(0.0, busy_s() - all_s - used_s) / (time.perf_counter() - began)
        peak_mib = after.ru_maxrss / 1024
        return Sample(wall_s=wall_s, cpu_s=used_s, peak_mib=peak_mib, other_cores=others)


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
def tap() -> Generator[None]:
    """Made before the clock runs, and leading nowhere. One is left where a bench was killed."""
    subprocess.run(["ip", "link", "delete", TAP], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "delete", TAP], check=True)
