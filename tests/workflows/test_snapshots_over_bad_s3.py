"""Snapshots outlast an S3 that fails for longer than one request is tried."""

from collections.abc import Callable, Generator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from openami.blockstore.s3 import bucket
from openami.blockstore.s3.store import S3ChunkStore
from openami.blockstore.verify import verify
from openami.catalog import ingests
from openami.services import Services
from openami.wire.s3_client import Patience
from openami.workflows import region_stores
from support.asking import ask, put_accounts
from support.builders import ALICE, HERE, ZONE
from support.disk_contents import snapshot_blocks, write_volume
from support.fakes import services
from support.faulty_s3 import Fault, FaultyS3, faulty_s3

QUICK: Final = Patience(
    request_s=5.0, retries=2, retry_for_s=20.0, first_pause_s=0.005, longest_pause_s=0.05
)


@pytest.fixture
def s3() -> Generator[FaultyS3]:
    with faulty_s3() as found:
        yield found


def over(s3: FaultyS3, tmp_path: Path) -> Services:
    """Each store and archive has a prefix of its own."""
    numbers = count()

    def chunks() -> S3ChunkStore:
        return S3ChunkStore(bucket.at(replace(s3.place, prefix=f"s{next(numbers)}"), QUICK))

    svc = services(tmp_path, chunks=chunks)
    put_accounts(svc, ALICE)
    return svc


def a_volume_with(svc: Services, sign: str) -> str:
    volume_id = ask(svc, "CreateVolume", Size=1, AvailabilityZone=ZONE)["VolumeId"]
    write_volume(svc, volume_id, 3, sign)
    return volume_id


def snapshot_of(svc: Services, volume_id: str) -> dict[str, Any]:
    snapshot_id = ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"]
    return ask(svc, "DescribeSnapshots", SnapshotIds=[snapshot_id])["Snapshots"][0]


def is_whole(svc: Services) -> None:
    assert verify(svc.stores[HERE], region_stores.roots(svc.catalog, HERE)).intact
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []


def times(fault: Fault, most: int) -> Callable[[str, str, int], Fault | None]:
    """The first requests fail, whatever they are."""
    left = iter(range(most))
    return lambda *_: None if next(left, None) is None else fault


@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.RESET, Fault.ERROR])
def test_a_snapshot_outlasts_an_s3_that_fails_for_a_while(
    s3: FaultyS3, tmp_path: Path, fault: Fault
) -> None:
    svc = over(s3, tmp_path)
    volume_id = a_volume_with(svc, "a")
    s3.plan = times(fault, 10)  # more than a request is tried
    made = snapshot_of(svc, volume_id)
    assert made["State"] == "completed"
    assert snapshot_blocks(svc, made["SnapshotId"]) == {3: "a"}
    is_whole(svc)
