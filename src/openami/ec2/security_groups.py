"""Security groups and their rules, in both of EC2's ways to tell them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from openami.actions import security_groups
from openami.actions.security_groups import DescribedGroup, DescribedRule, GroupName
from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterCombination,
    MissingParameter,
    UnsupportedOperation,
)
from openami.domain.ids import (
    parse_security_group_id,
    parse_security_group_rule_id,
    parse_vpc_id,
)
from openami.domain.network import SecurityGroupRule
from openami.domain.security_group import (
    Permission,
    checked_cidr,
    checked_cidr_ipv6,
    checked_ports,
    checked_protocol,
)
from openami.ec2.instance_shapes import tag_list
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.ec2.request import filters, one_more, page, paged, tag_specifications
from openami.services import Services

Shape = dict[str, Any]


def create_security_group(svc: Services, caller: Caller, request: Request) -> Result:
    vpc_id = request.get("VpcId")
    tagged = tag_specifications(request, "security-group").get("security-group", {})
    group = security_groups.create_security_group(
        svc,
        caller,
        request["GroupName"],
        request["Description"],
        parse_vpc_id(vpc_id) if vpc_id else None,
        tagged,
    )
    return {
        "GroupId": group.id,
        "Tags": tag_list(tagged),
        "SecurityGroupArn": _arn(caller, "security-group", group.id),
    }


def delete_security_group(svc: Services, caller: Caller, request: Request) -> Result:
    deleted = security_groups.delete_security_group(svc, caller, _named(request))
    return {"Return": True, "GroupId": deleted}


def describe_security_groups(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000, ids="GroupIds")
    wanted = [
        *(GroupName(id=parse_security_group_id(text)) for text in request.get("GroupIds", ())),
        *(GroupName(name=name) for name in request.get("GroupNames", ())),
    ]
    found = security_groups.describe_security_groups(
        svc, caller, wanted, filters(request), one_more(asked)
    )
    shown, token = paged(found, asked)
    return {"SecurityGroups": [_group_shape(each) for each in shown], **token}


def describe_security_group_rules(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000, ids="SecurityGroupRuleIds")
    ids = [parse_security_group_rule_id(text) for text in request.get("SecurityGroupRuleIds", ())]
    found = security_groups.describe_security_group_rules(
        svc, caller, ids, filters(request), one_more(asked)
    )
    shown, token = paged(found, asked)
    return {"SecurityGroupRules": [_rule_shape(each, caller) for each in shown], **token}


def _authorize(svc: Services, caller: Caller, request: Request, *, egress: bool) -> Result:
    tagged = tag_specifications(request, "security-group-rule").get("security-group-rule", {})
    made = security_groups.authorize(
        svc, caller, _named(request), _permissions(request), egress=egress, tagged=tagged
    )
    return {"Return": True, "SecurityGroupRules": [_rule_shape(each, caller) for each in made]}


def _revoke(svc: Services, caller: Caller, request: Request, *, egress: bool) -> Result:
    ids = request.get("SecurityGroupRuleIds", ())
    if ids:
        rule_ids = [parse_security_group_rule_id(text) for text in ids]
        named = _named(request)
        gone = security_groups.revoke_by_id(svc, caller, named, rule_ids, egress=egress)
    else:
        permissions = _permissions(request)
        gone = security_groups.revoke(svc, caller, _named(request), permissions, egress=egress)
    return {"Return": True, "RevokedSecurityGroupRules": [_revoked_shape(rule) for rule in gone]}


def authorize_ingress(svc: Services, caller: Caller, request: Request) -> Result:
    return _authorize(svc, caller, request, egress=False)


def authorize_egress(svc: Services, caller: Caller, request: Request) -> Result:
    return _authorize(svc, caller, request, egress=True)


def revoke_ingress(svc: Services, caller: Caller, request: Request) -> Result:
    return _revoke(svc, caller, request, egress=False)


def revoke_egress(svc: Services, caller: Caller, request: Request) -> Result:
    return _revoke(svc, caller, request, egress=True)


def _named(request: Request) -> GroupName:
    group_id, name = request.get("GroupId"), request.get("GroupName")
    if group_id:
        return GroupName(id=parse_security_group_id(group_id))
    if name:
        return GroupName(name=name)
    raise MissingParameter("GroupId")


_FLAT: Final = ("IpProtocol", "FromPort", "ToPort", "CidrIp", "SourceSecurityGroupName")


def _permissions(request: Request) -> list[Permission]:
    """The request's IpPermissions, or the single one that it tells in flat parameters."""
    raw: Sequence[Mapping[str, Any]] = request.get("IpPermissions", ())
    flat = any(name in request for name in _FLAT)
    if raw and flat:
        raise InvalidParameterCombination(
            "The parameter ipPermissions may not be used together with ipProtocol, fromPort,"
            " toPort, cidrIp or sourceSecurityGroupName"
        )
    if flat:
        raw = (_from_flat(request),)
    found = [permission for each in raw for permission in _of_one(each)]
    if not found:
        raise MissingParameter("IpPermissions")
    return found


def _from_flat(request: Request) -> Shape:
    shape: Shape = {
        name: request[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in request
    }
    if "SourceSecurityGroupName" in request:
        shape.setdefault("IpProtocol", "-1")
        shape["UserIdGroupPairs"] = [{"GroupName": request["SourceSecurityGroupName"]}]
    if "CidrIp" in request:
        shape["IpRanges"] = [{"CidrIp": request["CidrIp"]}]
    return shape


def _of_one(raw: Mapping[str, Any]) -> Iterator[Permission]:
    only(
        raw,
        "IpPermission.",
        {"IpProtocol", "FromPort", "ToPort", "IpRanges", "Ipv6Ranges", "UserIdGroupPairs"}
        | {"PrefixListIds"},
    )
    if raw.get("PrefixListIds"):
        raise UnsupportedOperation("Prefix lists are not supported by openami")
    if "IpProtocol" not in raw:
        raise MissingParameter("IpProtocol")
    protocol = checked_protocol(raw["IpProtocol"])
    first, last = checked_ports(protocol, raw.get("FromPort"), raw.get("ToPort"))
    for source in _sources(raw):
        yield Permission(protocol=protocol, from_port=first, to_port=last, **source)


def _sources(raw: Mapping[str, Any]) -> Iterator[Shape]:
    for each in raw.get("IpRanges", ()):
        cidr = checked_cidr(each.get("CidrIp", ""))
        yield {"cidr_ipv4": cidr, "description": each.get("Description")}
    for each in raw.get("Ipv6Ranges", ()):
        cidr = checked_cidr_ipv6(each.get("CidrIpv6", ""))
        yield {"cidr_ipv6": cidr, "description": each.get("Description")}
    for each in raw.get("UserIdGroupPairs", ()):
        only(each, "UserIdGroupPair.", {"GroupId", "GroupName", "UserId", "VpcId", "Description"})
        if each.get("GroupId"):
            source: Shape = {"source_group_id": parse_security_group_id(each["GroupId"])}
        elif each.get("GroupName"):
            source = {"source_group_name": each["GroupName"]}
        else:
            raise MissingParameter("GroupId")
        yield {**source, "description": each.get("Description")}


def _group_shape(described: DescribedGroup) -> Shape:
    group = described.group
    return {
        "GroupId": group.id,
        "GroupName": group.name,
        "Description": group.description,
        "VpcId": group.vpc_id,
        "OwnerId": group.owner,
        "SecurityGroupArn": f"arn:aws:ec2:{group.region}:{group.owner}:security-group/{group.id}",
        "IpPermissions": _grouped(described, egress=False),
        "IpPermissionsEgress": _grouped(described, egress=True),
        "Tags": tag_list(described.tags),
    }


def _grouped(described: DescribedGroup, *, egress: bool) -> list[Shape]:
    """The rules as permissions: those of one protocol and port range are one."""
    together: dict[tuple[str, int, int], Shape] = {}
    for rule in described.rules:
        if rule.is_egress != egress:
            continue
        shape = together.setdefault(
            (rule.protocol, rule.from_port, rule.to_port), _empty_permission(rule)
        )
        if rule.cidr_ipv4 is not None:
            shape["IpRanges"].append({"CidrIp": rule.cidr_ipv4, **_described(rule)})
        elif rule.cidr_ipv6 is not None:
            shape["Ipv6Ranges"].append({"CidrIpv6": rule.cidr_ipv6, **_described(rule)})
        else:
            pair = {"GroupId": rule.source_group_id, "UserId": described.group.owner}
            shape["UserIdGroupPairs"].append({**pair, **_described(rule)})
    return list(together.values())


def _described(rule: SecurityGroupRule) -> Shape:
    return {} if rule.description is None else {"Description": rule.description}


def _empty_permission(rule: SecurityGroupRule) -> Shape:
    ports = {} if rule.protocol == "-1" else {"FromPort": rule.from_port, "ToPort": rule.to_port}
    return {
        "IpProtocol": rule.protocol,
        **ports,
        "IpRanges": [],
        "Ipv6Ranges": [],
        "PrefixListIds": [],
        "UserIdGroupPairs": [],
    }


def _revoked_shape(rule: SecurityGroupRule) -> Shape:
    return {**_bare(rule), "ReferencedGroupId": rule.source_group_id}


def _bare(rule: SecurityGroupRule) -> Shape:
    return {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.protocol,
        "FromPort": rule.from_port,
        "ToPort": rule.to_port,
        "CidrIpv4": rule.cidr_ipv4,
        "CidrIpv6": rule.cidr_ipv6,
        "Description": rule.description,
    }


def _rule_shape(described: DescribedRule, caller: Caller) -> Shape:
    rule = described.rule
    referenced = None
    if rule.source_group_id is not None:
        referenced = {"GroupId": rule.source_group_id, "UserId": described.owner}
    return {
        **_bare(rule),
        "GroupOwnerId": described.owner,
        "ReferencedGroupInfo": referenced,
        "Tags": tag_list(described.tags),
        "SecurityGroupRuleArn": _arn(caller, "security-group-rule", rule.id),
    }


def _arn(caller: Caller, kind: str, resource_id: str) -> str:
    return f"arn:aws:ec2:{caller.region}:{caller.account}:{kind}/{resource_id}"


_RULE_PARAMETERS: Final = ("GroupId", "IpPermissions", "IpProtocol", "FromPort", "ToPort", "CidrIp")

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateSecurityGroup": operation(
        create_security_group, "GroupName", "Description", "VpcId", "TagSpecifications"
    ),
    "DeleteSecurityGroup": operation(delete_security_group, "GroupId", "GroupName"),
    "DescribeSecurityGroups": operation(
        describe_security_groups, "GroupIds", "GroupNames", "Filters", "MaxResults", "NextToken"
    ),
    "DescribeSecurityGroupRules": operation(
        describe_security_group_rules,
        *("SecurityGroupRuleIds", "Filters", "MaxResults", "NextToken"),
    ),
    "AuthorizeSecurityGroupIngress": operation(
        authorize_ingress,
        *(*_RULE_PARAMETERS, "GroupName", "SourceSecurityGroupName", "TagSpecifications"),
    ),
    "AuthorizeSecurityGroupEgress": operation(
        authorize_egress,
        *(*_RULE_PARAMETERS, "TagSpecifications"),
        partly="kept and told; what leaves a guest is governed by the setting egress",
    ),
    "RevokeSecurityGroupIngress": operation(
        revoke_ingress,
        *(*_RULE_PARAMETERS, "GroupName", "SourceSecurityGroupName", "SecurityGroupRuleIds"),
    ),
    "RevokeSecurityGroupEgress": operation(
        revoke_egress, *_RULE_PARAMETERS, "SecurityGroupRuleIds"
    ),
}
