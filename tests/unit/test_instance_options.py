"""Monitoring, reports, passwords, interface attributes, and what is the same for everybody."""

from pathlib import Path
from typing import Any

import pytest

from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask, refused
from support.builders import BOB
from support.fakes import services


def with_instance(tmp_path: Path) -> tuple[Services, str]:
    svc = services(tmp_path)
    a_bootable_image(svc)
    return svc, a_running_instance(svc)


def instance(svc: Services, instance_id: str) -> dict[str, Any]:
    answer = ask(svc, "DescribeInstances", InstanceIds=[instance_id])
    return dict(answer["Reservations"][0]["Instances"][0])


def test_monitoring_is_turned_on_and_off(tmp_path: Path) -> None:
    svc, instance_id = with_instance(tmp_path)
    for operation, state in (("MonitorInstances", "enabled"), ("UnmonitorInstances", "disabled")):
        (told,) = ask(svc, operation, InstanceIds=[instance_id])["InstanceMonitorings"]
        assert told == {"InstanceId": instance_id, "Monitoring": {"State": state}}
        assert instance(svc, instance_id)["Monitoring"] == {"State": state}
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    with refused("IncorrectInstanceState"):
        ask(svc, "MonitorInstances", InstanceIds=[instance_id])


def test_a_report_reaches_the_operators_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    svc, instance_id = with_instance(tmp_path)
    report = {"Status": "impaired", "ReasonCodes": ["unresponsive"], "Description": "dead\nline"}
    ask(svc, "ReportInstanceStatus", Instances=[instance_id], **report)
    assert f"{instance_id} is impaired: unresponsive dead line" in caplog.text
    with refused("InvalidInstanceID.NotFound"):
        ask(svc, "ReportInstanceStatus", BOB, Instances=[instance_id], **report)


def test_an_interface_changes_its_groups_with_its_instance(tmp_path: Path) -> None:
    svc, instance_id = with_instance(tmp_path)
    eni = instance(svc, instance_id)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    group = ask(svc, "CreateSecurityGroup", GroupName="web", Description="web")["GroupId"]
    ask(svc, "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni, Groups=[group])
    given = {"NetworkInterfaceId": eni, "SourceDestCheck": {"Value": False}}
    ask(svc, "ModifyNetworkInterfaceAttribute", **given)
    told = instance(svc, instance_id)
    assert [each["GroupId"] for each in told["SecurityGroups"]] == [group]
    assert told["SourceDestCheck"] is False
    for name, member in (("groupSet", "Groups"), ("attachment", "Attachment")):
        asked = {"NetworkInterfaceId": eni, "Attribute": name}
        assert member in ask(svc, "DescribeNetworkInterfaceAttribute", **asked)
    ask(svc, "ResetInstanceAttribute", InstanceId=instance_id, Attribute="sourceDestCheck")
    assert instance(svc, instance_id)["SourceDestCheck"] is True
    with refused("InvalidParameterValue"):
        ask(svc, "ResetInstanceAttribute", InstanceId=instance_id, Attribute="kernel")
    with refused("InvalidParameterCombination"):
        ask(svc, "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=eni)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ask(svc, "ModifyNetworkInterfaceAttribute", BOB, **given)


def test_what_is_the_same_for_everybody_is_told_truly(tmp_path: Path) -> None:
    svc, instance_id = with_instance(tmp_path)
    assert ask(svc, "GetPasswordData", InstanceId=instance_id)["PasswordData"] == ""
    assert ask(svc, "GetEbsEncryptionByDefault") == {"EbsEncryptionByDefault": False}
