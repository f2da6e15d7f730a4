"""Networks: each account has its own default VPC, and what lies in it."""

from typing import Any, Final

from support.access.row import MAY, SEES, Access, own, shared

_GROUP: Final = "InvalidGroup.NotFound"
_VPC: Final = "InvalidVpcID.NotFound"
_RULE: Final[dict[str, Any]] = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
_FREE: Final = _RULE | {"CidrIp": "10.0.0.0/8"}
_RANGES: Final = [_RULE | {"IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
_OPEN: Final = [
    {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
    }
]
_EVERYTHING: Final = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]

ROWS: Final[tuple[Access, ...]] = (
    own("DescribeVpcs", _VPC, SEES, VpcIds=["{vpc}"]),
    own("DescribeVpcAttribute", _VPC, SEES, VpcId="{vpc}", Attribute="enableDnsSupport"),
    own("DescribeSubnets", "InvalidSubnetID.NotFound", SEES, SubnetIds=["{subnet}"]),
    own(
        "DescribeInternetGateways",
        *("InvalidInternetGatewayID.NotFound", SEES),
        InternetGatewayIds=["{gateway}"],
    ),
    own("DescribeRouteTables", "InvalidRouteTableID.NotFound", SEES, RouteTableIds=["{routes}"]),
    own("DescribeNetworkAcls", "InvalidNetworkAclID.NotFound", SEES, NetworkAclIds=["{acl}"]),
    own(
        "DescribeNetworkInterfaces",
        *("InvalidNetworkInterfaceID.NotFound", SEES),
        NetworkInterfaceIds=["{interface}"],
    ),
    own("DescribeSecurityGroups", _GROUP, SEES, GroupIds=["{group}"]),
    own(
        "DescribeSecurityGroupRules",
        *("InvalidSecurityGroupRuleId.NotFound", SEES),
        SecurityGroupRuleIds=["{rule}"],
    ),
    own("CreateSecurityGroup", _VPC, VpcId="{vpc}", GroupName="theirs", Description="theirs"),
    # A name that another has taken is free.
    shared(
        *("CreateSecurityGroup", MAY, MAY, "InvalidGroup.Duplicate"),
        GroupName="{group_name}",
        Description="theirs",
    ),
    own("DeleteSecurityGroup", _GROUP, GroupId="{group}"),
    own("AuthorizeSecurityGroupIngress", _GROUP, GroupId="{group}", **_FREE),
    own("AuthorizeSecurityGroupEgress", _GROUP, GroupId="{group}", IpPermissions=_RANGES),
    own("RevokeSecurityGroupIngress", _GROUP, GroupId="{group}", IpPermissions=_OPEN),
    own("RevokeSecurityGroupEgress", _GROUP, GroupId="{group}", IpPermissions=_EVERYTHING),
)
