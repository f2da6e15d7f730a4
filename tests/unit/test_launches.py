"""RunInstances: what it makes, what it refuses, what is left when a machine does not start."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openami.catalog import instances, snapshots
from openami.domain.block_device import BlockDeviceMapping, EbsDevice
from openami.domain.image import ImageState
from openami.domain.instance import InstanceState
from openami.services import Services
from openami.settings import Settings
from openami.workflows import launch as launch_workflow
from support.builders import (
    BOB,
    IMAGE,
    INSTANCE,
    ROOT_DEVICE,
    SNAPSHOT,
    THERE,
    a_caller,
    a_device,
    a_pending_snapshot,
    an_instance,
)
from support.calls import add_image, call, instance, launch, launched, refused, state
from support.fakes import services
from support.hypervisor import ScriptedHypervisor


@pytest.fixture
def host() -> ScriptedHypervisor:
    return ScriptedHypervisor()


@pytest.fixture
def svc(tmp_path: Path, host: ScriptedHypervisor) -> Iterator[Services]:
    made = services(tmp_path, compute=host)
    add_image(made)
    yield made
    made.catalog.close()


def test_a_launch_answers_pending_and_runs_by_the_first_look(svc: Services) -> None:
    reservation = launch(svc)
    (answered,) = reservation["Instances"]
    assert answered["State"] == {"Code": 0, "Name": "pending"}
    found = instance(svc, answered["InstanceId"])
    assert found["State"] == {"Code": 16, "Name": "running"}
    assert found["BlockDeviceMappings"][0]["Ebs"]["Status"] == "attached"


def test_a_launch_of_many_is_one_reservation_with_launch_indexes(svc: Services) -> None:
    reservation = launch(svc, MinCount=2, MaxCount=3)
    assert [each["AmiLaunchIndex"] for each in reservation["Instances"]] == [0, 1, 2]
    found = call(svc, "DescribeInstances")["Reservations"]
    assert [each["ReservationId"] for each in found] == [reservation["ReservationId"]]
    addresses = {each["PrivateIpAddress"] for each in reservation["Instances"]}
    assert len(addresses) == len({each["PublicIpAddress"] for each in reservation["Instances"]})


def test_the_first_address_is_the_fifth_of_the_subnet(svc: Services) -> None:
    assert instance(svc, launched(svc))["PrivateIpAddress"] == "10.112.0.4"


def test_addresses_and_ports_of_the_terminated_are_used_again(
    svc: Services, host: ScriptedHypervisor
) -> None:
    first = launched(svc)
    before = host.ports[first]
    call(svc, "TerminateInstances", InstanceIds=[first])
    after = host.ports[launched(svc)]
    assert (after.private_ip, after.public_ip, after.number) == (
        before.private_ip,
        before.public_ip,
        before.number,
    )


def test_as_many_start_as_the_host_has_memory_for(svc: Services, host: ScriptedHypervisor) -> None:
    host.capacity = 2 * 1024 + 100
    reservation = launch(svc, MinCount=1, MaxCount=5)
    assert len(reservation["Instances"]) == 2


def test_none_start_when_the_least_number_does_not_fit(
    svc: Services, host: ScriptedHypervisor
) -> None:
    host.capacity = 2 * 1024
    code = refused(
        svc, "RunInstances", ImageId=IMAGE, InstanceType="t3.micro", MinCount=3, MaxCount=5
    )
    assert code == "InsufficientInstanceCapacity"
    assert call(svc, "DescribeInstances")["Reservations"] == []


def test_stopped_instances_leave_their_memory_to_others(
    svc: Services, host: ScriptedHypervisor
) -> None:
    host.capacity = 1024
    first = launched(svc)
    call(svc, "StopInstances", InstanceIds=[first])
    assert state(svc, launched(svc)) == "running"
    assert refused(svc, "StartInstances", InstanceIds=[first]) == "InsufficientInstanceCapacity"


def test_overcommitment_stretches_the_memory(tmp_path: Path) -> None:
    host = ScriptedHypervisor(capacity=1024)
    settings = Settings(state_dir=tmp_path, compute_driver="record", memory_overcommit=2.0)
    svc = services(tmp_path, compute=host, settings=settings)
    add_image(svc)
    assert len(launch(svc, MinCount=2, MaxCount=2)["Instances"]) == 2
    svc.catalog.close()


def test_one_that_cannot_start_is_terminated_with_a_reason_and_the_others_run(
    svc: Services, host: ScriptedHypervisor
) -> None:
    host.refuses = {1}
    reservation = launch(svc, MinCount=2, MaxCount=2)
    bad, good = (each["InstanceId"] for each in reservation["Instances"])
    found = instance(svc, bad)
    assert found["State"]["Name"] == "terminated"
    assert found["StateReason"] == {
        "Code": "Server.InternalError",
        "Message": "Server.InternalError: Internal error on launch",
    }
    assert state(svc, good) == "running"
    assert len(list(svc.volumes.list())) == 1


def test_a_launch_that_was_committed_but_not_begun_is_begun_by_the_sweep(
    svc: Services, host: ScriptedHypervisor
) -> None:
    first = launched(svc)
    with svc.catalog.begin() as tx:
        made = instances.fetch_any(tx, first)
        assert made is not None
        waiting = replace(made, state=InstanceState.PENDING, transitions=0)
        instances.save(tx, waiting)
    host.machines.clear()
    svc.jobs.forget(svc.clock.now().replace(year=2100))
    launch_workflow.resume(svc)
    assert state(svc, first) == "running"


def test_the_same_token_is_the_same_instances(svc: Services) -> None:
    first = launch(svc, ClientToken="t1")
    again = launch(svc, ClientToken="t1")
    assert again["ReservationId"] == first["ReservationId"]
    assert again["Instances"][0]["InstanceId"] == first["Instances"][0]["InstanceId"]
    assert again["Instances"][0]["ClientToken"] == "t1"


def test_the_same_token_with_other_parameters_is_refused(svc: Services) -> None:
    launch(svc, ClientToken="t1")
    code = refused(
        *(svc, "RunInstances"),
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=2,
        ClientToken="t1",
    )
    assert code == "IdempotentParameterMismatch"


def test_a_token_whose_instances_are_terminated_is_refused(svc: Services) -> None:
    first = launched(svc, ClientToken="t1")
    call(svc, "TerminateInstances", InstanceIds=[first])
    asked = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    code = refused(svc, "RunInstances", **asked, ClientToken="t1")
    assert code == "IdempotentInstanceTerminated"


def test_what_was_tagged_at_launch_is_tagged(svc: Services) -> None:
    kinds = ("instance", "volume", "network-interface")
    tags = [{"ResourceType": kind, "Tags": [{"Key": "k", "Value": kind}]} for kind in kinds]
    found = instance(svc, launched(svc, TagSpecifications=tags))
    assert found["Tags"] == [{"Key": "k", "Value": "instance"}]
    told = call(svc, "DescribeTags")["Tags"]
    assert {(each["ResourceType"], each["Value"]) for each in told} == {
        (kind, kind) for kind in kinds
    }


def test_devices_are_the_images_as_the_launch_changes_them(
    svc: Services, host: ScriptedHypervisor
) -> None:
    devices = [
        {"DeviceName": ROOT_DEVICE, "Ebs": {"VolumeSize": 3, "DeleteOnTermination": False}},
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}},
        {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
    ]
    made = launched(svc, BlockDeviceMappings=devices, InstanceType="m5d.large")
    disks = host.machines[made].disks
    assert [disk.device_name for disk in disks] == [ROOT_DEVICE, "/dev/sdf", "/dev/sdb"]
    assert [disk.serial[:3] for disk in disks] == ["vol", "vol", "eph"]
    sizes = {
        each["Attachments"][0]["Device"]: each["Size"]
        for each in call(svc, "DescribeVolumes")["Volumes"]
    }
    assert sizes == {ROOT_DEVICE: 3, "/dev/sdf": 2}


def test_an_ephemeral_disk_that_the_type_lacks_is_left_out(
    svc: Services, host: ScriptedHypervisor
) -> None:
    devices = [{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}]
    made = launched(svc, BlockDeviceMappings=devices)
    assert [disk.device_name for disk in host.machines[made].disks] == [ROOT_DEVICE]


def test_a_device_of_the_image_can_be_left_out(svc: Services, host: ScriptedHypervisor) -> None:
    data = BlockDeviceMapping(device_name="/dev/sdf", ebs=EbsDevice(volume_size_gib=1))
    other = "ami-00000000000000002"
    add_image(svc, id=other, name="two disks", block_device_mappings=(a_device(), data))
    devices = [{"DeviceName": "/dev/sdf", "NoDevice": ""}]
    made = launched(svc, ImageId=other, BlockDeviceMappings=devices)
    assert [disk.device_name for disk in host.machines[made].disks] == [ROOT_DEVICE]


def test_an_image_for_imds_v2_wants_tokens_and_two_hops(svc: Services) -> None:
    other = "ami-00000000000000002"
    add_image(svc, id=other, name="v2", imds_support="v2.0")
    options = instance(svc, launched(svc, ImageId=other))["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)
    told = {"HttpTokens": "optional"}
    options = instance(svc, launched(svc, ImageId=other, MetadataOptions=told))["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("optional", 2)


@pytest.mark.parametrize(
    ("boot_mode", "kind", "current"),
    [
        (None, "t3.micro", "legacy-bios"),
        ("legacy-bios", "t3.micro", "legacy-bios"),
        ("uefi", "t3.micro", "uefi"),
        ("uefi-preferred", "t3.micro", "uefi"),
        ("uefi-preferred", "t2.micro", "legacy-bios"),
    ],
)
def test_the_image_and_the_type_decide_the_firmware(
    svc: Services, host: ScriptedHypervisor, boot_mode: str | None, kind: str, current: str
) -> None:
    other = "ami-00000000000000002"
    add_image(svc, id=other, name="other", boot_mode=boot_mode)
    made = launched(svc, ImageId=other, InstanceType=kind)
    assert host.machines[made].firmware == current
    assert instance(svc, made)["CurrentInstanceBootMode"] == current


def test_a_launch_is_remembered_by_its_image(svc: Services) -> None:
    launch(svc)
    told = call(svc, "DescribeImageAttribute", ImageId=IMAGE, Attribute="lastLaunchedTime")
    assert told["LastLaunchedTime"]["Value"].startswith("2024-01-01")


def test_packers_empty_parameters_count_as_absent(svc: Services) -> None:
    made = launched(
        svc,
        KeyName="",
        SubnetId="",
        UserData="",
        IamInstanceProfile={"Name": ""},
        Placement={"AvailabilityZone": ""},
        EbsOptimized=False,
    )
    assert instance(svc, made)["Placement"]["AvailabilityZone"] == "us-east-1a"


def test_an_interface_places_the_instance(svc: Services) -> None:
    subnets = call(svc, "DescribeSubnets")["Subnets"]
    interface = {
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": False,
        "SubnetId": subnets[1]["SubnetId"],
        "DeleteOnTermination": True,
    }
    found = instance(svc, launched(svc, NetworkInterfaces=[interface]))
    assert found["SubnetId"] == subnets[1]["SubnetId"]
    assert found["Placement"]["AvailabilityZone"] == "us-east-1b"
    assert found["PublicIpAddress"] is None


def test_a_dry_run_of_a_launch_makes_nothing(svc: Services) -> None:
    dry = replace(svc, catalog=svc.catalog.dry_run())
    code = refused(dry, "RunInstances", ImageId=IMAGE, MinCount=1, MaxCount=1)
    assert code == "DryRunOperation"
    assert call(svc, "DescribeInstances")["Reservations"] == []


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()


BAD: list[tuple[dict[str, Any], str]] = [
    ({"ImageId": "ami-0000000000000000f"}, "InvalidAMIID.NotFound"),
    ({"ImageId": "nonsense"}, "InvalidAMIID.Malformed"),
    ({"ImageId": ""}, "MissingParameter"),
    ({"MinCount": 0}, "InvalidParameterValue"),
    ({"MinCount": 3, "MaxCount": 2}, "InvalidParameterValue"),
    ({"MaxCount": 5000}, "InstanceLimitExceeded"),
    ({"InstanceType": "t9.micro"}, "InvalidParameterValue"),
    ({"KeyName": "nobody's"}, "InvalidKeyPair.NotFound"),
    ({"UserData": "!!"}, "InvalidParameterValue"),
    ({"UserData": _base64(bytes(16385))}, "InvalidParameterValue"),
    ({"SecurityGroupIds": ["sg-0000000000000000f"]}, "InvalidGroup.NotFound"),
    ({"SecurityGroups": ["nobody's"]}, "InvalidGroup.NotFound"),
    ({"SubnetId": "subnet-0000000000000000f"}, "InvalidSubnetID.NotFound"),
    ({"Placement": {"AvailabilityZone": "us-west-2a"}}, "InvalidParameterValue"),
    ({"Placement": {"Tenancy": "host"}}, "UnsupportedOperation"),
    ({"PrivateIpAddress": "10.112.0.3"}, "InvalidParameterValue"),
    ({"PrivateIpAddress": "10.112.0.9", "MaxCount": 2}, "InvalidParameterCombination"),
    ({"IamInstanceProfile": {"Name": "admin"}}, "UnsupportedOperation"),
    ({"HibernationOptions": {"Configured": True}}, "UnsupportedOperation"),
    ({"LaunchTemplate": {"LaunchTemplateName": "none"}},
     "InvalidLaunchTemplateName.NotFoundException"),
    ({"InstanceInitiatedShutdownBehavior": "sleep"}, "InvalidParameterValue"),
    ({"MetadataOptions": {"HttpPutResponseHopLimit": 65}}, "InvalidParameterValue"),
    ({"MetadataOptions": {"HttpTokens": "maybe"}}, "InvalidParameterValue"),
    ({"InstanceType": "m5.large", "CreditSpecification": {"CpuCredits": "standard"}},
     "InvalidParameterCombination"),
    ({"NetworkInterfaces": [{"DeviceIndex": 1}]}, "InvalidParameterValue"),
    ({"NetworkInterfaces": [{"DeviceIndex": 0}, {"DeviceIndex": 1}]}, "UnsupportedOperation"),
    ({"NetworkInterfaces": [{"DeviceIndex": 0}], "SubnetId": "subnet-0000000000000000f"},
     "InvalidParameterCombination"),
    ({"TagSpecifications": [{"ResourceType": "image", "Tags": []}]}, "InvalidParameterValue"),
    ({"BlockDeviceMappings": [{"DeviceName": ROOT_DEVICE, "NoDevice": ""}]},
     "InvalidBlockDeviceMapping"),
    ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {}}]}, "MissingParameter"),
    ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf",
                               "Ebs": {"VolumeSize": 1, "Encrypted": True}}]},
     "UnsupportedOperation"),
    ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdf",
                               "Ebs": {"SnapshotId": "snap-0000000000000000f"}}]},
     "InvalidSnapshot.NotFound"),
]  # fmt: skip


@pytest.mark.parametrize(("but", "code"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_launch_is_refused_in_ec2s_words(
    svc: Services, but: dict[str, Any], code: str
) -> None:
    asked = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    if "MaxCount" not in but:
        asked["MaxCount"] = max(1, but.get("MinCount", 1)) if "MinCount" in but else 1
    assert refused(svc, "RunInstances", **{**asked, **but}) == code
    assert call(svc, "DescribeInstances")["Reservations"] == []


def test_a_root_smaller_than_its_snapshot_is_refused(svc: Services) -> None:
    other = "ami-00000000000000002"
    add_image(svc, id=other, name="big")
    with svc.catalog.begin() as tx:
        big = snapshots.fetch_any(tx, SNAPSHOT)
        assert big is not None
        snapshots.save(tx, replace(big, volume_size_gib=8))
    devices = [{"DeviceName": ROOT_DEVICE, "Ebs": {"VolumeSize": 4}}]
    asked = {"ImageId": other, "MinCount": 1, "MaxCount": 1, "BlockDeviceMappings": devices}
    assert refused(svc, "RunInstances", **asked) == "InvalidBlockDeviceMapping"


@pytest.mark.parametrize(
    ("but", "code"),
    [
        ({"state": ImageState.DISABLED}, "InvalidAMIID.Unavailable"),
        ({"state": ImageState.PENDING}, "InvalidAMIID.Unavailable"),
        ({"architecture": "arm64"}, "Unsupported"),
        ({"virtualization_type": "paravirtual"}, "Unsupported"),
    ],
)
def test_an_image_that_cannot_boot_is_refused(
    svc: Services, but: dict[str, Any], code: str
) -> None:
    other = "ami-00000000000000002"
    add_image(svc, id=other, name="other", **but)
    assert refused(svc, "RunInstances", ImageId=other, MinCount=1, MaxCount=1) == code


def test_an_image_that_boots_by_uefi_is_refused_on_a_type_that_cannot(svc: Services) -> None:
    other = "ami-00000000000000002"
    add_image(svc, id=other, name="other", boot_mode="uefi")
    asked = {"ImageId": other, "MinCount": 1, "MaxCount": 1, "InstanceType": "t2.micro"}
    assert refused(svc, "RunInstances", **asked) == "Unsupported"


def test_a_snapshot_that_is_not_completed_is_refused(svc: Services) -> None:
    other = "ami-00000000000000002"
    pending = a_pending_snapshot(id="snap-00000000000000002")
    with svc.catalog.begin() as tx:
        snapshots.add(tx, pending)
    add_image(
        svc,
        id=other,
        name="other",
        block_device_mappings=(a_device(snapshot_id=pending.id),),
    )
    assert refused(svc, "RunInstances", ImageId=other, MinCount=1, MaxCount=1) == "IncorrectState"


def test_strangers_cannot_launch_or_see_and_other_regions_do_not_have_it(svc: Services) -> None:
    made = launched(svc)
    bob, elsewhere = a_caller(BOB), a_caller(region=THERE)
    for stranger in (bob, elsewhere):
        asked = {"ImageId": IMAGE, "MinCount": 1, "MaxCount": 1}
        assert refused(svc, "RunInstances", stranger, **asked) == "InvalidAMIID.NotFound"
        for operation in (
            "DescribeInstances",
            "StartInstances",
            "StopInstances",
            "RebootInstances",
            "TerminateInstances",
        ):
            code = refused(svc, operation, stranger, InstanceIds=[made])
            assert code == "InvalidInstanceID.NotFound"
        assert call(svc, "DescribeInstances", stranger)["Reservations"] == []


def test_a_shared_image_is_launched_with_its_owners_snapshot(svc: Services) -> None:
    other = "ami-00000000000000002"
    add_image(svc, id=other, name="shared", public=True)
    bob = a_caller(BOB)
    made = launched(svc, bob, ImageId=other)
    assert instance(svc, made, bob)["State"]["Name"] == "running"


def test_an_instance_nobody_launched_is_not_found(svc: Services) -> None:
    assert an_instance().id == INSTANCE
    assert refused(svc, "DescribeInstances", InstanceIds=[INSTANCE]) == "InvalidInstanceID.NotFound"
