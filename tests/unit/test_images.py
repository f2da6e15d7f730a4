"""RegisterImage, DescribeImages, DeregisterImage."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.domain.block_device import BlockDeviceMapping
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import ImageState
from openami.services import Services
from openami.workflows import purge_images
from support.asking import a_bootable_image, a_running_instance, ask, filtered, put, refused
from support.builders import (
    ALICE,
    BOB,
    CAROL,
    IMAGE,
    SNAPSHOT,
    THERE,
    a_device,
    a_pending_snapshot,
    a_snapshot,
    an_image,
)
from support.fakes import StoppedClock, services

OTHER = ImageId("ami-00000000000000002")
ROOT = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": SNAPSHOT}}


def with_snapshot(tmp_path: Path) -> Services:
    svc = services(tmp_path)
    put(svc, a_snapshot(volume_size_gib=8))
    return svc


def register(svc: Services, *more: dict[str, Any], **but: Any) -> str:
    request: dict[str, Any] = {
        "Name": "web-1",
        "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [ROOT, *more],
    }
    return str(ask(svc, "RegisterImage", **(request | but))["ImageId"])


def the_image(svc: Services, image_id: str) -> dict[str, Any]:
    (image,) = ask(svc, "DescribeImages", ImageIds=[image_id])["Images"]
    return image


def ids(svc: Services, **request: Any) -> list[str]:
    return [image["ImageId"] for image in ask(svc, "DescribeImages", **request)["Images"]]


def test_a_registered_image_is_available_at_once_with_ec2s_defaults(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    image = the_image(svc, register(svc, ImageLocation=""))
    assert image["State"] == "available"
    assert (image["Architecture"], image["VirtualizationType"]) == ("i386", "paravirtual")
    assert image["CreationDate"] == "2024-01-01T00:00:00.000Z"
    assert image["ImageLocation"] == f"{ALICE}/web-1"
    assert image["Public"] is False
    assert "SourceInstanceId" not in image
    assert "StateReason" not in image
    assert image["BlockDeviceMappings"] == [
        {
            "DeviceName": "/dev/xvda",
            "Ebs": {
                "SnapshotId": SNAPSHOT,
                "VolumeSize": 8,
                "VolumeType": "gp2",
                "DeleteOnTermination": True,
                "Encrypted": False,
            },
        }
    ]


def test_what_an_image_is_told_it_tells(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    image_id = register(
        svc,
        {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 4, "VolumeType": "gp3", "Iops": 3500}},
        {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral0"},
        {"DeviceName": "/dev/sdd", "NoDevice": ""},
        Description="a web server",
        Architecture="x86_64",
        VirtualizationType="hvm",
        BootMode="uefi",
        EnaSupport=True,
        SriovNetSupport="simple",
        ImdsSupport="v2.0",
        TagSpecifications=[
            {"ResourceType": "image", "Tags": [{"Key": "Version", "Value": "1"}]},
        ],
    )
    image = the_image(svc, image_id)
    assert image["BootMode"] == "uefi"
    assert image["Description"] == "a web server"
    assert image["EnaSupport"] is True
    assert image["SriovNetSupport"] == "simple"
    assert image["ImdsSupport"] == "v2.0"
    assert image["RootDeviceType"] == "ebs"
    assert image["Tags"] == [{"Key": "Version", "Value": "1"}]
    assert [each["DeviceName"] for each in image["BlockDeviceMappings"]] == [
        "/dev/xvda",
        "/dev/sdb",
        "/dev/sdc",
    ]
    assert image["BlockDeviceMappings"][1]["Ebs"] == {
        "VolumeSize": 4,
        "VolumeType": "gp3",
        "Iops": 3500,
        "DeleteOnTermination": False,
        "Encrypted": False,
    }
    assert image["BlockDeviceMappings"][2]["VirtualName"] == "ephemeral0"


@pytest.mark.parametrize(
    ("but", "code", "words"),
    [
        ({"Name": "no"}, "InvalidAMIName.Malformed", "between 3 and 128"),
        ({"Name": "with*star"}, "InvalidAMIName.Malformed", "with*star"),
        ({"Architecture": "sparc"}, "InvalidParameterValue", "sparc"),
        ({"VirtualizationType": "vm"}, "InvalidParameterValue", "vm"),
        ({"BootMode": "bios"}, "InvalidParameterValue", "bios"),
        ({"ImdsSupport": "v1.0"}, "InvalidParameterValue", "v1.0"),
        ({"BlockDeviceMappings": []}, "InvalidBlockDeviceMapping", "/dev/xvda"),
        ({"RootDeviceName": "/dev/sda1"}, "InvalidBlockDeviceMapping", "/dev/sda1"),
        ({"TpmSupport": "v2.0"}, "UnsupportedOperation", "TpmSupport"),
        ({"ImageLocation": "bucket/x"}, "UnsupportedOperation", "ImageLocation"),
        (
            {"TagSpecifications": [{"ResourceType": "snapshot", "Tags": []}]},
            "InvalidParameterValue",
            "'snapshot' is not a valid taggable resource type for this operation.",
        ),
    ],
)
def test_a_registration_is_refused(
    tmp_path: Path, but: dict[str, Any], code: str, words: str
) -> None:
    svc = with_snapshot(tmp_path)
    with refused(code, words):
        register(svc, **but)
    assert ids(svc) == []


@pytest.mark.parametrize(
    ("ebs", "code", "words"),
    [
        ({"SnapshotId": SNAPSHOT, "VolumeSize": 7}, "InvalidBlockDeviceMapping", "smaller"),
        ({"SnapshotId": SNAPSHOT, "Encrypted": True}, "InvalidBlockDeviceMapping", "encrypted"),
        ({"VolumeSize": 1, "Encrypted": True}, "UnsupportedOperation", "encrypt"),
        ({"VolumeType": "gp2"}, "MissingParameter", "size/snapshot"),
        ({"SnapshotId": SNAPSHOT, "VolumeType": "st1"}, "InvalidParameterValue", "125"),
        ({"SnapshotId": "snap-1"}, "InvalidSnapshotID.Malformed", "snap-1"),
        ({"SnapshotId": "snap-00000000"}, "InvalidSnapshot.NotFound", "snap-00000000"),
        ({"SnapshotId": SNAPSHOT, "KmsKeyId": "k"}, "UnsupportedOperation", "KmsKeyId"),
    ],
)
def test_a_device_is_refused(tmp_path: Path, ebs: dict[str, Any], code: str, words: str) -> None:
    svc = with_snapshot(tmp_path)
    with refused(code, words):
        register(svc, {"DeviceName": "/dev/sdb", "Ebs": ebs})


def test_an_image_needs_snapshots_that_are_complete(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_pending_snapshot())
    with refused("IncorrectState", SNAPSHOT):
        register(svc)


def test_an_image_needs_snapshots_of_its_own_account_and_region(tmp_path: Path) -> None:
    for number, but in enumerate(({"owner": BOB}, {"region": THERE})):
        svc = services(tmp_path / str(number))
        put(svc, a_snapshot(**but))
        with refused("InvalidSnapshot.NotFound", SNAPSHOT):
            register(svc)


def test_a_name_is_used_once_in_an_account_and_region(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    first = register(svc)
    with refused("InvalidAMIName.Duplicate", f"AMI name web-1 is already in use by AMI {first}"):
        register(svc)
    ask(svc, "DeregisterImage", ImageId=first)
    assert register(svc) != first


def test_an_unknown_image_is_not_found_and_an_unshared_one_is_as_unknown(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image())
    with refused("InvalidAMIID.NotFound", f"The image id '[{IMAGE}]' does not exist"):
        ask(svc, "DescribeImages", account=BOB, ImageIds=[IMAGE])
    with refused("InvalidAMIID.NotFound", f"The image ids '[{OTHER}, ami-00000000]' do not exist"):
        ask(svc, "DescribeImages", ImageIds=[IMAGE, OTHER, "ami-00000000"])
    with refused("InvalidAMIID.NotFound"):
        ask(svc, "DescribeImages", region=THERE, ImageIds=[IMAGE])
    with refused("InvalidAMIID.Malformed", '(expecting "ami-...")'):
        ask(svc, "DescribeImages", ImageIds=["not_an_ami_id"])


def test_owners_and_executable_users_narrow_what_is_visible(tmp_path: Path) -> None:
    svc = services(tmp_path)
    mine = ImageId("ami-0000000b")
    open_to_all = ImageId("ami-0000000c")
    put(
        svc,
        an_image(shared_with=frozenset({BOB, CAROL})),
        an_image(id=OTHER, name="private"),
        an_image(id=open_to_all, name="public", public=True),
        an_image(id=mine, name="mine", owner=BOB),
    )

    def seen(**request: Any) -> set[str]:
        return set(ids(svc, account=BOB, **request))

    assert seen() == {IMAGE, open_to_all, mine}
    assert seen(Owners=["self"]) == {mine}
    assert seen(Owners=[ALICE]) == {IMAGE, open_to_all}
    assert seen(Owners=["amazon"]) == set()
    assert seen(Owners=["amazon", "self"]) == {mine}
    assert seen(ExecutableUsers=["self"]) == {IMAGE}
    assert seen(ExecutableUsers=[BOB]) == {IMAGE}
    assert seen(ExecutableUsers=["all"]) == {open_to_all}
    assert seen(ExecutableUsers=["self", "all"]) == {IMAGE, open_to_all}
    with refused("InvalidUserID.Malformed"):
        seen(Owners=["bob"])


def test_with_whom_else_an_image_is_shared_only_its_owner_learns(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image(shared_with=frozenset({BOB, CAROL})))
    assert ids(svc, account=BOB, ExecutableUsers=[CAROL]) == []
    assert ids(svc, account=ALICE, ExecutableUsers=[CAROL]) == [IMAGE]


def test_a_disabled_image_is_hidden_from_those_it_was_shared_with(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image(state=ImageState.DISABLED, shared_with=frozenset({BOB})))
    assert ids(svc) == []
    assert ids(svc, IncludeDisabled=True) == [IMAGE]
    assert ids(svc, account=BOB, IncludeDisabled=True) == []


FOUND = [
    ("architecture", "x86_64"),
    ("block-device-mapping.delete-on-termination", "true"),
    ("block-device-mapping.device-name", "/dev/xvda"),
    ("block-device-mapping.snapshot-id", SNAPSHOT),
    ("block-device-mapping.volume-size", "1"),
    ("block-device-mapping.volume-type", "gp*"),
    ("block-device-mapping.encrypted", "false"),
    ("boot-mode", "uefi"),
    ("creation-date", "2024-01-01T*"),
    ("creation-date", "2024-01-01T00:00:00.000Z"),
    ("description", "a ???? server"),
    ("ena-support", "false"),
    ("hypervisor", "xen"),
    ("image-id", IMAGE),
    ("image-type", "machine"),
    ("is-public", "false"),
    ("manifest-location", f"{ALICE}/*"),
    ("name", "debian-*"),
    ("owner-id", ALICE),
    ("root-device-name", "/dev/xvda"),
    ("root-device-type", "ebs"),
    ("state", "available"),
    ("virtualization-type", "hvm"),
]


@pytest.mark.parametrize(("name", "value"), FOUND)
def test_a_filter_finds_the_image(tmp_path: Path, name: str, value: str) -> None:
    svc = services(tmp_path)
    put(svc, an_image(boot_mode="uefi", description="a fine server"))
    assert ids(svc, Filters=filtered(name, "nothing", value)) == [IMAGE]


@pytest.mark.parametrize("name", sorted({name for name, _ in FOUND}))
def test_a_filter_leaves_out_the_image(tmp_path: Path, name: str) -> None:
    svc = services(tmp_path)
    put(svc, an_image(boot_mode="uefi", description="a fine server"))
    assert ids(svc, Filters=filtered(name, "nothing")) == []
    assert ids(svc, Filters=[{"Name": name}]) == []


@pytest.mark.parametrize(
    "name",
    [
        *("image-watermark.watermark-key", "product-code", "owner-alias", "image-allowed"),
        *("scan-result.finding-scan-date", "public-ssm-parameter-name", "kernel-id", "platform"),
        "instance-type-specification.supported-instance-type",
    ],
)
def test_a_filter_on_what_no_image_has_yet_matches_nothing(tmp_path: Path, name: str) -> None:
    svc = services(tmp_path)
    put(svc, an_image())
    assert ids(svc, Filters=filtered(name, "*")) == []


def test_a_filter_that_ec2_does_not_have_is_refused(tmp_path: Path) -> None:
    with refused("InvalidParameterValue", "The filter 'colour' is invalid"):
        ids(services(tmp_path), Filters=filtered("colour", "red"))


def test_an_ephemeral_device_is_neither_encrypted_nor_not(tmp_path: Path) -> None:
    svc = services(tmp_path)
    disk = BlockDeviceMapping(device_name="/dev/sdb", virtual_name="ephemeral0")
    put(svc, an_image(block_device_mappings=(disk,), root_device_name="/dev/sdb"))
    assert ids(svc, Filters=filtered("block-device-mapping.encrypted", "*")) == []
    assert ids(svc, Filters=filtered("root-device-type", "instance-store")) == [IMAGE]


def test_a_listing_comes_in_pages(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, *(an_image(id=ImageId(f"ami-0000000{n}"), name=f"image-{n}") for n in range(5)))
    pages: list[list[str]] = []
    token: dict[str, str] = {}
    while True:
        answer = ask(svc, "DescribeImages", MaxResults=2, **token)
        pages.append([image["ImageId"] for image in answer["Images"]])
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert [len(each) for each in pages] == [2, 2, 1]
    assert [each for part in pages for each in part] == ids(svc)


def test_a_deregistered_image_is_known_for_an_hour(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image())
    assert ask(svc, "DeregisterImage", ImageId=IMAGE) == {"Return": True}
    assert ids(svc) == []
    assert ids(svc, ImageIds=[IMAGE]) == []
    with refused("InvalidAMIID.Unavailable", f"The image id '[{IMAGE}]' is no longer available"):
        ask(svc, "DeregisterImage", ImageId=IMAGE)
    purge_images.resume(svc)
    assert ids(svc, ImageIds=[IMAGE]) == []
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(minutes=61))
    purge_images.resume(svc)
    with refused("InvalidAMIID.NotFound"):
        ids(svc, ImageIds=[IMAGE])


def test_only_its_owner_deregisters_an_image(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image(public=True))
    with refused("AuthFailure", IMAGE):
        ask(svc, "DeregisterImage", account=BOB, ImageId=IMAGE)
    with refused("InvalidAMIID.NotFound"):
        ask(svc, "DeregisterImage", account=BOB, ImageId=OTHER)


def test_deregistering_tells_what_became_of_each_snapshot(tmp_path: Path) -> None:
    svc = services(tmp_path)
    shared, foreign, lost, hidden = (SnapshotId(f"snap-0000000{n}") for n in "abcd")
    put(
        svc,
        a_snapshot(),
        a_snapshot(id=shared),
        a_snapshot(id=foreign, owner=BOB, shared_with=frozenset({ALICE})),
        a_snapshot(id=hidden, owner=BOB),
        an_image(
            block_device_mappings=(
                a_device(),
                a_device("/dev/sdb", snapshot_id=shared),
                a_device("/dev/sdc", snapshot_id=foreign),
                a_device("/dev/sdd", snapshot_id=lost),
                a_device("/dev/sde", snapshot_id=hidden),
            )
        ),
        an_image(id=OTHER, name="other", block_device_mappings=(a_device(snapshot_id=shared),)),
    )
    answer = ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)
    assert answer["DeleteSnapshotResults"] == [
        {"SnapshotId": SNAPSHOT, "ReturnCode": "success"},
        {"SnapshotId": shared, "ReturnCode": "skipped"},
        {"SnapshotId": foreign, "ReturnCode": "missing-permissions"},
        {"SnapshotId": lost, "ReturnCode": "client-error"},
        {"SnapshotId": hidden, "ReturnCode": "client-error"},
    ]
    left = ask(svc, "DescribeSnapshots", OwnerIds=["self"])["Snapshots"]
    assert [each["SnapshotId"] for each in left] == [shared]


def test_instances_of_a_deregistered_image_go_on_and_no_new_ones_start(tmp_path: Path) -> None:
    svc = services(tmp_path)
    image = a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    ask(svc, "DeregisterImage", ImageId=image.id)
    ask(svc, "StopInstances", InstanceIds=[instance_id])
    ask(svc, "StartInstances", InstanceIds=[instance_id])
    answer = ask(svc, "DescribeInstances", InstanceIds=[instance_id])
    assert answer["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
    with refused("InvalidAMIID.Unavailable"):
        a_running_instance(svc)
