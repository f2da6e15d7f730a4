"""All that reads and writes chunks, while the S3 that holds them fails in every way we know.

Once is nothing: the work is done all the same. For as long as anybody waits, it has failed and says
so, nothing is damaged and nothing left over; and when the S3 is well again, so is the work.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from openami.actions.transfers import import_image
from openami.blockstore.s3 import bucket
from openami.blockstore.s3.store import S3ChunkStore
from openami.blockstore.verify import verify
from openami.catalog import ingests
from openami.catalog.storage import losses
from openami.domain.ids import Region
from openami.services import Services
from openami.wire.s3_client import Patience
from openami.workflows import collect, region_stores, registry, tenure
from support.asking import a_running_instance, ask, put_accounts
from support.blocks import a_disk
from support.builders import ALICE, HERE, THERE, ZONE
from support.crash import look_at_stores
from support.disk_contents import snapshot_blocks, volume_blocks, write_volume
from support.fakes import StoppedClock, services
from support.faulty_s3 import Fault, FaultyS3, Plan, faulty_s3

QUICK: Final = Patience(
    request_s=0.5, retries=3, retry_for_s=20.0, first_pause_s=0.002, longest_pause_s=0.01
)
BLOCK: Final = 512 << 10
REFUSALS: Final = (Fault.ERROR, Fault.SLOW_DOWN, Fault.RESET)


@dataclass
class World:
    """Each store has a prefix of its own in the one S3. `disk` is what the image has."""

    svc: Services
    s3: FaultyS3
    directory: Path
    number: Iterator[int] = field(default_factory=count)

    def imported(self) -> str:
        """A disk that nobody has had before."""
        sign = chr(ord("a") + next(self.number))
        disk = a_disk(self.directory / f"{sign}.raw", {3: sign.encode() * BLOCK}, 8 * BLOCK)
        request = {"path": str(disk), "name": f"image {sign}", "boot_mode": "legacy-bios"}
        request |= {"account": ALICE, "region": HERE, "format": None, "description": ""}
        told = import_image.from_operator(self.svc, request)
        return str(told["image_id"])

    def image(self, image_id: str, region: Region = HERE) -> str:
        """How it ended."""
        (found,) = ask(self.svc, "DescribeImages", region=region, ImageIds=[image_id])["Images"]
        if found["State"] != "available":
            assert found["StateReason"]["Message"]
            return str(found["State"])
        (device,) = found["BlockDeviceMappings"]
        (sign,) = snapshot_blocks(self.svc, device["Ebs"]["SnapshotId"]).values()
        assert found["Name"] == f"image {sign}"
        return "done"

    def snapshot(self, snapshot_id: str) -> str:
        asked = {"SnapshotIds": [snapshot_id]}
        (found,) = ask(self.svc, "DescribeSnapshots", **asked)["Snapshots"]
        if found["State"] != "completed":
            assert found["StateMessage"]
            return str(found["State"])
        assert len(snapshot_blocks(self.svc, snapshot_id)) == 1
        return "done"


Ended = Callable[[], str]
Work = Callable[[World], Callable[[], Ended]]
"""Prepares something while all is well, and gives what does it and then can tell how it ended."""


def an_import(world: World) -> Callable[[], Ended]:
    def act() -> Ended:
        image_id = world.imported()
        return lambda: world.image(image_id)

    return act


def a_snapshot(world: World) -> Callable[[], Ended]:
    svc = world.svc
    volume_id = ask(svc, "CreateVolume", Size=1, AvailabilityZone=ZONE)["VolumeId"]
    write_volume(svc, volume_id, 7, chr(ord("A") + next(world.number)))

    def act() -> Ended:
        snapshot_id = ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"]
        return lambda: world.snapshot(snapshot_id)

    return act


def a_copy(world: World) -> Callable[[], Ended]:
    image_id = world.imported()
    (name,) = (
        each["Name"] for each in ask(world.svc, "DescribeImages", ImageIds=[image_id])["Images"]
    )

    def act() -> Ended:
        asked = {"Name": name, "SourceImageId": image_id, "SourceRegion": HERE}
        copy_id = ask(world.svc, "CopyImage", region=THERE, **asked)["ImageId"]
        return lambda: world.image(copy_id, THERE)

    return act


def a_launch(world: World) -> Callable[[], Ended]:
    """On a host that has not seen the image."""
    image_id = world.imported()

    def act() -> Ended:
        instance_id = a_running_instance(world.svc, ImageId=image_id)

        def ended() -> str:
            asked = {"InstanceIds": [instance_id]}
            (found,) = ask(world.svc, "DescribeInstances", **asked)["Reservations"][0]["Instances"]
            if found["State"]["Name"] != "running":
                assert found["StateReason"]["Code"].startswith("Server.")
                return str(found["State"]["Name"])
            (mapping,) = found["BlockDeviceMappings"]
            assert len(volume_blocks(world.svc, mapping["Ebs"]["VolumeId"])) == 1
            return "done"

        return ended

    return act


def later(world: World) -> None:
    """When rounds are due, and one that failed has rested."""
    assert isinstance(world.svc.clock, StoppedClock)
    world.svc.clock.advance(timedelta(hours=2))


def a_collection(world: World) -> Callable[[], Ended]:
    image_id = world.imported()
    kept = world.imported()
    ask(world.svc, "DeregisterImage", ImageId=image_id, DeleteAssociatedSnapshots=True)

    def act() -> Ended:
        later(world)
        collect.start(world.svc, HERE)

        def ended() -> str:
            assert world.image(kept) == "done"
            return "open" if collect.is_open(world.svc, HERE) else "done"

        return ended

    return act


WORKS: Final[Mapping[str, tuple[Work, str]]] = {
    "import": (an_import, "failed"),
    "snapshot": (a_snapshot, "error"),
    "copy": (a_copy, "failed"),
    "launch": (a_launch, "terminated"),
    "collection": (a_collection, "open"),
}
FAULTS: Final = (*REFUSALS, Fault.RESET_AFTER, Fault.HALF, Fault.LOST, Fault.TORN, Fault.SHORT)
OF_LISTINGS: Final = (Fault.UNDEAD, Fault.UNBORN)
LIES_TO: Final = {
    Fault.LOST: "PUT DELETE",
    Fault.TORN: "PUT",
    Fault.SHORT: "GET",
    Fault.UNDEAD: "LIST",
    Fault.UNBORN: "LIST",
}
"""The requests that can go wrong so; all can in the other ways."""


MET: Final = [
    *((work, fault) for work in WORKS for fault in FAULTS),
    *(("collection", fault) for fault in OF_LISTINGS),
]


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    with faulty_s3() as s3:
        numbers = count()

        def chunks() -> S3ChunkStore:
            place = replace(s3.place, prefix=f"s{next(numbers)}")
            return S3ChunkStore(bucket.at(place, QUICK), late_s=0.0)

        svc = services(tmp_path, chunks=chunks)
        put_accounts(svc, ALICE)
        for region in svc.stores:
            tenure.begin(svc, region)  # as a server does that starts
        yield World(svc, s3, tmp_path)


def plan(fault: Fault, times: int) -> Plan:
    """The first `times` of the same request go wrong."""

    def each(method: str, _: str, before: int) -> Fault | None:
        can = method in LIES_TO.get(fault, method).split()
        return fault if can and before < times else None

    return each


def well(*_: object) -> None: ...


def nothing_is_damaged(world: World) -> None:
    svc = world.svc
    for region in (HERE, THERE):
        assert verify(svc.stores[region], region_stores.roots(svc.catalog, region)).intact
        with svc.catalog.read() as tx:
            assert not losses.known(tx, region), "what an S3 does not hand out is not lost"
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []
    assert not [key for key in world.s3.objects if "/q/" in key]
    assert not list((svc.settings.state_dir / "scratch").glob("*"))


@pytest.mark.parametrize(("work", "fault"), MET)
def test_what_fails_once_is_done_all_the_same(world: World, work: str, fault: Fault) -> None:
    act = WORKS[work][0](world)
    world.s3.forget()
    world.s3.plan = plan(fault, 1)
    ended = act()
    if work == "collection":
        later(world)
        collect.start(world.svc, HERE)  # as the next sweep does
    world.s3.plan = well
    assert ended() == "done"
    nothing_is_damaged(world)


@pytest.mark.parametrize(("work", "fault"), MET)
def test_what_fails_again_and_again_is_told_and_works_when_the_s3_does(
    world: World, work: str, fault: Fault
) -> None:
    prepare, failure = WORKS[work]
    act, again = prepare(world), prepare(world)
    world.s3.plan = plan(fault, 10_000)
    ended = act()
    registry.sweep(world.svc)
    look_at_stores(world.svc)
    world.s3.plan = well
    assert ended() in ("done", failure)
    assert fault not in REFUSALS or ended() == failure, "it was not even tried"
    nothing_is_damaged(world)
    later(world)
    registry.sweep(world.svc)
    look_at_stores(world.svc)
    assert not collect.is_open(world.svc, HERE), "it goes on by itself"
    assert again()() == "done"
    nothing_is_damaged(world)
    for region in (HERE, THERE):
        for _ in range(2):
            assert collect.advance(world.svc, region).phase.name == "ENDED"
        roots = region_stores.roots(world.svc.catalog, region)
        assert not verify(world.svc.stores[region], roots).orphans
