"""A guest runs, computes and ends up right while its disks come to the host beneath it, out of S3.

Its server starts machines before their disks are there, and brings these slowly. The guest reads a
disk of known bytes over and over, a piece at a time, past its own cache, and tells each piece's
checksum; after them it writes the number of the round, each time elsewhere. Meanwhile, in this
order, a chunk is corrupt, the store is away, the cache is full, the volumes' disk is full, the
block daemon is killed, the server is killed, and the disks become files. Snapshots before and after
that are of their moments.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from openami.app import RealClock, RealIds
from openami.blockstore.codec import digest_of
from openami.blockstore.ingest import ingest_blocks
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.s3 import bucket
from openami.blockstore.s3.bucket import Bucket
from openami.blockstore.store import Kind
from openami.domain.block import BLOCK_BYTES
from openami.domain.manifest import Root
from openami.objects.weed import EmbeddedS3
from support import api
from support.disks import tiny_disk
from support.objects import make_bucket, place_in
from support.server import Server, serving
from support.tiny import Tiny
from support.waiting import until

pytestmark = [pytest.mark.boot, pytest.mark.timeout(900)]

MIB = 1 << 20
PIECES = 8
CORRUPT = 3
"""The piece that the store has wrong at first."""
UNREAD = 48
"""MiB after those that the guest reads and writes: so that the disk comes slowly."""
READING = r"""#!/bin/sh
round=0
while :; do
  for piece in 0 1 2 3 4 5 6 7; do
    echo 3 >/proc/sys/vm/drop_caches
    set -- $(dd if=/dev/vdb bs=1M skip=$piece count=1 2>/dev/null | md5sum)
    echo "sum: $piece $1" >/dev/console
    sleep 0.3
  done
  round=$((round + 1))
  printf '%08d' $round | dd of=/dev/vdb bs=64k seek=$((8 * 16 + round % 16)) 2>/dev/null
  sync
  echo "sum: round $round." >/dev/console
  sleep 1
done &
"""


@dataclass(frozen=True, kw_only=True)
class Cold:
    """The guest, and everything that is beneath it."""

    server: Server
    chunks: Bucket
    weed_pid: int
    guest: Tiny
    volume_id: str
    content: list[bytes]
    unread: bytes

    @property
    def right(self) -> dict[int, str]:
        return {index: hashlib.md5(piece).hexdigest() for index, piece in enumerate(self.content)}

    def doctor(self) -> str:
        return self.server.openami("doctor", check=False).stdout

    def is_impaired(self) -> bool:
        ec2: Any = self.server.client()
        (told,) = ec2.describe_volume_status(VolumeIds=[self.volume_id])["VolumeStatuses"]
        return told["VolumeStatus"]["Status"] == "impaired"

    def await_reads(self, pieces: int = 2) -> None:
        before = len(sums(self.guest))
        until(lambda: len(sums(self.guest)) >= before + pieces, 240, "the guest reads")


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cold]:
    directory = tmp_path_factory.mktemp("cold")
    state_dir = directory / "state"
    embedded = EmbeddedS3(directory / "s3", RealClock(), RealIds())
    with ExitStack() as stack:
        stack.callback(embedded.close)
        seaweed = embedded.endpoint()
        make_bucket(seaweed, "chunks")
        for name in ("cache", "volumes"):
            stack.enter_context(a_filesystem(state_dir / name))
        settings = {
            "region_stores": f"us-east-1=s3://chunks/east?endpoint={seaweed.url}",
            "region_store_keys": f"us-east-1={seaweed.access_key_id}:{seaweed.secret_access_key}",
            "block_daemon": "on",
            "hydrate_mib_per_s": "0.1",  # so that it is the guest that brings its disks here
            "memory_overcommit": "4",
            "vpc_pool": "10.94.0.0/16",
            "public_ip_pool": "127.94.0.0/16",
            "first_machine_uid": "2940000",
        }
        server = stack.enter_context(serving(state_dir, "qemu", **settings))
        content, unread = [os.urandom(MIB) for _ in range(PIECES)], os.urandom(UNREAD * MIB)
        data = directory / "data.raw"
        data.write_bytes(b"".join(content) + bytes(MIB) + unread)
        images = [imported(server, disk, disk.stem) for disk in (tiny_disk(), data)]
        chunks = bucket.at(place_in(seaweed, "chunks", "east"))
        chunks.put(key_of(content[CORRUPT]), b"none of its bytes")
        ec2: Any = server.client()
        snapshot_id = api.root_snapshot_id(api.image(ec2, images[1]))
        disk = {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot_id}}
        guest = Tiny.launched(ec2, images[0], UserData=READING, BlockDeviceMappings=[disk])
        its = api.instance(ec2, guest.instance_id)
        yield Cold(
            server=server,
            chunks=chunks,
            weed_pid=int((directory / "s3" / "weed.pid").read_text().split()[0]),
            guest=guest,
            volume_id=api.device(its, "/dev/sdf")["VolumeId"],
            content=content,
            unread=unread,
        )


@contextmanager
def a_filesystem(path: Path) -> Generator[None]:
    """One of its own, that can be filled."""
    path.mkdir(parents=True)
    path.chmod(0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@contextmanager
def no_room_in(path: Path) -> Generator[None]:
    used = os.statvfs(path)
    full = (used.f_blocks - used.f_bfree) * used.f_frsize
    subprocess.run(["mount", "-o", f"remount,size={full}", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,size=400m", path], check=True)


def key_of(piece: bytes) -> str:
    """Where the store has the first chunk of a piece."""
    name = digest_of(piece[:BLOCK_BYTES]).hex()
    return f"{Kind.CHUNK}/{name[:2]}/{name}"


def sums(guest: Tiny) -> list[tuple[int, str]]:
    """All that the guest has told, oldest first, as the console still has it."""
    told = re.findall(r"sum: (\d+) ([0-9a-f]{32})\b", guest.console())
    return [(int(piece), digest) for piece, digest in told]


def rounds(guest: Tiny) -> int:
    """How many it has told; what it told first may be gone from the console."""
    return max(
        (int(told) for told in re.findall(r"sum: round (\d+)\.", guest.console())), default=0
    )


def status(server: Server) -> str:
    return server.openami("block-daemon", "--status", check=False).stdout


def served(server: Server) -> int:
    told = status(server)
    return int(found[1]) if (found := re.search(r"(\d+) disks are served", told)) else -1


def whole_bases(server: Server) -> list[Path]:
    return list((server.state_dir / "cache").glob("*.raw"))


def kill_block_daemon(server: Server) -> None:
    told = json.loads((server.state_dir / "blocks" / "daemon.json").read_text())
    os.kill(told["pid"], signal.SIGKILL)


def imported(server: Server, disk: Path, name: str) -> str:
    done = server.openami("image", "import", str(disk), "--name", name, "--account", "default")
    return done.stdout.strip()


def test_a_corrupt_chunk_of_a_cold_disk_is_told_and_waited_for_and_never_served(cold: Cold) -> None:
    assert served(cold.server) > 0
    assert len(whole_bases(cold.server)) < 2, "one of its disks is not here"
    until(cold.is_impaired, 240, "the guest has come to it")
    until(lambda: f"{cold.volume_id} " in waiting(cold), 60, "the doctor tells of the volume")
    assert "does not come to this host" in cold.doctor()
    assert CORRUPT not in dict(sums(cold.guest))
    whole = LocalDirChunkStore(cold.server.state_dir / "whole")
    ingest_blocks(whole, Root.empty(1), iter([(0, cold.content[CORRUPT][:BLOCK_BYTES])]))
    digest = digest_of(cold.content[CORRUPT][:BLOCK_BYTES])
    cold.chunks.put(
        key_of(cold.content[CORRUPT]), Path(whole.path(digest, Kind.CHUNK)).read_bytes()
    )
    until(lambda: CORRUPT in dict(sums(cold.guest)), 120, "the guest has read it")
    until(lambda: not cold.is_impaired(), 60, "it is well")
    assert waiting(cold) == ""


def test_a_store_that_is_away_is_told_and_waited_for(cold: Cold) -> None:
    os.kill(cold.weed_pid, signal.SIGSTOP)
    try:
        until(lambda: "the store has not answered" in status(cold.server), 120, "it is told")
    finally:
        os.kill(cold.weed_pid, signal.SIGCONT)
    cold.await_reads()
    until(lambda: "the store has not answered" not in status(cold.server), 60, "it is well")


def test_a_full_cache_is_told_and_holds_no_guest_up(cold: Cold) -> None:
    with no_room_in(cold.server.state_dir / "cache"):
        until(lambda: "blocks cannot be kept" in status(cold.server), 120, "it is told")
        assert "blocks cannot be kept" in cold.doctor()
        cold.await_reads()
    until(lambda: "blocks cannot be kept" not in status(cold.server), 120, "it goes on")


def test_a_guest_waits_while_there_is_no_room_for_what_it_writes_and_that_is_told(
    cold: Cold,
) -> None:
    with no_room_in(cold.server.state_dir / "volumes"):
        until(cold.is_impaired, 300, "the guest has written")
        until(lambda: "No space left" in waiting(cold), 60, "the doctor tells of it")
        before = rounds(cold.guest)
    until(lambda: rounds(cold.guest) > before, 240, "the guest has written")
    until(lambda: not cold.is_impaired(), 60, "it is well")


def test_a_guest_computes_right_while_its_disks_arrive_and_daemon_and_server_are_killed(
    cold: Cold, tmp_path: Path
) -> None:
    server, guest = cold.server, cold.guest
    for kill in (kill_block_daemon, Server.kill):
        cold.await_reads()
        kill(server)
        if server.process is None:
            server.start()
    cold.await_reads()
    before_it = snapshot_of(server, cold.volume_id, guest)
    assert len(whole_bases(server)) < 2, "the disk that it is of is not here"
    server.stop()
    server.environment = {**server.environment, "OPENAMI_HYDRATE_MIB_PER_S": "0"}
    server.start()
    until(lambda: served(server) == 0, 120, "the disks have become files")
    assert len(whole_bases(server)) == 2
    server.openami("block-daemon", "--stop")
    before = rounds(guest)
    until(lambda: rounds(guest) > before + 1, 240, "the guest reads all of the file")
    after_it = snapshot_of(server, cold.volume_id, guest)
    assert {piece for piece, _ in sums(guest)} == set(cold.right)
    wrong = [told for told in sums(guest) if cold.right[told[0]] != told[1]]
    assert wrong == []
    api.stop(cast("Any", server.client()), guest.instance_id)
    last = snapshot_of(server, cold.volume_id, guest)
    for taken in (before_it, after_it, last):
        written = tmp_path / "written.raw"
        server.openami("store", "export", taken.snapshot_id, str(written))
        found = written.read_bytes()
        written.unlink()
        is_same = [
            found[: PIECES * MIB] == b"".join(cold.content),
            found[(PIECES + 1) * MIB :][: UNREAD * MIB] == cold.unread,
        ]
        assert is_same == [True, True], taken
        slots = [found[PIECES * MIB + slot * MIB // 16 :][:8] for slot in range(16)]
        number = max(int(each) for each in slots if any(each))
        assert taken.rounds_before <= number <= taken.rounds_after + 1, taken


def waiting(cold: Cold) -> str:
    """What the doctor says of the machine that waits."""
    return "\n".join(each for each in cold.doctor().splitlines() if "waits for a disk" in each)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A snapshot, and how many rounds the guest had told of before and after its moment."""

    snapshot_id: str
    rounds_before: int
    rounds_after: int


def snapshot_of(server: Server, volume_id: str, guest: Tiny) -> Taken:
    ec2: Any = server.client()
    before = rounds(guest)
    taken = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[taken])
    return Taken(snapshot_id=taken, rounds_before=before, rounds_after=rounds(guest))
