"""Snapshots of two volumes at one moment, one after another, while a guest writes to both.

The guest writes number n to one volume, then to the other, each time to the disk's surface
(O_DIRECT, fsync): behind the numbers before it, and over the newest one at the disk's start. So
what a moment can look like is known to the byte.
"""

import hashlib
import os
import re
from collections.abc import Generator

import pytest

from openami.domain.block import BLOCK_BYTES
from support import api
from support.server import Server
from support.snapshot_bytes import blocks_of
from support.tiny import Tiny
from support.waiting import until

pytestmark = [pytest.mark.boot, pytest.mark.timeout(3600)]

IN_A_ROW = int(os.environ.get("SNAPSHOTS_IN_A_ROW", "8"))
SECTOR, MIB = 512, 1 << 20
APART = 128  # sectors from a number to the next: eight are in a block
FIRST, SECOND = "/dev/sdf", "/dev/sdg"
TWO_DISKS = [
    {"DeviceName": FIRST, "Ebs": {"VolumeSize": 1, "DeleteOnTermination": True}},
    {"DeviceName": SECOND, "Ebs": {"VolumeSize": 2, "DeleteOnTermination": True}},
]
WRITING = rf"""#!/bin/sh
for disk in /sys/block/vd*; do
  case "$(cat $disk/size)" in
  2097152) first=/dev/${{disk##*/}} ;;
  4194304) second=/dev/${{disk##*/}} ;;
  esac
done
put() {{
  printf %s $1 | dd of=$2 bs={SECTOR} seek=$3 conv=sync,notrunc,fsync oflag=direct 2>/dev/null ||
    echo "writer: failed at $1" >/dev/console
}}
echo "writer: begins"
(
  n=0
  while :; do
    n=$((n + 1))
    for disk in $first $second; do
      put $n $disk $((n * {APART}))
      put $n $disk 0
    done
    [ $((n % 10)) != 0 ] || echo "writer: wrote $n" >/dev/console
  done
) &
"""


@pytest.fixture(scope="module")
def writer(qemu_server: Server, tiny_ami: str) -> Generator[Tiny]:
    guest = Tiny.launched(
        qemu_server.client(), tiny_ami, UserData=WRITING, BlockDeviceMappings=TWO_DISKS
    )
    yield guest
    api.terminate(guest.ec2, guest.instance_id)


def test_s45_volumes_are_consistent_with_each_other_however_often_they_are_snapshotted(
    qemu_server: Server, writer: Tiny
) -> None:
    numbers = [0]
    for _ in range(IN_A_ROW):
        before = written(writer)
        volumes = both_at_once(writer)
        first, second = (numbers_on(qemu_server, volumes[name]) for name in (FIRST, SECOND))
        assert possible(first, second), (first, second)
        assert before <= first[-1], "what was written before the request is in the snapshot"
        numbers.append(first[-1])
    assert numbers == sorted(numbers)
    assert numbers[1] < numbers[-1], "the guest went on writing"
    assert "writer: failed" not in writer.console()


def test_s45_volumes_of_such_snapshots_are_in_a_guest_what_they_were(
    qemu_server: Server, writer: Tiny
) -> None:
    snapshots = both_at_once(writer)
    expected = [numbers_on(qemu_server, snapshots[name]) for name in (FIRST, SECOND)]
    restored = [
        {"DeviceName": name, "Ebs": {"SnapshotId": snapshots[name], "DeleteOnTermination": True}}
        for name in (FIRST, SECOND)
    ]
    length_mib = max(map(len, expected)) * APART * SECTOR // MIB + 1
    telling = f"""#!/bin/sh
for disk in /sys/block/vd*; do
  [ -e $disk/${{disk##*/}}1 ] && continue
  sum=$(dd if=/dev/${{disk##*/}} bs=1M count={length_mib} 2>/dev/null | tr -d '\\0' | md5sum)
  echo "restored: $(cat $disk/size) $sum"
done
"""
    image = api.image(writer.ec2, api.instance(writer.ec2, writer.instance_id)["ImageId"])
    reader = Tiny.launched(
        writer.ec2, image["ImageId"], UserData=telling, BlockDeviceMappings=restored
    )
    told = dict(re.findall(r"restored: (\d+) (\w+)", reader.console()))
    api.terminate(reader.ec2, reader.instance_id)
    sums = [hashlib.md5("".join(map(str, each)).encode()).hexdigest() for each in expected]
    assert told == {"2097152": sums[0], "4194304": sums[1]}


def written(guest: Tiny) -> int:
    """A number that is on both disks by now, and not 0."""

    def told() -> list[str]:
        return re.findall(r"writer: wrote (\d+)", guest.console())

    return int(until(told, 300, "the guest writes")[-1])


def both_at_once(guest: Tiny) -> dict[str, str]:
    """Device name → the completed snapshot of its volume, of one CreateSnapshots."""
    of = {"InstanceId": guest.instance_id, "ExcludeBootVolume": True}
    made = guest.ec2.create_snapshots(InstanceSpecification=of)["Snapshots"]
    by_volume = {each["VolumeId"]: each["SnapshotId"] for each in made}

    def states() -> set[str]:
        told = guest.ec2.describe_snapshots(SnapshotIds=list(by_volume.values()))["Snapshots"]
        return {each["State"] for each in told}

    until(lambda: "pending" not in states(), 120, "the snapshots are made", every_s=0.1)
    assert states() == {"completed"}
    instance = api.instance(guest.ec2, guest.instance_id)
    return {name: by_volume[api.device(instance, name)["VolumeId"]] for name in (FIRST, SECOND)}


def numbers_on(server: Server, snapshot_id: str) -> list[int]:
    """What a snapshot's disk begins with, then its numbers; there is nothing else on it."""
    blocks = blocks_of(server, snapshot_id)
    head, newest = _text_of(blocks, 0), 0
    while _text_of(blocks, newest + 1) == str(newest + 1).encode():
        newest += 1
    expected: dict[int, bytearray] = {}
    for number in range(newest + 1):
        block, at = divmod(number * APART * SECTOR, BLOCK_BYTES)
        text = str(number).encode() if number else head
        expected.setdefault(block, bytearray(BLOCK_BYTES))[at : at + len(text)] = text
    assert blocks.keys() == expected.keys()
    wrong = [index for index, block in blocks.items() if block != expected[index]]
    assert wrong == [], f"blocks of {snapshot_id}, which holds {newest} numbers"
    return [int(head), *range(1, newest + 1)]


def _text_of(blocks: dict[int, bytes], number: int) -> bytes:
    block, at = divmod(number * APART * SECTOR, BLOCK_BYTES)
    return blocks.get(block, b"")[at : at + SECTOR].rstrip(b"\0")


def possible(first: list[int], second: list[int]) -> bool:
    """Whether there was such a moment: each of a round's four writes comes after the one before."""
    (head, *_), (other_head, *_) = first, second
    return second[-1] <= head <= first[-1] <= other_head + 1 <= second[-1] + 1
