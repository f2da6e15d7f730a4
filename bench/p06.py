"""P6: a cold first boot of Debian over a slow line, beside the same boot from a local file."""

import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bench import disk
from bench.asked import cpu_s, resident_mib
from bench.cold_host import ColdHost, cold_host
from bench.live_server import until
from bench.measure import Line, Sample, beside, busy_s

ROUNDS_MAX: Final = 2  # a boot takes half a minute under TCG, and a round is three of them
MEGABITS_PER_S, ROUND_TRIP_S = 100.0, 0.03
BOOT_TIMEOUT_S: Final = 600.0
COLD, PROFILED, LOCAL = "cold, no profile", "cold, with a profile", "a local raw file"
GOALS: Final = {PROFILED: (1 / 1.15, 1 / 1.02), COLD: (1 / 1.6, 1 / 1.25)}
BOOTED: Final = " login:"


def bench(scratch: Path, count: int) -> list[Line]:
    part = scratch / "p06"
    part.mkdir(parents=True)
    debian = disk.bootable_disk("debian-12")
    with cold_host() as host:
        boots = _Boots(host=host)
        before = ""
        for number in range(1, min(count, ROUNDS_MAX) + 1):
            image_id = boots.image(debian, part, number)
            if before:
                boots.local(before)
                boots.cold_and_profiled(image_id)
            else:
                boots.cold_and_profiled(image_id)
                boots.local(image_id)
            before = image_id
    return [
        beside(
            boots.samples,
            *(name, LOCAL),
            id="P6",
            what=f"first boot of Debian, {name}: {boots.asked[name]}",
            gate=gate,
            ambition=ambition,
            note=NOTE,
        )
        for name, (gate, ambition) in GOALS.items()
    ]


def _no_samples() -> dict[str, list[Sample]]:
    return {name: [] for name in (COLD, PROFILED, LOCAL)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Boots:
    host: ColdHost
    samples: dict[str, list[Sample]] = field(default_factory=_no_samples)
    asked: dict[str, str] = field(default_factory=dict[str, str])
    """What was asked of the store by each kind of boot, until the guest was up."""

    def image(self, debian: Path, part: Path, number: int) -> str:
        """One that no other round has had: as large, and with its own content at its end."""
        file = part / "debian.raw"
        shutil.copyfile(debian, file)
        with file.open("ab") as end:
            end.write(f"for round {number}".encode().ljust(1 << 20, b"\0"))
        return self.host.server.import_image(file, f"debian {number}")

    def cold_and_profiled(self, image_id: str) -> None:
        """The first one's reads are the second one's profile."""
        for name in (COLD, PROFILED):
            self.host.forget()
            self.host.wire.be(megabits_per_s=MEGABITS_PER_S, round_trip_s=ROUND_TRIP_S)
            self._boot(image_id, name)
            self.host.wire.be()

    def local(self, image_id: str) -> None:
        self._boot(image_id, LOCAL)

    def _boot(self, image_id: str, name: str) -> None:
        server, wire = replace(self.host.server, image_id=image_id), self.host.wire
        wire.forget()
        all_s = busy_s()
        began = time.perf_counter()
        instance_id = server.instance_id(server.call(**server.run_instances))
        until(lambda: BOOTED in server.console(instance_id), "Debian is up", BOOT_TIMEOUT_S)
        wall_s = time.perf_counter() - began
        pid = server.machine_pid(instance_id)
        used_s = cpu_s(pid)
        sample = Sample(
            wall_s=wall_s,
            cpu_s=used_s,
            peak_mib=resident_mib(pid),
            other_cores=max((busy_s() - all_s - used_s) / wall_s, 0.0),
        )
        counted = wire.counted()
        self.asked[name] = f"{counted.chunks} chunks, {counted.received_mb:.0f} MB"
        print(f"  {name}: {wall_s:.1f} s, {self.asked[name]}", flush=True)
        self.samples[name].append(sample)
        wire.be()
        self.host.await_whole()
        server.terminate(instance_id)


NOTE = (
    "from RunInstances until the console asks who logs in, under TCG on both sides: with KVM the"
    " same reads take a larger share of a boot. A SeaweedFS behind a line of"
    f" {MEGABITS_PER_S:g} Mb/s and {1000 * ROUND_TRIP_S:g} ms there and back, which is a proxy; CPU"
    " and memory are QEMU's, of others are also those of the store, the proxy, server and daemon."
    f" {ROUNDS_MAX} rounds: a boot takes half a minute"
)
