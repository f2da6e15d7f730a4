"""A guest runs, computes and ends up right while its disks come to the host beneath it.

Its server starts machines before their disks are there, and brings them slowly; `qemu_server` has
them restored first, and takes turns with this one. The guest reads a disk of
known bytes over and over, a piece at a time, past its own cache, and tells each piece's checksum;
after them it writes the number of the round. Meanwhile the block daemon is killed, the server is
killed, and the disks become files. A snapshot before and one after that are of their moments.
"""

import hashlib
import json
import os
import re
import signal
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support import api
from support.disks import tiny_disk
from support.server import Server, serving
from support.tiny import Tiny
from support.waiting import until

pytestmark = [pytest.mark.boot, pytest.mark.timeout(900)]

MIB = 1 << 20
PIECES = 24
UNREAD = 48
"""MiB after those that the guest reads and writes: so that the disk comes slowly."""
READING = r"""#!/bin/sh
round=0
while :; do
  for piece in $(seq 0 23); do
    echo 3 >/proc/sys/vm/drop_caches
    set -- $(dd if=/dev/vdb bs=1M skip=$piece count=1 2>/dev/null | md5sum)
    echo "sum: $piece $1" >/dev/console
    sleep 0.5
  done
  round=$((round + 1))
  printf '%08d' $round | dd of=/dev/vdb bs=1M seek=24 2>/dev/null
  sync
  echo "sum: round $round." >/dev/console
  sleep 1
done &
"""


@pytest.fixture(scope="module")
def content() -> list[bytes]:
    return [os.urandom(MIB) for _ in range(PIECES)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    settings = {
        "block_daemon": "on",
        "hydrate_mib_per_s": "0.1",  # so that it is the guest that brings its disks here
        "memory_overcommit": "4",
        "vpc_pool": "10.94.0.0/16",
        "public_ip_pool": "127.94.0.0/16",
        "first_machine_uid": "2940000",
    }
    state_dir = tmp_path_factory.mktemp("cold") / "state"
    with serving(state_dir, "qemu", **settings) as server:
        yield server


def sums(guest: Tiny) -> list[tuple[int, str]]:
    """All that the guest has told, oldest first, as the console still has it."""
    told = re.findall(r"sum: (\d+) ([0-9a-f]{32})\b", guest.console())
    return [(int(piece), digest) for piece, digest in told]


def rounds(guest: Tiny) -> int:
    """How many it has told; what it told first may be gone from the console."""
    return max(
        (int(told) for told in re.findall(r"sum: round (\d+)\.", guest.console())), default=0
    )


def served(server: Server) -> int:
    told = server.openami("block-daemon", "--status", check=False).stdout
    return int(found[1]) if (found := re.search(r"(\d+) disks are served", told)) else -1


def whole_bases(server: Server) -> list[Path]:
    return list((server.state_dir / "cache").glob("*.raw"))


def kill_block_daemon(server: Server) -> None:
    told = json.loads((server.state_dir / "blocks" / "daemon.json").read_text())
    os.kill(told["pid"], signal.SIGKILL)


def imported(server: Server, disk: Path, name: str) -> str:
    done = server.openami("image", "import", str(disk), "--name", name, "--account", "default")
    return done.stdout.strip()


def test_a_guest_computes_right_while_its_disks_arrive_and_daemon_and_server_are_killed(
    server: Server, content: list[bytes], tmp_path: Path
) -> None:
    right = {index: hashlib.md5(piece).hexdigest() for index, piece in enumerate(content)}
    data = tmp_path / "data.raw"
    unread = os.urandom(UNREAD * MIB)
    data.write_bytes(b"".join(content) + bytes(MIB) + unread)
    ec2: Any = server.client()
    images = [imported(server, disk, disk.stem) for disk in (tiny_disk(), data)]
    snapshots = [
        api.image(ec2, each)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] for each in images
    ]
    disk = {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshots[1]}}
    guest = Tiny.launched(ec2, images[0], UserData=READING, BlockDeviceMappings=[disk])
    assert len(whole_bases(server)) < 2, "one of its disks is not here"
    assert served(server) > 0
    for kill in (kill_block_daemon, Server.kill):
        before = len(sums(guest))
        until(lambda before=before: len(sums(guest)) > before + 1, 120, "the guest reads")
        kill(server)
        if server.process is None:
            server.start()
    before = len(sums(guest))
    until(lambda: len(sums(guest)) > before + 1, 120, "the guest reads on")
    its = api.instance(ec2, guest.instance_id)
    volume_id = api.device(its, "/dev/sdf")["VolumeId"]
    until(lambda: rounds(guest) > 0, 240, "the guest has written")
    cold = snapshot_of(server, volume_id, guest)
    assert len(whole_bases(server)) < 2, "the disk that it is of is not here"
    server.stop()
    server.environment = {**server.environment, "OPENAMI_HYDRATE_MIB_PER_S": "0"}
    server.start()
    until(lambda: served(server) == 0, 120, "the disks have become files")
    assert len(whole_bases(server)) == 2
    server.openami("block-daemon", "--stop")
    before = rounds(guest)
    until(lambda: rounds(guest) > before + 1, 240, "the guest reads all of the file")
    warm = snapshot_of(server, volume_id, guest)
    assert {piece for piece, _ in sums(guest)} == set(right)
    wrong = [told for told in sums(guest) if right[told[0]] != told[1]]
    assert wrong == []
    api.stop(ec2, guest.instance_id)
    last = snapshot_of(server, volume_id, guest)
    for taken in (cold, warm, last):
        written = tmp_path / "written.raw"
        server.openami("store", "export", taken.snapshot_id, str(written))
        found = written.read_bytes()
        written.unlink()
        is_same = [
            found[: PIECES * MIB] == b"".join(content),
            found[(PIECES + 1) * MIB :][: UNREAD * MIB] == unread,
        ]
        assert is_same == [True, True], taken
        number = int(found[PIECES * MIB :][:8])
        assert taken.rounds_before <= number <= taken.rounds_after + 1, taken


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
