"""A copy of a volume takes no room that a transfer was promised, and fails alone without any."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from openami.blockstore import copying
from openami.compute.driver import ComputeDriver
from openami.compute.record.driver import RecordDriver
from openami.domain.block import GIB
from openami.jobs.room import NoRoom, Room
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask
from support.bare_qemu import BareDriver
from support.builders import ZONE
from support.disk_contents import snapshot_blocks, write_volume
from support.fakes import services

BLOCKS = {block: "a" for block in range(40)}  # 20 MiB


def house(tmp_path: Path, compute: ComputeDriver) -> Services:
    """A filesystem with a GiB for us."""
    room = Room(spare_bytes=0, free=lambda _directory: GIB)
    return services(tmp_path, compute=compute, disturbed=lambda svc: replace(svc, room=room))


def detached(svc: Services) -> str:
    volume_id = ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"]
    for block, sign in BLOCKS.items():
        write_volume(svc, volume_id, block, sign)
    return volume_id


def attached(svc: Services) -> str:
    """To a machine that runs, as far as the driver runs any."""
    a_bootable_image(svc)
    made = a_running_instance(svc)
    volume_id = detached(svc)
    ask(svc, "AttachVolume", VolumeId=volume_id, InstanceId=made, Device="/dev/sdf")
    return volume_id


@pytest.fixture(params=["record", "qemu", "nobody"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Services, Callable[[Services], str]]]:
    """Where the volume is that is copied, on a filesystem whose files share no extents."""
    monkeypatch.setattr(copying, "_FICLONE", 0)
    kind = BareDriver if request.param == "qemu" else RecordDriver
    host = kind(tmp_path / "instances")
    yield house(tmp_path, host), detached if request.param == "nobody" else attached
    host.close()


def snapshot(svc: Services, volume_id: str) -> dict[str, str]:
    made = ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"]
    (told,) = ask(svc, "DescribeSnapshots", SnapshotIds=[made])["Snapshots"]
    return told


def test_a_copy_that_does_not_fit_beside_a_promise_fails_alone_and_says_what_is_lacking(
    place: tuple[Services, Callable[[Services], str]], tmp_path: Path
) -> None:
    svc, made = place
    volume_id = made(svc)
    (tmp_path / "import").mkdir()
    with svc.room.share(tmp_path / "import") as promised:
        promised.claim(GIB - (10 << 20))
        failed = snapshot(svc, volume_id)
        promised.look()
    assert failed["State"] == "error"
    assert "There is no room on the server" in failed["StateMessage"]
    assert "MiB are lacking" in failed["StateMessage"]
    assert list((tmp_path / "scratch").iterdir()) == []

    told = snapshot(svc, volume_id)
    assert told["State"] == "completed"
    assert snapshot_blocks(svc, told["SnapshotId"]) == BLOCKS


def test_what_a_copy_was_promised_nobody_else_gets_and_it_ends_with_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_FICLONE", 0)
    svc = house(tmp_path, RecordDriver(tmp_path / "instances"))
    volume_id = detached(svc)
    (tmp_path / "import").mkdir()
    refused: list[int] = []

    def watched(target: int, offset: int, length: int) -> None:
        with svc.room.share(tmp_path / "import") as other:
            with pytest.raises(NoRoom) as told:
                other.claim(GIB)
            refused.append(told.value.lacking_bytes)
        allocate(target, offset, length)

    allocate = os.posix_fallocate
    monkeypatch.setattr(os, "posix_fallocate", watched)
    assert snapshot(svc, volume_id)["State"] == "completed"
    assert refused[0] >= len(BLOCKS) << 19
    with svc.room.share(tmp_path / "import") as other:
        other.claim(GIB)
