"""P5: how many launches, snapshots and images are at their end at the first look."""

import os
from collections.abc import Callable
from pathlib import Path

from bench.live_server import LiveServer, serving, text_at
from bench.measure import Line

OF_EACH = 200
GATE, AMBITION = 0.95, 1.0


def bench(scratch: Path, _count: int) -> list[Line]:
    """Counted, not timed. A waiter that comes too early comes again only after 15 seconds."""
    part = scratch / "p05"
    part.mkdir(parents=True)
    disk = part / "disk.raw"
    disk.write_bytes(os.urandom(1 << 20))
    with serving(part / "state", disk, compute_driver="record") as server:
        instance_id = server.launch()
        kinds: dict[str, Callable[[int], bool]] = {
            "launches": lambda _: _launched(server),
            "snapshots": lambda _: _snapshotted(server, _volume_of(server, instance_id)),
            "images": lambda number: _imaged(server, instance_id, number),
        }
        return [_line(what, made) for what, made in kinds.items()]


def _line(what: str, made: Callable[[int], bool]) -> Line:
    ready = 0
    for number in range(1, OF_EACH + 1):
        ready += made(number)
        if number % 50 == 0:
            print(f"  {what}: {ready} of {number} at their end at the first look", flush=True)
    share = ready / OF_EACH
    return Line(
        id="P5",
        what=f"{what} at their end at the first Describe",
        ours=f"{ready}",
        peer_name="of",
        peer=f"{OF_EACH}",
        ratio=share,
        worst=share,
        best=share,
        gate=GATE,
        ambition=AMBITION,
        note=NOTE,
    )


def _launched(server: LiveServer) -> bool:
    instance_id = server.launch()
    running = server.state(instance_id) == "running"
    # Not awaited: the machine's end is not what is looked at.
    server.call(Action="TerminateInstances", **{"InstanceId.1": instance_id})
    return running


def _volume_of(server: LiveServer, instance_id: str) -> str:
    answer = server.call(Action="DescribeInstances", **{"InstanceId.1": instance_id})
    return text_at(answer, "ebs", "volumeId")


def _snapshotted(server: LiveServer, volume_id: str) -> bool:
    made = text_at(server.call(Action="CreateSnapshot", VolumeId=volume_id), "snapshotId")
    answer = server.call(Action="DescribeSnapshots", **{"SnapshotId.1": made})
    return text_at(answer, "status") == "completed"


def _imaged(server: LiveServer, instance_id: str, number: int) -> bool:
    asked = {"InstanceId": instance_id, "Name": f"image-{number}", "NoReboot": "true"}
    made = text_at(server.call(Action="CreateImage", **asked), "imageId")
    answer = server.call(Action="DescribeImages", **{"ImageId.1": made})
    return text_at(answer, "imageState") == "available"


NOTE = "one after another, looked at as soon as the call has answered; machines that are not real"
