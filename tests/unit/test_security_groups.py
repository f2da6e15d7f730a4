"""Security groups: their rules, and that running machines follow them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openami.compute.driver import Rule
from openami.services import Services
from support.builders import BOB, a_caller
from support.calls import add_image, call, launched, refused
from support.fakes import services
from support.hypervisor import ScriptedHypervisor

SSH: dict[str, Any] = {
    "IpProtocol": "tcp",
    "FromPort": 22,
    "ToPort": 22,
    "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all the world"}],
}


@pytest.fixture
def host() -> ScriptedHypervisor:
    return ScriptedHypervisor()


@pytest.fixture
def svc(tmp_path: Path, host: ScriptedHypervisor) -> Iterator[Services]:
    made = services(tmp_path, compute=host)
    add_image(made)
    yield made
    made.catalog.close()


def _group(svc: Services, name: str = "web") -> str:
    return call(svc, "CreateSecurityGroup", GroupName=name, Description="d")["GroupId"]


def _described(svc: Services, group_id: str) -> Any:
    return call(svc, "DescribeSecurityGroups", GroupIds=[group_id])["SecurityGroups"][0]


def _allow(svc: Services, group_id: str, *permissions: dict[str, Any]) -> Any:
    operation = "AuthorizeSecurityGroupIngress"
    return call(svc, operation, GroupId=group_id, IpPermissions=list(permissions))


def test_a_fresh_account_has_the_default_group(svc: Services) -> None:
    (group,) = call(svc, "DescribeSecurityGroups")["SecurityGroups"]
    assert group["GroupName"] == "default"
    (inward,) = group["IpPermissions"]
    assert inward["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    (outward,) = group["IpPermissionsEgress"]
    assert outward["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]


def test_a_new_group_lets_nothing_in_and_everything_out(svc: Services) -> None:
    found = _described(svc, _group(svc))
    assert found["IpPermissions"] == []
    assert found["IpPermissionsEgress"][0]["IpProtocol"] == "-1"


def test_rules_of_one_port_range_are_one_permission(svc: Services) -> None:
    group = _group(svc)
    _allow(svc, group, SSH)
    _allow(svc, group, {**SSH, "IpRanges": [{"CidrIp": "10.1.2.3/8"}]})
    (permission,) = _described(svc, group)["IpPermissions"]
    assert permission["IpRanges"] == [
        {"CidrIp": "0.0.0.0/0", "Description": "all the world"},
        {"CidrIp": "10.0.0.0/8"},
    ]


def test_a_rule_reaches_the_machines_that_run_and_leaves_them_again(
    svc: Services, host: ScriptedHypervisor
) -> None:
    group = _group(svc)
    made = launched(svc, SecurityGroupIds=[group])
    assert host.ports[made].ingress == ()
    _allow(svc, group, SSH)
    ssh = Rule(protocol="tcp", from_port=22, to_port=22, sources=("0.0.0.0/0",))
    assert host.ports[made].ingress == (ssh,)
    call(svc, "RevokeSecurityGroupIngress", GroupId=group, IpPermissions=[SSH])
    assert host.ports[made].ingress == ()


def test_a_rule_that_names_a_group_is_its_members_addresses(
    svc: Services, host: ScriptedHypervisor
) -> None:
    web, data = _group(svc, "web"), _group(svc, "data")
    named = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
    _allow(svc, data, {**named, "UserIdGroupPairs": [{"GroupId": web}]})
    database = launched(svc, SecurityGroupIds=[data])
    assert host.ports[database].ingress == ()
    server = launched(svc, SecurityGroupIds=[web])
    (rule,) = host.ports[database].ingress
    assert rule.sources == (f"{host.ports[server].private_ip}/32",)
    call(svc, "TerminateInstances", InstanceIds=[server])
    assert host.ports[database].ingress == ()


def test_moving_an_instance_to_another_group_changes_its_firewall(
    svc: Services, host: ScriptedHypervisor
) -> None:
    shut, open_ = _group(svc, "shut"), _group(svc, "open")
    _allow(svc, open_, SSH)
    made = launched(svc, SecurityGroupIds=[shut])
    call(svc, "ModifyInstanceAttribute", InstanceId=made, Groups=[open_])
    assert [rule.from_port for rule in host.ports[made].ingress] == [22]


def test_a_group_in_use_cannot_be_deleted(svc: Services) -> None:
    used, named = _group(svc, "used"), _group(svc, "named")
    made = launched(svc, SecurityGroupIds=[used])
    pair = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": named}]}
    _allow(svc, used, pair)
    assert refused(svc, "DeleteSecurityGroup", GroupId=used) == "DependencyViolation"
    assert refused(svc, "DeleteSecurityGroup", GroupId=named) == "DependencyViolation"
    call(svc, "TerminateInstances", InstanceIds=[made])
    call(svc, "DeleteSecurityGroup", GroupId=used)
    call(svc, "DeleteSecurityGroup", GroupName="named")
    assert len(call(svc, "DescribeSecurityGroups")["SecurityGroups"]) == 1


def test_a_rule_is_there_once_whatever_its_description(svc: Services) -> None:
    group = _group(svc)
    _allow(svc, group, SSH)
    again = {**SSH, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    asked = {"GroupId": group, "IpPermissions": [again]}
    assert refused(svc, "AuthorizeSecurityGroupIngress", **asked) == "InvalidPermission.Duplicate"


def test_flat_parameters_and_protocol_numbers_are_understood(svc: Services) -> None:
    group = _group(svc)
    call(
        *(svc, "AuthorizeSecurityGroupIngress"),
        GroupName="web",
        IpProtocol="6",
        FromPort=80,
        ToPort=81,
        CidrIp="10.0.0.0/8",
    )
    (permission,) = _described(svc, group)["IpPermissions"]
    assert (permission["IpProtocol"], permission["ToPort"]) == ("tcp", 81)


def test_rules_have_ids_by_which_they_are_found_and_revoked(svc: Services) -> None:
    group = _group(svc)
    (rule,) = _allow(svc, group, SSH)["SecurityGroupRules"]
    rule_id = rule["SecurityGroupRuleId"]
    found = call(svc, "DescribeSecurityGroupRules", SecurityGroupRuleIds=[rule_id])
    assert found["SecurityGroupRules"][0]["CidrIpv4"] == "0.0.0.0/0"
    call(svc, "RevokeSecurityGroupIngress", GroupId=group, SecurityGroupRuleIds=[rule_id])
    assert _described(svc, group)["IpPermissions"] == []
    code = refused(svc, "DescribeSecurityGroupRules", SecurityGroupRuleIds=[rule_id])
    assert code == "InvalidSecurityGroupRuleId.NotFound"


def test_terraform_replaces_the_egress_rule_of_a_new_group(svc: Services) -> None:
    group = _group(svc)
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    call(svc, "RevokeSecurityGroupEgress", GroupId=group, IpPermissions=[everything])
    assert _described(svc, group)["IpPermissionsEgress"] == []
    call(svc, "AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=[SSH])
    assert _described(svc, group)["IpPermissionsEgress"][0]["FromPort"] == 22


def test_groups_are_found_by_what_their_rules_say(svc: Services) -> None:
    group = _group(svc)
    _allow(svc, group, SSH)
    for name, value in (
        ("ip-permission.from-port", "22"),
        ("ip-permission.cidr", "0.0.0.0/0"),
        ("group-name", "we?"),
    ):
        filters = [{"Name": name, "Values": [value]}]
        found = call(svc, "DescribeSecurityGroups", Filters=filters)["SecurityGroups"]
        assert [each["GroupId"] for each in found] == [group]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("CreateSecurityGroup", {"GroupName": "web", "Description": "d"}, "InvalidGroup.Duplicate"),
    ("CreateSecurityGroup", {"GroupName": "sg-x", "Description": "d"}, "InvalidParameterValue"),
    ("CreateSecurityGroup", {"GroupName": "default", "Description": "d"}, "InvalidParameterValue"),
    (
        "CreateSecurityGroup",
        {"GroupName": "x", "Description": "d", "VpcId": "vpc-0000000000000000f"},
        "InvalidVpcID.NotFound",
    ),
    ("DeleteSecurityGroup", {"GroupName": "default"}, "CannotDelete"),
    ("DeleteSecurityGroup", {"GroupName": "nobody's"}, "InvalidGroup.NotFound"),
    ("DeleteSecurityGroup", {}, "MissingParameter"),
    ("DescribeSecurityGroups", {"GroupIds": ["sg-0000000000000000f"]}, "InvalidGroup.NotFound"),
    ("DescribeSecurityGroups", {"GroupIds": ["x"]}, "InvalidGroupId.Malformed"),
    ("AuthorizeSecurityGroupIngress", {"GroupName": "web"}, "MissingParameter"),
    (
        "RevokeSecurityGroupIngress",
        {"GroupName": "web", "IpPermissions": [SSH]},
        "InvalidPermission.NotFound",
    ),
    *[
        ("AuthorizeSecurityGroupIngress", {"GroupName": "web", "IpPermissions": [rule]}, code)
        for rule, code in (
            ({**SSH, "IpRanges": [{"CidrIp": "10.0.0.0"}]}, "InvalidParameterValue"),
            ({**SSH, "IpRanges": [{"CidrIp": "300.0.0.0/8"}]}, "InvalidParameterValue"),
            ({**SSH, "FromPort": 99999}, "InvalidParameterValue"),
            ({**SSH, "ToPort": 21}, "InvalidParameterValue"),
            ({**SSH, "IpProtocol": "132"}, "UnsupportedOperation"),
            ({**SSH, "IpProtocol": "sctp"}, "InvalidParameterValue"),
            ({**SSH, "IpProtocol": "icmp", "FromPort": 300}, "InvalidParameterValue"),
            ({**SSH, "PrefixListIds": [{"PrefixListId": "pl-1"}]}, "UnsupportedOperation"),
            (
                {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupName": "nobody's"}]},
                "InvalidGroup.NotFound",
            ),
        )
    ],
]


@pytest.mark.parametrize(("operation", "asked", "code"), BAD)
def test_a_bad_request_is_refused_in_ec2s_words(
    svc: Services, operation: str, asked: dict[str, Any], code: str
) -> None:
    _group(svc)
    assert refused(svc, operation, **asked) == code


def test_another_accounts_group_does_not_exist(svc: Services) -> None:
    group, bob = _group(svc), a_caller(BOB)
    for operation in ("DeleteSecurityGroup", "AuthorizeSecurityGroupIngress"):
        more = {} if operation.startswith("Delete") else {"IpPermissions": [SSH]}
        assert refused(svc, operation, bob, GroupId=group, **more) == "InvalidGroup.NotFound"
