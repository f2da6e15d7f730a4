"""P21: collection when one of ten versions of an image was deleted."""

import json
import socket
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bench import asked, measure, peers
from bench.contenders import Scratch
from bench.live_server import LiveServer, serving
from bench.measure import Line, Sample, beside, rounds, stored_mb
from bench.raw_http import Connection
from bench.versions_disk import VERSIONS, versions

GATE, AMBITION = 5.0, 30.0


class Keeper(Protocol):
    """Who stores versions of a disk, and gives back the room of one."""

    def store(self, name: str) -> None: ...

    def collect(self, name: str) -> Sample: ...


def bench(scratch: Path, count: int) -> list[Line]:
    peers.install("restic", "borg", "mke2fs", "debugfs")
    directory = scratch / "p21"
    part = Scratch(directory, directory / "series" / "disk.raw")
    with serving(directory / "state", compute_driver="record", regions="us-east-1") as server:
        keepers: dict[str, Keeper] = {
            "openami": Ours(server=server, disk=part.disk),
            "restic prune": Restic(part=part, repository=part.restic_repository("series")),
            "borg delete + compact": Borg(part=part, repository=part.borg_repository("series")),
        }
        series = Series(part.disk.parent, keepers, count)
        samples = rounds({name: partial(series.collect, name) for name in keepers}, count)
    line = partial(
        beside,
        samples,
        "openami",
        id="P21",
        what=f"collection after deleting 1 of {VERSIONS} versions",
        gate=GATE,
        ambition=AMBITION,
        note=NOTE,
    )
    return [line("restic prune"), line("borg delete + compact")]


class Series:
    """Ten versions with each keeper: before the oldest of them goes, the next one comes."""

    def __init__(self, directory: Path, keepers: dict[str, Keeper], rounds_count: int) -> None:
        self._keepers = keepers
        self._disks = versions(directory, VERSIONS - 1 + rounds_count)
        self._made = 0
        self._kept = {name: deque[str]() for name in keepers}
        while self._made < VERSIONS - 1:
            self._upgrade()
            for name in keepers:
                self._store(name, f"version-{self._made}")
        print(f"  {self._made} versions are stored", flush=True)

    def collect(self, keeper: str, name: str) -> Sample:
        """A sample that is taken again has stored the same disk again, under another name."""
        number, _, _ = name.partition("-")
        while self._made < VERSIONS - 1 + int(number):
            self._upgrade()
        self._store(keeper, f"version-{VERSIONS - 1}-and-{name}")
        return self._keepers[keeper].collect(self._kept[keeper].popleft())

    def _upgrade(self) -> None:
        next(self._disks)
        self._made += 1

    def _store(self, keeper: str, name: str) -> None:
        self._keepers[keeper].store(name)
        self._kept[keeper].append(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    server: LiveServer
    disk: Path
    images: dict[str, str] = field(default_factory=dict)

    def store(self, name: str) -> None:
        self.images[name] = self.server.import_image(self.disk, name)

    def collect(self, name: str) -> Sample:
        pid, all_s = self.server.pid, measure.busy_s()
        before_s, began = asked.cpu_s(pid), time.perf_counter()
        deleted = {"ImageId": self.images.pop(name), "DeleteAssociatedSnapshots": "true"}
        with closing(Connection(self.server.port)) as afresh:  # the other was idle for too long
            server = replace(self.server, connection=afresh)
            server.call(Action="DeregisterImage", **deleted)
        regions = self._asked({"verb": "collect", "wait_s": 60})["regions"]
        wall_s, used_s = time.perf_counter() - began, asked.cpu_s(pid) - before_s
        if not any(each.get("freed_bytes") for each in regions):
            raise RuntimeError(f"nothing was collected: {regions}")
        return Sample(
            wall_s=wall_s,
            cpu_s=used_s,
            peak_mib=asked.resident_mib(pid),
            output_mb=stored_mb(server.state_dir / "chunks"),
            other_cores=max(0.0, measure.busy_s() - all_s - used_s) / wall_s,
        )

    def _asked(self, request: dict[str, Any]) -> dict[str, Any]:
        """As `openami store gc` does, without the start of its Python."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.server.state_dir / "admin.sock"))
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                return json.loads(stream.readline())


@dataclass(frozen=True, slots=True, kw_only=True)
class Restic:
    part: Scratch
    repository: Path

    def store(self, name: str) -> None:
        self.part.restic_backup(self.repository, "--tag", name)

    def collect(self, name: str) -> Sample:
        """What `forget` takes is not counted."""
        restic = ("restic", "-r", self.repository)
        told = self.part.prepare(*restic, "snapshots", "--json", "--tag", name)
        self.part.prepare(*restic, "forget", "-q", json.loads(told)[0]["id"])
        return self.part.synced(self.repository, "restic", "prune", "-q", "-r", self.repository)


@dataclass(frozen=True, slots=True, kw_only=True)
class Borg:
    part: Scratch
    repository: Path

    def store(self, name: str) -> None:
        self.part.borg_archive(self.repository, name)

    def collect(self, name: str) -> Sample:
        both = 'borg delete "$1::$2" && borg compact "$1"'
        return self.part.synced(self.repository, "sh", "-c", both, "sh", self.repository, name)


NOTE = (
    "10 versions as in P14, each round the next one comes and the oldest goes; ours from"
    " DeregisterImage with its snapshots until the operator's collect has answered; restic's forget"
    " is not counted, and by its default it leaves up to 5 % of what nobody needs"
)
