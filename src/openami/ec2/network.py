"""The network that an account finds: VPC, subnets, routes, gateway, ACL, interfaces."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from openami.actions import network
from openami.actions.network import DefaultNetwork, Interface
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.filter import selected
from openami.domain.ids import parse_network_interface_id, parse_subnet_id, parse_vpc_id
from openami.domain.network import Subnet
from openami.domain.zone import zone_id
from openami.ec2 import instance_shapes
from openami.ec2.instance_shapes import tag_list
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, page, paged
from openami.services import Services

Shape = dict[str, Any]
T = TypeVar("T")
Table = Mapping[str, Callable[[T], Iterable[str]]]

_ANYWHERE: Final = "0.0.0.0/0"


def describe_vpcs(svc: Services, caller: Caller, request: Request) -> Result:
    page(request, 5, 1000, ids="VpcIds")  # checked; an account has one VPC, so one page is all
    ids = [parse_vpc_id(text) for text in request.get("VpcIds", ())]
    found = network.default_network(svc, caller)
    network.checked_vpc(found, ids)
    shown = selected(
        [found], filters(request), _VPC_FILTERS, lambda each: each.tags_of(each.vpc.id)
    )
    return {"Vpcs": [_vpc_shape(each) for each in shown]}


_VPC_FILTERS: Final[Table[DefaultNetwork]] = {
    "vpc-id": lambda each: [each.vpc.id],
    "cidr": lambda each: [each.vpc.cidr],
    "cidr-block-association.cidr-block": lambda each: [each.vpc.cidr],
    "dhcp-options-id": lambda each: [each.derived_id("dopt")],
    "is-default": lambda _: ["true"],
    "isDefault": lambda _: ["true"],
    "owner-id": lambda each: [each.vpc.owner],
    "state": lambda _: ["available"],
}


def _vpc_shape(found: DefaultNetwork) -> Shape:
    vpc = found.vpc
    return {
        "VpcId": vpc.id,
        "OwnerId": vpc.owner,
        "State": "available",
        "CidrBlock": vpc.cidr,
        "CidrBlockAssociationSet": [
            {
                "AssociationId": found.derived_id("vpc-cidr-assoc"),
                "CidrBlock": vpc.cidr,
                "CidrBlockState": {"State": "associated"},
            }
        ],
        "DhcpOptionsId": found.derived_id("dopt"),
        "InstanceTenancy": "default",
        "IsDefault": True,
        "Tags": tag_list(found.tags_of(vpc.id)),
    }


_VPC_ATTRIBUTES: Final = {
    "enableDnsSupport": ("EnableDnsSupport", True),
    "enableDnsHostnames": ("EnableDnsHostnames", True),
    "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", False),
}


def describe_vpc_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    vpc_id = parse_vpc_id(request["VpcId"])
    network.checked_vpc(network.default_network(svc, caller), [vpc_id])
    if request["Attribute"] not in _VPC_ATTRIBUTES:
        raise InvalidParameterValue(
            f"Value ({request['Attribute']}) for parameter attribute is invalid."
        )
    name, value = _VPC_ATTRIBUTES[request["Attribute"]]
    return {"VpcId": vpc_id, name: {"Value": value}}


def describe_subnets(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000, ids="SubnetIds")
    ids = [parse_subnet_id(text) for text in request.get("SubnetIds", ())]
    found = network.default_network(svc, caller)
    network.checked_subnets(found, ids)
    wanted = [subnet for subnet in found.subnets if not ids or subnet.id in ids]
    shown = selected(
        wanted, filters(request), _subnet_filters(found), lambda each: found.tags_of(each.id)
    )
    shown = [each for each in shown if asked.after is None or each.id > asked.after]
    part, token = paged(shown, asked)
    return {"Subnets": [_subnet_shape(each, found) for each in part], **token}


def _subnet_filters(found: DefaultNetwork) -> Table[Subnet]:
    zone: Callable[[Subnet], Iterable[str]] = lambda each: [each.availability_zone]  # noqa: E731
    cidr: Callable[[Subnet], Iterable[str]] = lambda each: [each.cidr]  # noqa: E731
    return {
        "subnet-id": lambda each: [each.id],
        "vpc-id": lambda each: [each.vpc_id],
        "availability-zone": zone,
        "availabilityZone": zone,
        "availability-zone-id": lambda each: [zone_id(each.availability_zone)],
        "available-ip-address-count": lambda each: [str(found.free_addresses[each.id])],
        "cidr": cidr,
        "cidr-block": cidr,
        "cidrBlock": cidr,
        "default-for-az": lambda _: ["true"],
        "defaultForAz": lambda _: ["true"],
        "map-public-ip-on-launch": lambda _: ["true"],
        "owner-id": lambda each: [each.owner],
        "state": lambda _: ["available"],
    }


def _subnet_shape(subnet: Subnet, found: DefaultNetwork) -> Shape:
    arn = f"arn:aws:ec2:{subnet.region}:{subnet.owner}:subnet/{subnet.id}"
    return {
        "SubnetId": subnet.id,
        "SubnetArn": arn,
        "VpcId": subnet.vpc_id,
        "OwnerId": subnet.owner,
        "State": "available",
        "CidrBlock": subnet.cidr,
        "AvailabilityZone": subnet.availability_zone,
        "AvailabilityZoneId": zone_id(subnet.availability_zone),
        "AvailableIpAddressCount": found.free_addresses[subnet.id],
        "AssignIpv6AddressOnCreation": False,
        "DefaultForAz": True,
        "EnableDns64": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Ipv6Native": False,
        "MapCustomerOwnedIpOnLaunch": False,
        "MapPublicIpOnLaunch": True,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
        "Tags": tag_list(found.tags_of(subnet.id)),
    }


def _check_derived(ids: Sequence[str], only_id: str, code: str, noun: str) -> None:
    for each in ids:
        if each != only_id:
            raise EC2Error.of(code, f"The {noun} ID '{each}' does not exist")


def describe_internet_gateways(svc: Services, caller: Caller, request: Request) -> Result:
    page(request, 5, 1000, ids="InternetGatewayIds")
    found = network.default_network(svc, caller)
    its_id, vpc_id = found.derived_id("igw"), found.vpc.id
    _check_derived(
        request.get("InternetGatewayIds", ()),
        its_id,
        "InvalidInternetGatewayID.NotFound",
        "internetGateway",
    )
    table: Table[DefaultNetwork] = {
        "internet-gateway-id": lambda _: [its_id],
        "attachment.vpc-id": lambda _: [vpc_id],
        "attachment.state": lambda _: ["available"],
        "owner-id": lambda each: [each.vpc.owner],
    }
    shown = selected([found], filters(request), table, lambda _: {})
    gateway: Shape = {
        "InternetGatewayId": its_id,
        "OwnerId": found.vpc.owner,
        "Attachments": [{"State": "available", "VpcId": vpc_id}],
        "Tags": [],
    }
    return {"InternetGateways": [gateway for _ in shown]}


def describe_route_tables(svc: Services, caller: Caller, request: Request) -> Result:
    page(request, 5, 100, ids="RouteTableIds")
    found = network.default_network(svc, caller)
    its_id = found.derived_id("rtb")
    _check_derived(
        request.get("RouteTableIds", ()), its_id, "InvalidRouteTableID.NotFound", "routeTable"
    )
    table: Table[DefaultNetwork] = {
        "route-table-id": lambda _: [its_id],
        "vpc-id": lambda each: [each.vpc.id],
        "owner-id": lambda each: [each.vpc.owner],
        "association.main": lambda _: ["true"],
        "association.route-table-id": lambda _: [its_id],
        # The subnets use the main table without being associated with it by name.
        "association.subnet-id": lambda _: (),
        "route.destination-cidr-block": lambda each: [each.vpc.cidr, _ANYWHERE],
        "route.gateway-id": lambda each: ["local", each.derived_id("igw")],
    }
    shown = selected([found], filters(request), table, lambda _: {})
    return {"RouteTables": [_route_table_shape(each, its_id) for each in shown]}


def _route_table_shape(found: DefaultNetwork, its_id: str) -> Shape:
    return {
        "RouteTableId": its_id,
        "VpcId": found.vpc.id,
        "OwnerId": found.vpc.owner,
        "PropagatingVgws": [],
        "Tags": [],
        "Associations": [
            {
                "Main": True,
                "RouteTableAssociationId": found.derived_id("rtbassoc"),
                "RouteTableId": its_id,
                "AssociationState": {"State": "associated"},
            }
        ],
        "Routes": [
            _route(found.vpc.cidr, "local", "CreateRouteTable"),
            _route(_ANYWHERE, found.derived_id("igw"), "CreateRoute"),
        ],
    }


def _route(to: str, gateway_id: str, origin: str) -> Shape:
    return {
        "DestinationCidrBlock": to,
        "GatewayId": gateway_id,
        "Origin": origin,
        "State": "active",
    }


def describe_network_acls(svc: Services, caller: Caller, request: Request) -> Result:
    page(request, 5, 1000, ids="NetworkAclIds")
    found = network.default_network(svc, caller)
    its_id = found.derived_id("acl")
    _check_derived(
        request.get("NetworkAclIds", ()), its_id, "InvalidNetworkAclID.NotFound", "networkAcl"
    )
    table: Table[DefaultNetwork] = {
        "network-acl-id": lambda _: [its_id],
        "vpc-id": lambda each: [each.vpc.id],
        "owner-id": lambda each: [each.vpc.owner],
        "default": lambda _: ["true"],
        "association.network-acl-id": lambda _: [its_id],
        "association.subnet-id": lambda each: [subnet.id for subnet in each.subnets],
    }
    shown = selected([found], filters(request), table, lambda _: {})
    return {"NetworkAcls": [_acl_shape(each, its_id) for each in shown]}


def _acl_shape(found: DefaultNetwork, its_id: str) -> Shape:
    return {
        "NetworkAclId": its_id,
        "VpcId": found.vpc.id,
        "OwnerId": found.vpc.owner,
        "IsDefault": True,
        "Tags": [],
        "Associations": [
            {
                "NetworkAclAssociationId": subnet.id.replace("subnet-", "aclassoc-"),
                "NetworkAclId": its_id,
                "SubnetId": subnet.id,
            }
            for subnet in found.subnets
        ],
        "Entries": [
            {
                "CidrBlock": _ANYWHERE,
                "Egress": egress,
                "Protocol": "-1",
                "RuleAction": action,
                "RuleNumber": number,
            }
            for egress in (True, False)
            for action, number in (("allow", 100), ("deny", 32767))
        ],
    }


def describe_network_interfaces(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000, ids="NetworkInterfaceIds")
    ids = [parse_network_interface_id(text) for text in request.get("NetworkInterfaceIds", ())]
    every = network.network_interfaces(svc, caller, ids)
    found = selected(every, filters(request), _INTERFACE_FILTERS, lambda each: each.tags)
    found = [each for each in found if asked.after is None or each.id > asked.after]
    shown, token = paged(found, asked)
    return {"NetworkInterfaces": [_interface_shape(each) for each in shown], **token}


def _public(each: Interface) -> list[str]:
    return [each.instance.public_ip] if each.instance.public_ip is not None else []


_INTERFACE_FILTERS: Final[Table[Interface]] = {
    "network-interface-id": lambda each: [each.id],
    "addresses.private-ip-address": lambda each: [each.instance.private_ip],
    "addresses.primary": lambda _: ["true"],
    "addresses.association.public-ip": _public,
    "association.public-ip": _public,
    "attachment.attachment-id": lambda each: [instance_shapes.attachment_id(each.instance)],
    "attachment.device-index": lambda _: ["0"],
    "attachment.instance-id": lambda each: [each.instance.id],
    "attachment.instance-owner-id": lambda each: [each.instance.owner],
    "attachment.status": lambda _: ["attached"],
    "availability-zone": lambda each: [each.instance.availability_zone],
    "description": lambda _: [""],
    "group-id": lambda each: each.instance.security_group_ids,
    "group-name": lambda each: [
        each.group_names.get(group_id, "") for group_id in each.instance.security_group_ids
    ],
    "interface-type": lambda _: ["interface"],
    "mac-address": lambda each: [each.instance.mac],
    "owner-id": lambda each: [each.instance.owner],
    "private-dns-name": lambda each: [each.instance.private_dns_name],
    "private-ip-address": lambda each: [each.instance.private_ip],
    "requester-managed": lambda _: ["false"],
    "source-dest-check": lambda each: ["true" if each.instance.source_dest_check else "false"],
    "status": lambda _: ["in-use"],
    "subnet-id": lambda each: [each.instance.subnet_id],
    "vpc-id": lambda each: [each.instance.vpc_id],
}


def _interface_shape(each: Interface) -> Shape:
    its = each.instance
    association = instance_shapes.public_association(its)
    return {
        "NetworkInterfaceId": its.network_interface_id,
        "Association": association,
        "Attachment": {
            "AttachTime": its.first_launched_at,
            "AttachmentId": instance_shapes.attachment_id(its),
            "DeleteOnTermination": True,
            "DeviceIndex": 0,
            "NetworkCardIndex": 0,
            "InstanceId": its.id,
            "InstanceOwnerId": its.owner,
            "Status": "attached",
        },
        "AvailabilityZone": its.availability_zone,
        "Description": "",
        "Groups": instance_shapes.groups(its, each.group_names),
        "InterfaceType": "interface",
        "Ipv6Addresses": [],
        "MacAddress": its.mac,
        "OwnerId": its.owner,
        "PrivateDnsName": its.private_dns_name,
        "PrivateIpAddress": its.private_ip,
        "PrivateIpAddresses": [
            {
                "Association": association,
                "Primary": True,
                "PrivateDnsName": its.private_dns_name,
                "PrivateIpAddress": its.private_ip,
            }
        ],
        "RequesterManaged": False,
        "SourceDestCheck": its.source_dest_check,
        "Status": "in-use",
        "SubnetId": its.subnet_id,
        "TagSet": tag_list(each.tags),
        "VpcId": its.vpc_id,
    }


_PAGED: Final = ("Filters", "MaxResults", "NextToken")

OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeVpcs": operation(describe_vpcs, "VpcIds", *_PAGED),
    "DescribeVpcAttribute": operation(describe_vpc_attribute, "VpcId", "Attribute"),
    "DescribeSubnets": operation(describe_subnets, "SubnetIds", *_PAGED),
    "DescribeInternetGateways": operation(
        describe_internet_gateways, "InternetGatewayIds", *_PAGED
    ),
    "DescribeRouteTables": operation(describe_route_tables, "RouteTableIds", *_PAGED),
    "DescribeNetworkAcls": operation(describe_network_acls, "NetworkAclIds", *_PAGED),
    "DescribeNetworkInterfaces": operation(
        describe_network_interfaces, "NetworkInterfaceIds", *_PAGED
    ),
}
