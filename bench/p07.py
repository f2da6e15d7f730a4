"""P7: a guest's reads of a disk that came while it ran, beside those of one that was here."""

import base64
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bench import disk, measure, peers
from bench.asked import cpu_s, resident_mib
from bench.cold_host import ColdHost, cold_host
from bench.live_server import until
from bench.measure import Line, Sample, busy_s

GATE, AMBITION = 0.95, 0.99
DATA_MIB: Final = 192
OURS, PEER = "openami, hydrated", "qcow2 on a raw file"
WORKLOADS: Final = ("1 MiB, direct, in order", "4 KiB, direct, in order")
PASSES: Final = 8
TIMES: Final = 2
"""So often a guest does both; the median counts."""
TIMEOUT_S: Final = 180.0
GUEST: Final = f"""#!/bin/sh
up() {{ cut -d' ' -f1 /proc/uptime; }}
no() {{ echo "io: no" >/dev/console; }}
reading() {{ dd if=/dev/vda of=/dev/null iflag=direct "$@" 2>/dev/null || no; }}
(
while :; do
  began=$(up)
  for time in $(seq {PASSES}); do reading bs=1M skip=64 count={DATA_MIB}; done
  middle=$(up)
  reading bs=4k skip=16384 count=4000
  echo "io: $began $middle $(up)." >/dev/console
done
) &
"""
TOLD: Final = re.compile(r"io: ([0-9.]+) ([0-9.]+) ([0-9.]+)\.")


def bench(scratch: Path, count: int) -> list[Line]:
    peers.install("mke2fs")
    part = scratch / "p07"
    part.mkdir(parents=True)
    whole = disk.tiny_and_data(scratch, part, DATA_MIB << 20)
    with cold_host() as host:
        image_id = host.server.import_image(whole, "tiny and data")
        reads = _Reads(host=host, image_id=image_id)
        contenders = {OURS: reads.hydrated, PEER: reads.local}
        # What was read in 1 MiB each; what in 4 KiB is of the same guests, told beside it.
        large = measure.rounds(contenders, count, patient=False)
    return [
        measure.beside(
            samples,
            *(OURS, PEER),
            id="P7",
            what=f"guest reads, {what}",
            gate=GATE,
            ambition=AMBITION,
            note=NOTE,
        )
        for what, samples in zip(WORKLOADS, (large, reads.small), strict=True)
    ]


def _nothing_yet() -> dict[str, list[Sample]]:
    return {OURS: [], PEER: []}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reads:
    """By a new guest each time, which reads again and again as soon as it is up."""

    host: ColdHost
    image_id: str
    small: dict[str, list[Sample]] = field(default_factory=_nothing_yet)

    def hydrated(self, _round: str) -> Sample:
        self.host.forget()
        instance_id = self._launched()
        if not list(self.host.cache.glob("*.cold")):
            raise RuntimeError("the disk was here before its guest")
        self.host.await_whole()
        return self._measured(instance_id, OURS)

    def local(self, _round: str) -> Sample:
        if not list(self.host.cache.glob("*.raw")):  # it is, since another guest had it brought
            server = replace(self.host.server, image_id=self.image_id)
            first = server.launch()
            self.host.await_whole()
            server.terminate(first)
        return self._measured(self._launched(), PEER)

    def _launched(self) -> str:
        server = replace(self.host.server, image_id=self.image_id)
        user_data = base64.b64encode(GUEST.encode()).decode()
        return server.instance_id(server.call(**server.run_instances, UserData=user_data))

    def _measured(self, instance_id: str, name: str) -> Sample:
        before = len(self._told(instance_id)) + 1  # the one that is under way is not counted
        until(lambda: len(self._told(instance_id)) >= before, "the guest reads", TIMEOUT_S)
        pid = self.host.server.machine_pid(instance_id)
        began, used_s, all_s = time.perf_counter(), cpu_s(pid), busy_s()
        enough = before + TIMES
        until(lambda: len(self._told(instance_id)) >= enough, "the guest reads", TIMEOUT_S)
        wall_s, used_s = time.perf_counter() - began, cpu_s(pid) - used_s
        large, small = (
            Sample(
                wall_s=statistics.median(each[which] for each in self._told(instance_id)[before:]),
                cpu_s=used_s / TIMES,
                peak_mib=resident_mib(pid),
                other_cores=max((busy_s() - all_s - used_s) / wall_s, 0.0),
            )
            for which in range(len(WORKLOADS))
        )
        self.host.server.terminate(instance_id)
        self.small[name].append(small)
        return large

    def _told(self, instance_id: str) -> Sequence[tuple[float, float]]:
        """How long each workload took, each time so far."""
        console = self.host.server.console(instance_id)
        if "io: no" in console:
            raise RuntimeError(f"the guest cannot read:\n{console}")
        return [
            (float(middle) - float(began), float(end) - float(middle))
            for began, middle, end in TOLD.findall(console)
        ]


NOTE = (
    f"{PASSES * DATA_MIB} MiB in reads of 1 MiB and 16 MiB in reads of 4 KiB by dd in a guest"
    " under TCG, by the guest's clock: one was started before its disk was on the host, and reads"
    " when it is, the other when it was; CPU is QEMU's for both workloads together"
)
