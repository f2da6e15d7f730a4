"""Launches that cannot be, and what cannot be done to an instance in its state."""

import base64

from support.bad_requests.row import Bad

ONE = {"ImageId": "{image}", "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}
_17K = base64.b64encode(b"#" * 16385).decode()


def _launch(why: str, code: str, **changed: object) -> Bad:
    request = {name: value for name, value in (ONE | changed).items() if value is not None}
    return Bad(why, "RunInstances", request, code)


def _disks(why: str, code: str, *mappings: dict[str, object]) -> Bad:
    return _launch(why, code, BlockDeviceMappings=list(mappings))


def _ebs(device: str, **ebs: object) -> dict[str, object]:
    return {"DeviceName": device, "Ebs": ebs}


LAUNCHES = (
    _launch("no image", "MissingParameter", ImageId=None),
    _launch("no counts", "MissingParameter", MinCount=None, MaxCount=None),
    _launch("a count of zero", "InvalidParameterValue", MinCount=0, MaxCount=0),
    _launch("a negative count", "InvalidParameterValue", MinCount=-1),
    _launch("a count that is no number", "InvalidParameterValue", MinCount="many"),
    _launch("a count beyond all integers", "InvalidParameterValue", MaxCount=10**30),
    _launch(
        "more at least than at most",
        "InvalidParameterValue|InvalidParameterCombination",
        MinCount=3,
        MaxCount=2,
    ),
    _launch("a million servers", "InstanceLimitExceeded", MaxCount=1_000_000),
    _launch("a type that is none", "InvalidParameterValue", InstanceType="t9.huge"),
    _launch("an image that is deregistered", "InvalidAMIID.Unavailable", ImageId="{gone_image}"),
    _launch(
        "an image for another processor",
        "Unsupported|InvalidParameterValue",
        ImageId="{i386_image}",
    ),
    _launch("user data of more than 16 KiB", "InvalidParameterValue", UserData=_17K),
    _launch("user data that is no base64", "InvalidParameterValue", UserData="#!/bin/sh"),
    _launch(
        "a client token of 65 characters",
        "InvalidClientToken|InvalidParameterValue",
        ClientToken="x" * 65,
    ),
    _launch(
        "a client token that is no ASCII",
        "InvalidClientToken|InvalidParameterValue",
        ClientToken="tökén",
    ),
    _launch(
        "a client token used otherwise before",
        "IdempotentParameterMismatch",
        ClientToken="{used_token}",
    ),
    _launch(
        "a zone that is none", "InvalidParameterValue", Placement={"AvailabilityZone": "us-east-1q"}
    ),
    _launch(
        "a zone of another region",
        "InvalidParameterValue",
        Placement={"AvailabilityZone": "us-west-2a"},
    ),
    _launch(
        "an address outside of the subnet",
        "InvalidParameterValue",
        SubnetId="{subnet}",
        PrivateIpAddress="192.0.2.1",
    ),
    _launch(
        "an address that is none",
        "InvalidParameterValue",
        SubnetId="{subnet}",
        PrivateIpAddress="10.0.0.300",
    ),
    _launch(
        "one address for two servers",
        "InvalidParameterCombination",
        MinCount=2,
        MaxCount=2,
        PrivateIpAddress="{free_ip}",
    ),
    _launch(
        "an address in use",
        "InvalidIPAddress.InUse",
        PrivateIpAddress="{used_ip}",
        SubnetId="{used_subnet}",
    ),
    _launch(
        "an interface and a subnet",
        "InvalidParameterCombination",
        SubnetId="{subnet}",
        NetworkInterfaces=[{"DeviceIndex": 0}],
    ),
    _launch(
        "metadata tokens that may be",
        "InvalidParameterValue",
        MetadataOptions={"HttpTokens": "maybe"},
    ),
    _launch(
        "a hop limit of 0", "InvalidParameterValue", MetadataOptions={"HttpPutResponseHopLimit": 0}
    ),
    _launch(
        "a hop limit of 65",
        "InvalidParameterValue",
        MetadataOptions={"HttpPutResponseHopLimit": 65},
    ),
    _launch(
        "a shutdown behavior that is none",
        "InvalidParameterValue",
        InstanceInitiatedShutdownBehavior="hibernate",
    ),
    _launch(
        "credits for a type without",
        "InvalidParameterCombination",
        InstanceType="m5.large",
        CreditSpecification={"CpuCredits": "unlimited"},
    ),
    _launch(
        "tags for what it does not make",
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
    ),
    _launch(
        "tags for what EC2 does not have",
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "banana", "Tags": [{"Key": "a", "Value": "b"}]}],
    ),
    _launch(
        "reserved tags",
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "aws:x", "Value": "b"}]}],
    ),
    _disks(
        "a device twice",
        "InvalidBlockDeviceMapping",
        _ebs("/dev/sdg", VolumeSize=1),
        _ebs("/dev/sdg", VolumeSize=2),
    ),
    _disks(
        "a root smaller than its snapshot",
        "InvalidBlockDeviceMapping",
        _ebs("/dev/xvda", VolumeSize=1),
    ),
    _disks(
        "a disk too large",
        "InvalidParameterValue|InvalidBlockDeviceMapping",
        _ebs("/dev/sdg", VolumeSize=20000, VolumeType="gp2"),
    ),
    _disks(
        "a disk of no size",
        "InvalidParameterValue|InvalidBlockDeviceMapping",
        _ebs("/dev/sdg", VolumeSize=0),
    ),
    _disks(
        "a disk of negative size",
        "InvalidParameterValue|InvalidBlockDeviceMapping",
        _ebs("/dev/sdg", VolumeSize=-8),
    ),
    _disks(
        "a disk of a size that is none", "InvalidParameterValue", _ebs("/dev/sdg", VolumeSize="big")
    ),
    _disks(
        "a disk of neither size nor snapshot",
        "MissingParameter|InvalidBlockDeviceMapping",
        _ebs("/dev/sdg", DeleteOnTermination=True),
    ),
    _disks(
        "a disk type that is none",
        "InvalidParameterValue|UnknownVolumeType",
        _ebs("/dev/sdg", VolumeSize=8, VolumeType="floppy"),
    ),
    _disks(
        "iops for a type without",
        "InvalidParameterCombination",
        _ebs("/dev/sdg", VolumeSize=8, VolumeType="gp2", Iops=3000),
    ),
    _disks(
        "io1 without iops",
        "InvalidParameterCombination",
        _ebs("/dev/sdg", VolumeSize=8, VolumeType="io1"),
    ),
    _disks(
        "throughput for a type without",
        "InvalidParameterCombination",
        _ebs("/dev/sdg", VolumeSize=8, VolumeType="gp2", Throughput=200),
    ),
    _disks(
        "too many iops",
        "InvalidParameterValue|InvalidParameterCombination",
        _ebs("/dev/sdg", VolumeSize=8, VolumeType="gp3", Iops=10**6),
    ),
    _disks(
        "a snapshot nobody has",
        "InvalidSnapshot.NotFound",
        _ebs("/dev/sdg", SnapshotId="snap-0123456789abcdef0"),
    ),
    _disks(
        "a disk of two kinds",
        "InvalidBlockDeviceMapping",
        {**_ebs("/dev/sdg", VolumeSize=1), "VirtualName": "ephemeral0"},
    ),
    _disks("a disk of no kind", "InvalidBlockDeviceMapping", {"DeviceName": "/dev/sdg"}),
    _disks(
        "a virtual name that is none",
        "InvalidBlockDeviceMapping",
        {"DeviceName": "/dev/sdg", "VirtualName": "floppy0"},
    ),
    _disks(
        "a virtual name too high",
        "InvalidBlockDeviceMapping",
        {"DeviceName": "/dev/sdg", "VirtualName": "ephemeral24"},
    ),
    _disks(
        "a device name that is none",
        "InvalidBlockDeviceMapping",
        _ebs("C:/Program Files/Git/dev/sda1", VolumeSize=1),
    ),
    _disks("a disk without a device name", "InvalidBlockDeviceMapping", {"Ebs": {"VolumeSize": 1}}),
    _disks("no root", "InvalidBlockDeviceMapping", {"DeviceName": "/dev/xvda", "NoDevice": ""}),
    _disks(
        "a root without its snapshot",
        "InvalidBlockDeviceMapping",
        {"DeviceName": "/dev/xvda", "VirtualName": "ephemeral0"},
    ),
)

_I = "InstanceId"

INSTANCES = (
    Bad("no instances to terminate", "TerminateInstances", {}, "MissingParameter"),
    Bad("no instances to start", "StartInstances", {}, "MissingParameter"),
    Bad(
        "starting a terminated one",
        "StartInstances",
        {"InstanceIds": ["{terminated}"]},
        "IncorrectInstanceState",
    ),
    Bad(
        "stopping a terminated one",
        "StopInstances",
        {"InstanceIds": ["{terminated}"]},
        "IncorrectInstanceState",
    ),
    Bad(
        "rebooting a stopped one",
        "RebootInstances",
        {"InstanceIds": ["{stopped}"]},
        "IncorrectInstanceState|IncorrectState",
    ),
    Bad(
        "terminating a protected one",
        "TerminateInstances",
        {"InstanceIds": ["{protected}"]},
        "OperationNotPermitted",
    ),
    Bad(
        "terminating a protected one with others",
        "TerminateInstances",
        {"InstanceIds": ["{running}", "{protected}"]},
        "OperationNotPermitted",
    ),
    Bad(
        "stopping a stop-protected one",
        "StopInstances",
        {"InstanceIds": ["{protected}"]},
        "OperationNotPermitted|UnsupportedOperation",
    ),
    Bad(
        "making an image of a terminated one",
        "CreateImage",
        {_I: "{terminated}", "Name": "bad one"},
        "IncorrectInstanceState|IncorrectState",
    ),
    Bad(
        "changing the type of a running one",
        "ModifyInstanceAttribute",
        {_I: "{running}", "InstanceType": {"Value": "t3.small"}},
        "IncorrectInstanceState",
    ),
    Bad(
        "changing the user data of a running one",
        "ModifyInstanceAttribute",
        {_I: "{running}", "UserData": {"Value": b"x"}},
        "IncorrectInstanceState",
    ),
    Bad(
        "changing to a type that is none",
        "ModifyInstanceAttribute",
        {_I: "{stopped}", "InstanceType": {"Value": "t9.huge"}},
        "InvalidParameterValue|InvalidInstanceAttributeValue",
    ),
    Bad(
        "changing nothing",
        "ModifyInstanceAttribute",
        {_I: "{stopped}"},
        "InvalidParameterCombination",
    ),
    Bad(
        "changing two attributes at once",
        "ModifyInstanceAttribute",
        {_I: "{stopped}", "InstanceType": {"Value": "t3.small"}, "EbsOptimized": {"Value": True}},
        "InvalidParameterCombination",
    ),
    Bad(
        "changing an attribute that is none",
        "ModifyInstanceAttribute",
        {_I: "{stopped}", "Attribute": "color", "Value": "red"},
        "InvalidParameterValue|InvalidParameterCombination",
    ),
    Bad(
        "changing user data to no base64",
        "ModifyInstanceAttribute",
        {_I: "{stopped}", "Attribute": "userData", "Value": "%%%"},
        "InvalidParameterValue",
    ),
    Bad(
        "changing user data to too much",
        "ModifyInstanceAttribute",
        {_I: "{stopped}", "UserData": {"Value": b"#" * 16385}},
        "InvalidParameterValue",
    ),
    Bad(
        "changing to a flag that is none",
        "ModifyInstanceAttribute",
        {_I: "{stopped}", "Attribute": "disableApiTermination", "Value": "perhaps"},
        "InvalidParameterValue",
    ),
    Bad(
        "changing a device it does not have",
        "ModifyInstanceAttribute",
        {
            _I: "{running}",
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/sdz", "Ebs": {"DeleteOnTermination": True}}
            ],
        },
        "InvalidInstanceAttributeValue|InvalidParameterValue|InvalidBlockDeviceMapping",
    ),
    Bad(
        "changing to no groups",
        "ModifyInstanceAttribute",
        {_I: "{running}", "Groups": ["sg-0123456789abcdef0"]},
        "InvalidGroup.NotFound",
    ),
    Bad(
        "reading an attribute that is none",
        "DescribeInstanceAttribute",
        {_I: "{running}", "Attribute": "color"},
        "InvalidParameterValue",
    ),
    Bad("reading no attribute", "DescribeInstanceAttribute", {_I: "{running}"}, "MissingParameter"),
    Bad(
        "metadata options that are none",
        "ModifyInstanceMetadataOptions",
        {_I: "{running}", "HttpTokens": "never"},
        "InvalidParameterValue",
    ),
    Bad("console of nothing", "GetConsoleOutput", {}, "MissingParameter"),
)
