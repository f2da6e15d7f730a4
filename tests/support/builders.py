"""Ordinary nouns for tests. A test names only what it is about."""

from datetime import UTC, datetime
from typing import Any, Final

from openami.domain.block_device import BlockDeviceMapping, EbsDevice
from openami.domain.caller import Caller
from openami.domain.ids import (
    AccountId,
    ImageId,
    InstanceId,
    NetworkInterfaceId,
    Region,
    ReservationId,
    SecurityGroupId,
    SnapshotId,
    SubnetId,
    VolumeId,
    VpcId,
)
from openami.domain.image import Image, ImageState
from openami.domain.instance import Instance, InstanceState
from openami.domain.manifest import Root
from openami.domain.snapshot import Snapshot, SnapshotState
from openami.domain.volume import Attachment, AttachmentState, Volume, VolumeState

ALICE, BOB, CAROL = AccountId("111111111111"), AccountId("222222222222"), AccountId("333333333333")
HERE, THERE = Region("us-east-1"), Region("us-west-2")
ZONE: Final = "us-east-1a"
EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)

IMAGE = ImageId("ami-00000000000000001")
SNAPSHOT = SnapshotId("snap-00000000000000001")
VOLUME = VolumeId("vol-00000000000000001")
INSTANCE = InstanceId("i-00000000000000001")
ROOT_DEVICE: Final = "/dev/xvda"
EMPTY_GIB: Final = Root.empty(2048).to_text()
"""The content of a disk of 1 GiB that nobody has written to."""


def a_caller(account: AccountId = ALICE, region: Region = HERE) -> Caller:
    return Caller(account=account, region=region, request_id="req-1")


def an_ebs(**but: Any) -> EbsDevice:
    ordinary: dict[str, Any] = {
        "snapshot_id": SNAPSHOT,
        "volume_size_gib": 1,
        "volume_type": "gp2",
        "delete_on_termination": True,
    }
    return EbsDevice(**(ordinary | but))


def a_device(name: str = ROOT_DEVICE, **but: Any) -> BlockDeviceMapping:
    return BlockDeviceMapping(device_name=name, ebs=an_ebs(**but))


def an_image(**but: Any) -> Image:
    ordinary: dict[str, Any] = {
        "id": IMAGE,
        "region": HERE,
        "owner": ALICE,
        "name": "debian-12",
        "state": ImageState.AVAILABLE,
        "root_device_name": ROOT_DEVICE,
        "block_device_mappings": (a_device(),),
        "created_at": EPOCH,
        "location": f"{ALICE}/debian-12",
    }
    return Image(**(ordinary | but))


def a_snapshot(**but: Any) -> Snapshot:
    ordinary: dict[str, Any] = {
        "id": SNAPSHOT,
        "region": HERE,
        "owner": ALICE,
        "volume_id": VOLUME,
        "volume_size_gib": 1,
        "state": SnapshotState.COMPLETED,
        "started_at": EPOCH,
        "completed_at": EPOCH,
        "progress_percent": 100,
        "root": EMPTY_GIB,
    }
    return Snapshot(**(ordinary | but))


def a_pending_snapshot(**but: Any) -> Snapshot:
    unfinished: dict[str, Any] = {
        "state": SnapshotState.PENDING,
        "completed_at": None,
        "progress_percent": 0,
        "root": None,
    }
    return a_snapshot(**(unfinished | but))


def a_volume(**but: Any) -> Volume:
    ordinary: dict[str, Any] = {
        "id": VOLUME,
        "region": HERE,
        "availability_zone": ZONE,
        "owner": ALICE,
        "size_gib": 1,
        "state": VolumeState.AVAILABLE,
        "created_at": EPOCH,
    }
    return Volume(**(ordinary | but))


def an_attachment(**but: Any) -> Attachment:
    ordinary: dict[str, Any] = {
        "instance_id": INSTANCE,
        "device_name": ROOT_DEVICE,
        "state": AttachmentState.ATTACHED,
        "attached_at": EPOCH,
        "delete_on_termination": True,
    }
    return Attachment(**(ordinary | but))


def an_attached_volume(**but: Any) -> Volume:
    return a_volume(**({"state": VolumeState.IN_USE, "attachment": an_attachment()} | but))


def an_instance(**but: Any) -> Instance:
    ordinary: dict[str, Any] = {
        "id": INSTANCE,
        "region": HERE,
        "availability_zone": ZONE,
        "owner": ALICE,
        "reservation_id": ReservationId("r-00000000000000001"),
        "launch_index": 0,
        "image_id": IMAGE,
        "instance_type": "t3.micro",
        "state": InstanceState.RUNNING,
        "launched_at": EPOCH,
        "first_launched_at": EPOCH,
        "architecture": "x86_64",
        "root_device_name": ROOT_DEVICE,
        "vpc_id": VpcId("vpc-00000000000000001"),
        "subnet_id": SubnetId("subnet-00000000000000001"),
        "network_interface_id": NetworkInterfaceId("eni-00000000000000001"),
        "mac": "02:00:00:00:00:01",
        "private_ip": "10.112.0.10",
        "security_group_ids": (SecurityGroupId("sg-00000000000000001"),),
        "driver": "record",
        "public_ip": "127.100.0.10",
        "port_number": 1,
        "boot_mode": "legacy-bios",
    }
    return Instance(**(ordinary | but))
