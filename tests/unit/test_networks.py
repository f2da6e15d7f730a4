"""The network, the regions and the types that an account finds."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from openami.actions.metadata import metadata_of
from openami.domain.errors import EC2Error
from openami.domain.filter import Filter, selected
from openami.domain.ids import InstanceId, Region
from openami.domain.network import next_public_ip, next_vpc_cidr
from openami.domain.zone import availability_zones, zone_id
from openami.services import Services
from support.builders import BOB, ROOT_DEVICE, THERE, a_caller
from support.calls import add_image, call, instance, launched, refused
from support.fakes import services
from support.hypervisor import ScriptedHypervisor


@pytest.fixture
def svc(tmp_path: Path) -> Iterator[Services]:
    made = services(tmp_path, compute=ScriptedHypervisor())
    add_image(made)
    yield made
    made.catalog.close()


def test_every_account_and_region_has_a_range_of_its_own(svc: Services) -> None:
    callers = (a_caller(), a_caller(BOB), a_caller(region=THERE))
    cidrs = [call(svc, "DescribeVpcs", each)["Vpcs"][0]["CidrBlock"] for each in callers]
    assert cidrs == ["10.112.0.0/20", "10.112.16.0/20", "10.112.32.0/20"]
    assert call(svc, "DescribeVpcs")["Vpcs"][0]["CidrBlock"] == cidrs[0]


def test_a_vpc_has_a_subnet_in_each_zone(svc: Services) -> None:
    subnets = call(svc, "DescribeSubnets")["Subnets"]
    assert [each["AvailabilityZone"] for each in subnets] == [
        "us-east-1a",
        "us-east-1b",
        "us-east-1c",
    ]
    networks = [IPv4Network(each["CidrBlock"]) for each in subnets]
    assert not any(one.overlaps(other) for one in networks for other in networks if one != other)
    assert subnets[0]["AvailableIpAddressCount"] == 1024 - 5
    launched(svc)
    assert call(svc, "DescribeSubnets")["Subnets"][0]["AvailableIpAddressCount"] == 1024 - 6


@pytest.mark.parametrize(
    "filters",
    [
        [{"Name": "isDefault", "Values": ["true"]}],
        [{"Name": "cidr", "Values": ["10.112.*"]}],
        [{"Name": "state", "Values": ["available"]}],
    ],
)
def test_the_default_vpc_is_found(svc: Services, filters: list[dict[str, Any]]) -> None:
    assert len(call(svc, "DescribeVpcs", Filters=filters)["Vpcs"]) == 1


def test_the_default_subnet_of_a_zone_is_found(svc: Services) -> None:
    filters = [
        {"Name": "default-for-az", "Values": ["true"]},
        {"Name": "availability-zone", "Values": ["us-east-1b"]},
    ]
    (found,) = call(svc, "DescribeSubnets", Filters=filters)["Subnets"]
    assert found["AvailabilityZone"] == "us-east-1b"


def test_what_is_derived_from_a_vpc_names_it(svc: Services) -> None:
    vpc_id = call(svc, "DescribeVpcs")["Vpcs"][0]["VpcId"]
    (gateway,) = call(svc, "DescribeInternetGateways")["InternetGateways"]
    assert gateway["Attachments"] == [{"State": "available", "VpcId": vpc_id}]
    (table,) = call(svc, "DescribeRouteTables")["RouteTables"]
    assert table["Routes"][1]["GatewayId"] == gateway["InternetGatewayId"]
    (acl,) = call(svc, "DescribeNetworkAcls")["NetworkAcls"]
    assert acl["VpcId"] == vpc_id
    assert len(acl["Associations"]) == 3
    told = call(svc, "DescribeVpcAttribute", VpcId=vpc_id, Attribute="enableDnsSupport")
    assert told["EnableDnsSupport"] == {"Value": True}


def test_an_interface_is_its_instances(svc: Services) -> None:
    made = launched(svc)
    (found,) = call(svc, "DescribeNetworkInterfaces")["NetworkInterfaces"]
    assert found["Attachment"]["InstanceId"] == made
    assert found["Association"]["PublicIp"] == "127.100.0.1"
    asked = [{"Name": "attachment.instance-id", "Values": [made]}]
    assert len(call(svc, "DescribeNetworkInterfaces", Filters=asked)["NetworkInterfaces"]) == 1
    call(svc, "TerminateInstances", InstanceIds=[made])
    assert call(svc, "DescribeNetworkInterfaces")["NetworkInterfaces"] == []


NOT_THERE: list[tuple[str, dict[str, Any], str]] = [
    ("DescribeVpcs", {"VpcIds": ["vpc-0000000000000000f"]}, "InvalidVpcID.NotFound"),
    ("DescribeSubnets", {"SubnetIds": ["subnet-0000000000000000f"]}, "InvalidSubnetID.NotFound"),
    (
        "DescribeNetworkInterfaces",
        {"NetworkInterfaceIds": ["eni-0000000000000000f"]},
        "InvalidNetworkInterfaceID.NotFound",
    ),
    ("DescribeVpcs", {"Filters": [{"Name": "x", "Values": []}]}, "InvalidParameterValue"),
    ("DescribeRouteTables", {"RouteTableIds": ["rtb-1"]}, "InvalidRouteTableID.NotFound"),
    (
        "DescribeInternetGateways",
        {"InternetGatewayIds": ["igw-1"]},
        "InvalidInternetGatewayID.NotFound",
    ),
    ("DescribeRegions", {"RegionNames": ["mars-1"]}, "InvalidParameterValue"),
    ("DescribeAvailabilityZones", {"ZoneNames": ["mars-1a"]}, "InvalidParameterValue"),
    ("DescribeInstanceTypes", {"InstanceTypes": ["t9.micro"]}, "InvalidInstanceType"),
    ("DescribeAccountAttributes", {"AttributeNames": ["x"]}, "InvalidParameterValue"),
]


@pytest.mark.parametrize(("operation", "asked", "code"), NOT_THERE)
def test_what_is_not_there_is_refused(
    svc: Services, operation: str, asked: dict[str, Any], code: str
) -> None:
    assert refused(svc, operation, **asked) == code


def test_a_vpc_of_another_account_does_not_exist(svc: Services) -> None:
    vpc_id = call(svc, "DescribeVpcs")["Vpcs"][0]["VpcId"]
    assert refused(svc, "DescribeVpcs", a_caller(BOB), VpcIds=[vpc_id]) == "InvalidVpcID.NotFound"


def test_regions_are_the_servers(svc: Services) -> None:
    found = call(svc, "DescribeRegions")["Regions"]
    assert [each["RegionName"] for each in found] == ["us-east-1", "us-west-2"]
    assert found[0]["Endpoint"] == "127.0.0.1:8773"


def test_account_attributes_name_the_default_vpc(svc: Services) -> None:
    (told,) = call(svc, "DescribeAccountAttributes", AttributeNames=["default-vpc"])[
        "AccountAttributes"
    ]
    assert told["AttributeValues"] == [
        {"AttributeValue": call(svc, "DescribeVpcs")["Vpcs"][0]["VpcId"]}
    ]


def test_instance_types_are_told_in_pages(svc: Services) -> None:
    first = call(svc, "DescribeInstanceTypes", MaxResults=40)
    rest = call(svc, "DescribeInstanceTypes", MaxResults=40, NextToken=first["NextToken"])
    names = [each["InstanceType"] for page in (first, rest) for each in page["InstanceTypes"]]
    assert names == sorted(set(names))
    filters = [{"Name": "instance-storage-supported", "Values": ["true"]}]
    found = call(svc, "DescribeInstanceTypes", Filters=filters)["InstanceTypes"]
    assert {each["InstanceType"].partition(".")[0] for each in found} == {"m1", "m5d", "c5d", "r5d"}


def test_types_are_offered_in_every_zone(svc: Services) -> None:
    asked = {"Filters": [{"Name": "instance-type", "Values": ["t3.micro"]}]}
    found = call(svc, "DescribeInstanceTypeOfferings", LocationType="availability-zone", **asked)[
        "InstanceTypeOfferings"
    ]
    assert [each["Location"] for each in found] == ["us-east-1a", "us-east-1b", "us-east-1c"]


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-1", "use1-az1"),
        ("ap-southeast-2", "apse2-az1"),
        ("eu-central-1", "euc1-az1"),
        ("us-gov-west-1", "usgw1-az1"),
        ("home", "home-az1"),
    ],
)
def test_zones_have_ids_as_ec2s(region: str, expected: str) -> None:
    assert zone_id(availability_zones(Region(region))[0]) == expected


def test_the_lowest_free_range_and_address_are_next() -> None:
    assert next_vpc_cidr("10.0.0.0/18", {"10.0.0.0/20", "10.0.32.0/20"}) == "10.0.16.0/20"
    with pytest.raises(EC2Error, match="maximum number of VPCs"):
        next_vpc_cidr("10.0.0.0/20", {"10.0.0.0/20"})
    assert next_public_ip("127.9.0.0/29", {"127.9.0.1"}) == "127.9.0.2"
    with pytest.raises(EC2Error, match="maximum number of addresses"):
        next_public_ip("127.9.0.0/30", {"127.9.0.1", "127.9.0.2"})


def test_a_filter_without_values_selects_nothing() -> None:
    table = {"name": lambda each: [each]}
    assert selected(["a"], [Filter(name="name", values=())], table) == []
    assert selected(["a", "b"], [Filter(name="name", values=("b", "c"))], table) == ["b"]


def test_the_metadata_of_an_instance_is_what_its_launch_said(svc: Services) -> None:
    call(svc, "CreateKeyPair", KeyName="k", KeyType="ed25519")
    devices = [
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
        {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
    ]
    made = launched(
        svc,
        KeyName="k",
        InstanceType="m5d.large",
        UserData="aGVsbG8=",
        BlockDeviceMappings=devices,
        MetadataOptions={"HttpTokens": "required"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    told = metadata_of(svc, InstanceId(made))
    assert told is not None
    assert told.private_ip == instance(svc, made)["PrivateIpAddress"]
    assert told.user_data == b"hello"
    assert told.block_devices == {
        "ami": ROOT_DEVICE,
        "root": ROOT_DEVICE,
        "ebs1": "/dev/sdf",
        "ephemeral0": "/dev/sdb",
    }
    assert told.public_keys[0].openssh_text.startswith("ssh-ed25519 ")
    assert told.public_keys[0].openssh_text.endswith(" k")
    assert told.options.http_tokens == "required"
    assert told.tags == {"a": "b"}
    assert [group.name for group in told.security_groups] == ["default"]
    call(svc, "TerminateInstances", InstanceIds=[made])
    assert metadata_of(svc, InstanceId(made)) is None
