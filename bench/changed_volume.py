"""Volumes of which a known part is changed, on a server of records, and what a snapshot costs."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import asked, disk
from bench.live_server import DEADLINE_S, LiveServer, serving, text_at
from bench.measure import Sample, busy_s
from bench.raw_http import Connection
from openami.domain.block import BLOCK_BYTES, BLOCKS_PER_GIB, GIB

SIZE_GIB: Final = 8
CHANGED_BLOCKS: Final = range(0, SIZE_GIB * BLOCKS_PER_GIB, 100)  # 1 %
_STAMPED: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Where 1 % of a disk of 8 GiB changes, and into what: like the disk, and new each time."""

    directory: Path
    source: Path

    def blocks(self, name: str) -> Iterator[tuple[int, bytes]]:
        with self.source.open("rb") as file:
            for number, index in enumerate(CHANGED_BLOCKS):
                file.seek(number * 7 * BLOCK_BYTES)
                block = bytearray(file.read(BLOCK_BYTES))
                stamp = f"{name}/{number}".encode()
                for at in range(0, len(block), _STAMPED):
                    block[at : at + len(stamp)] = stamp
                yield index, bytes(block)

    def write(self, file: Path, name: str) -> None:
        """To a raw disk, durably."""
        descriptor = os.open(file, os.O_WRONLY)
        try:
            for index, block in self.blocks(name):
                os.pwrite(descriptor, block, index * BLOCK_BYTES)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write_overlay(self, overlay: Path, name: str) -> None:
        """To a volume, durably, as its guest would: whole blocks, so nothing is read."""
        self.directory.mkdir(exist_ok=True)
        script: list[str] = []
        for index, block in self.blocks(name):
            piece = self.directory / str(index)
            piece.write_bytes(block)
            script += ["-c", f"write -s {piece} {index * BLOCK_BYTES} {len(block)}"]
        file = {"driver": "file", "filename": str(overlay)}
        opened = "json:" + json.dumps({"driver": "qcow2", "file": file, "backing": None})
        command = ["qemu-io", *script, "-c", "flush", opened]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(self.directory)
        os.sync()


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    server: LiveServer
    changed: Changed
    snapshot_id: str

    def snapshot(self, size_gib: int, name: str) -> Sample:
        """Of a new volume, 1 % of 8 GiB of which was changed: from the call until it is there."""
        volume_id = self._volume(size_gib)
        overlay = self.server.state_dir / "volumes" / volume_id / "disk.qcow2"
        self.changed.write_overlay(overlay, f"{name} of {size_gib}")
        pid = self.server.pid
        before_s, all_s, began = asked.cpu_s(pid), busy_s(), time.perf_counter()
        answer = self._call(Action="CreateSnapshot", VolumeId=volume_id)
        self._await("Snapshot", text_at(answer, "snapshotId"), "completed")
        wall_s, used_s = time.perf_counter() - began, asked.cpu_s(pid) - before_s
        others_s = max(0.0, busy_s() - all_s - used_s)
        self._call(Action="DeleteVolume", VolumeId=volume_id)
        return Sample(
            wall_s=wall_s,
            cpu_s=used_s,
            peak_mib=asked.resident_mib(pid),
            other_cores=others_s / wall_s,
        )

    def _call(self, **parameters: str) -> bytes:
        """Over a connection of its own: between rounds one would be idle for too long."""
        connection = Connection(self.server.port)
        try:
            return connection.send(self.server.signed(parameters))
        finally:
            connection.close()

    def _volume(self, size_gib: int) -> str:
        zone = {"AvailabilityZone": "us-east-1a", "Size": str(size_gib)}
        answer = self._call(Action="CreateVolume", SnapshotId=self.snapshot_id, **zone)
        volume_id = text_at(answer, "volumeId")
        self._await("Volume", volume_id, "available")
        return volume_id

    def _await(self, noun: str, each: str, state: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        question = {"Action": f"Describe{noun}s", f"{noun}Id.1": each}
        while text_at(self._call(**question), "status") != state:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{each} is not {state}")
            time.sleep(0.002)


@contextmanager
def volumes(directory: Path, scratch: Path) -> Generator[Volumes]:
    """Of an image whose disk has the measured disk's 1.2 GB of data in 8 GiB."""
    source = disk.realistic_disk(scratch)
    original = of_eight_gib(source, directory / "original.raw")
    with serving(directory / "state", original, compute_driver="record") as server:
        answer = server.call(Action="DescribeImages", **{"ImageId.1": server.image_id})
        changed = Changed(directory=directory / "changes", source=source)
        yield Volumes(server=server, changed=changed, snapshot_id=text_at(answer, "snapshotId"))


def of_eight_gib(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    os.truncate(target, SIZE_GIB * GIB)
    return target
