"""Launch templates: versions, what launches take of them, and what cannot be in one."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openami.domain.ids import AccountId
from openami.ec2.template_merge import launched_from
from openami.services import Services
from support.asking import a_bootable_image, ask, filtered, put_accounts, refused
from support.builders import ALICE, BOB, IMAGE
from support.fakes import services

DATA = {"ImageId": IMAGE, "InstanceType": "t3.micro"}


@pytest.fixture
def svc(tmp_path: Path) -> Iterator[Services]:
    made = services(tmp_path)
    a_bootable_image(made)
    yield made
    made.catalog.close()


def create(svc: Services, name: str = "web", account: AccountId = ALICE, **data: Any) -> str:
    asked = {"LaunchTemplateName": name, "LaunchTemplateData": data or DATA}
    answer = ask(svc, "CreateLaunchTemplate", account, **asked)
    return str(answer["LaunchTemplate"]["LaunchTemplateId"])


def version(svc: Services, data: dict[str, Any], source: str | None = None, **more: Any) -> Any:
    asked = {"LaunchTemplateName": "web", "LaunchTemplateData": data, "SourceVersion": source}
    return ask(svc, "CreateLaunchTemplateVersion", **asked, **more)["LaunchTemplateVersion"]


def versions(svc: Services, **request: Any) -> list[int]:
    found = ask(svc, "DescribeLaunchTemplateVersions", **request)["LaunchTemplateVersions"]
    return [each["VersionNumber"] for each in found]


def launch(svc: Services, account: AccountId = ALICE, **request: Any) -> dict[str, Any]:
    asked = {"LaunchTemplate": {"LaunchTemplateName": "web"}, "MinCount": 1, "MaxCount": 1}
    answer = ask(svc, "RunInstances", account, **(asked | request))
    instance_id = answer["Instances"][0]["InstanceId"]
    found = ask(svc, "DescribeInstances", account, InstanceIds=[instance_id])
    return found["Reservations"][0]["Instances"][0]


def tags_of(found: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found["Tags"]}


def test_a_template_begins_with_its_first_version_as_the_default(svc: Services) -> None:
    template_id = create(svc)
    (found,) = ask(svc, "DescribeLaunchTemplates")["LaunchTemplates"]
    assert found["LaunchTemplateId"] == template_id
    assert (found["DefaultVersionNumber"], found["LatestVersionNumber"]) == (1, 1)
    asked = {"LaunchTemplateId": template_id, "Versions": ["$Default"]}
    (one,) = ask(svc, "DescribeLaunchTemplateVersions", **asked)["LaunchTemplateVersions"]
    assert one["LaunchTemplateData"] == DATA
    assert one["DefaultVersion"] is True


def test_a_version_with_a_source_has_what_it_does_not_name_but_no_snapshots(svc: Services) -> None:
    disk = {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-12345678", "VolumeSize": 9}}
    create(svc, **DATA, BlockDeviceMappings=[disk], KeyName="k")
    made = version(svc, {"InstanceType": "t3.small"}, "1", VersionDescription="bigger")
    assert made["LaunchTemplateData"] == {
        "ImageId": IMAGE,
        "InstanceType": "t3.small",
        "KeyName": "k",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 9}}],
    }
    assert (made["VersionNumber"], made["VersionDescription"]) == (2, "bigger")
    assert version(svc, {"KeyName": "x"})["LaunchTemplateData"] == {"KeyName": "x"}
    with refused("InvalidLaunchTemplateId.VersionNotFound"):
        version(svc, DATA, "9")


def test_versions_are_told_from_the_newest_by_number_range_alias_and_page(svc: Services) -> None:
    template_id = create(svc)
    for _ in range(4):
        version(svc, DATA)
    of = {"LaunchTemplateId": template_id}
    assert versions(svc, **of) == [5, 4, 3, 2, 1]
    assert versions(svc, **of, Versions=["2", "$Latest", "$Default"]) == [5, 2, 1]
    assert versions(svc, **of, MinVersion="2", MaxVersion="4") == [4, 3, 2]
    first = ask(svc, "DescribeLaunchTemplateVersions", **of, MaxResults=2)
    assert [each["VersionNumber"] for each in first["LaunchTemplateVersions"]] == [5, 4]
    assert versions(svc, **of, NextToken=first["NextToken"]) == [3, 2, 1]
    with refused("InvalidLaunchTemplateId.VersionNotFound"):
        versions(svc, **of, Versions=["6"])
    with refused("InvalidParameterCombination"):
        versions(svc, **of, Versions=["1"], MinVersion="1")


def test_the_latest_and_default_versions_of_all_templates_are_told(svc: Services) -> None:
    create(svc)
    version(svc, DATA)
    create(svc, "other")
    assert sorted(versions(svc, Versions=["$Latest"])) == [1, 2]
    assert sorted(versions(svc, Versions=["$Latest", "$Default"])) == [1, 1, 2]
    with refused("InvalidParameterValue"):
        versions(svc, Versions=["1"])
    with refused("MissingParameter"):
        versions(svc)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("instance-type", "t3.small", [2]),
        ("instance-type", "t3.*", [2, 1]),
        ("image-id", IMAGE, [1]),
        ("is-default-version", "true", [1]),
        ("ebs-optimized", "true", [2]),
        ("http-tokens", "required", [2]),
        ("kernel-id", "*", []),
        ("create-time", "2*", [2, 1]),
    ],
)
def test_versions_are_filtered(svc: Services, name: str, value: str, expected: list[int]) -> None:
    create(svc)
    options = {"HttpTokens": "required"}
    version(svc, {"InstanceType": "t3.small", "EbsOptimized": True, "MetadataOptions": options})
    found = versions(svc, LaunchTemplateName="web", Filters=filtered(name, value))
    assert found == expected


def test_templates_are_filtered_and_paged(svc: Services) -> None:
    ids = sorted(create(svc, name) for name in ("web", "web2", "dbs"))
    ask(svc, "CreateTags", Resources=[ids[0]], Tags=[{"Key": "env", "Value": "prod"}])

    def named(**request: Any) -> list[str]:
        found = ask(svc, "DescribeLaunchTemplates", **request)["LaunchTemplates"]
        return sorted(each["LaunchTemplateName"] for each in found)

    assert named(Filters=filtered("launch-template-name", "web*")) == ["web", "web2"]
    assert named(Filters=filtered("tag:env", "prod")) == ["web"]
    assert named(LaunchTemplateNames=["dbs", "web"]) == ["dbs", "web"]
    assert named(LaunchTemplateIds=[ids[2]]) == ["dbs"]
    first = ask(svc, "DescribeLaunchTemplates", MaxResults=2)
    assert len(first["LaunchTemplates"]) == 2
    assert len(named(NextToken=first["NextToken"])) == 1
    with refused("InvalidLaunchTemplateName.NotFoundException"):
        named(LaunchTemplateNames=["none"])
    with refused("InvalidLaunchTemplateId.NotFound"):
        named(LaunchTemplateIds=["lt-0123456789abcdef0"])


def test_another_version_is_made_the_default(svc: Services) -> None:
    create(svc)
    version(svc, {**DATA, "InstanceType": "t3.small"})
    asked = {"LaunchTemplateName": "web", "DefaultVersion": "2"}
    changed = ask(svc, "ModifyLaunchTemplate", **asked)["LaunchTemplate"]
    assert changed["DefaultVersionNumber"] == 2
    assert launch(svc)["InstanceType"] == "t3.small"
    with refused("InvalidLaunchTemplateId.VersionNotFound"):
        ask(svc, "ModifyLaunchTemplate", LaunchTemplateName="web", DefaultVersion="7")


def test_versions_are_deleted_but_not_the_default_and_numbers_are_not_used_again(
    svc: Services,
) -> None:
    create(svc)
    version(svc, DATA)
    version(svc, DATA)
    gone = ask(svc, "DeleteLaunchTemplateVersions", LaunchTemplateName="web", Versions=["3", "9"])
    (deleted,) = gone["SuccessfullyDeletedLaunchTemplateVersions"]
    (failed,) = gone["UnsuccessfullyDeletedLaunchTemplateVersions"]
    assert (deleted["VersionNumber"], failed["VersionNumber"]) == (3, 9)
    assert failed["ResponseError"]["Code"] == "launchTemplateVersionDoesNotExist"
    assert versions(svc, LaunchTemplateName="web", Versions=["$Latest"]) == [2]
    (found,) = ask(svc, "DescribeLaunchTemplates")["LaunchTemplates"]
    assert found["LatestVersionNumber"] == 2
    assert version(svc, DATA)["VersionNumber"] == 4
    with refused("InvalidParameterValue", "default version"):
        ask(svc, "DeleteLaunchTemplateVersions", LaunchTemplateName="web", Versions=["2", "1"])
    assert versions(svc, LaunchTemplateName="web") == [4, 2, 1]


def test_a_deleted_template_is_gone_with_its_tags_and_its_name_is_free(svc: Services) -> None:
    template_id = create(svc)
    ask(svc, "CreateTags", Resources=[template_id], Tags=[{"Key": "a", "Value": "b"}])
    gone = ask(svc, "DeleteLaunchTemplate", LaunchTemplateId=template_id)["LaunchTemplate"]
    assert gone["LaunchTemplateName"] == "web"
    assert ask(svc, "DescribeLaunchTemplates")["LaunchTemplates"] == []
    assert ask(svc, "DescribeTags")["Tags"] == []
    with refused("InvalidLaunchTemplateId.NotFound"):
        ask(svc, "DeleteLaunchTemplate", LaunchTemplateId=template_id)
    create(svc)


def test_a_template_is_its_accounts_own(svc: Services) -> None:
    template_id = create(svc)
    for operation in ("DeleteLaunchTemplate", "DescribeLaunchTemplateVersions"):
        with refused("InvalidLaunchTemplateId.NotFound"):
            ask(svc, operation, BOB, LaunchTemplateId=template_id)
    with refused("InvalidLaunchTemplateName.NotFoundException"):
        launch(svc, BOB)
    create(svc, account=BOB)
    assert len(ask(svc, "DescribeLaunchTemplates", BOB)["LaunchTemplates"]) == 1


def test_a_template_is_tagged_as_it_is_made(svc: Services) -> None:
    tagged = [{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": "b"}]}]
    asked = {"LaunchTemplateName": "web", "LaunchTemplateData": DATA, "TagSpecifications": tagged}
    made = ask(svc, "CreateLaunchTemplate", **asked)["LaunchTemplate"]
    assert made["Tags"] == [{"Key": "a", "Value": "b"}]
    (found,) = ask(svc, "DescribeTags")["Tags"]
    assert found["ResourceType"] == "launch-template"


def test_the_same_token_makes_one_template_one_version_and_one_launch(svc: Services) -> None:
    asked = {"LaunchTemplateName": "web", "LaunchTemplateData": DATA, "ClientToken": "t"}
    first = ask(svc, "CreateLaunchTemplate", **asked)
    assert ask(svc, "CreateLaunchTemplate", **asked) == first
    with refused("IdempotentParameterMismatch"):
        ask(svc, "CreateLaunchTemplate", **(asked | {"LaunchTemplateName": "other"}))
    assert version(svc, DATA, ClientToken="v") == version(svc, DATA, ClientToken="v")
    assert versions(svc, LaunchTemplateName="web") == [2, 1]
    one = launch(svc, ClientToken="l")
    ask(svc, "ModifyLaunchTemplate", LaunchTemplateName="web", DefaultVersion="2")
    assert launch(svc, ClientToken="l")["InstanceId"] == one["InstanceId"]


def test_a_launch_takes_what_its_template_says_and_the_request_wins(svc: Services) -> None:
    user_data = base64.b64encode(b"#!/bin/sh").decode()
    template_id = create(
        svc,
        **DATA,
        UserData=user_data,
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 3},
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
            {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 2}},
        ],
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "1"}],
            }
        ],
    )
    found = launch(
        svc,
        InstanceType="t3.small",
        MetadataOptions={"HttpPutResponseHopLimit": 5},
        BlockDeviceMappings=[{"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 7}}],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "b", "Value": "2"}]}],
    )
    assert (found["ImageId"], found["InstanceType"]) == (IMAGE, "t3.small")
    options = found["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 5)
    volumes = ask(svc, "DescribeVolumes")["Volumes"]
    sizes = {each["Attachments"][0]["Device"]: each["Size"] for each in volumes}
    assert (sizes["/dev/sdf"], sizes["/dev/sdg"]) == (1, 7)
    assert tags_of(found) == {
        "a": "1",
        "b": "2",
        "aws:ec2launchtemplate:id": template_id,
        "aws:ec2launchtemplate:version": "1",
    }
    attribute = {"InstanceId": found["InstanceId"], "Attribute": "userData"}
    assert ask(svc, "DescribeInstanceAttribute", **attribute)["UserData"]["Value"] == user_data


def test_a_launch_names_the_version_that_it_wants(svc: Services) -> None:
    template_id = create(svc)
    version(svc, {**DATA, "InstanceType": "t3.small"})

    def launched(chosen: str) -> str:
        named = {"LaunchTemplateId": template_id, "Version": chosen}
        return str(launch(svc, LaunchTemplate=named)["InstanceType"])

    assert [launched(each) for each in ("1", "2", "$Default", "$Latest")] == [
        *("t3.micro", "t3.small", "t3.micro", "t3.small")
    ]


def test_the_tags_of_the_template_stay_whatever_the_caller_deletes(svc: Services) -> None:
    create(svc)
    instance_id = launch(svc)["InstanceId"]
    ask(svc, "CreateTags", Resources=[instance_id], Tags=[{"Key": "a", "Value": "b"}])
    ask(svc, "DeleteTags", Resources=[instance_id])
    found = ask(svc, "DescribeInstances", InstanceIds=[instance_id])
    tags = tags_of(found["Reservations"][0]["Instances"][0])
    assert sorted(tags) == ["aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"]
    with refused("InvalidParameterValue", "reserved"):
        ask(svc, "DeleteTags", Resources=[instance_id], Tags=[{"Key": "aws:ec2launchtemplate:id"}])


def test_a_template_may_name_what_is_not_there_and_warns_of_it(svc: Services) -> None:
    data = {"ImageId": "ami-0123456789abcdef0", "KeyName": "none"}
    asked = {"LaunchTemplateName": "web", "LaunchTemplateData": data}
    warned = ask(svc, "CreateLaunchTemplate", **asked)["Warning"]["Errors"]
    assert [each["Code"] for each in warned] == [
        *("InvalidAMIID.NotFound", "InvalidKeyPair.NotFound")
    ]
    with refused("InvalidAMIID.NotFound"):
        launch(svc)
    create(svc, "no-image", InstanceType="t3.micro")
    with refused("MissingParameter", "ImageId"):
        launch(svc, LaunchTemplate={"LaunchTemplateName": "no-image"})


def test_the_launchs_image_is_checked_for_the_caller_of_the_launch(svc: Services) -> None:
    create(svc, account=BOB)
    with refused("InvalidAMIID.NotFound"):
        launch(svc, BOB)
    put_accounts(svc, BOB)
    permission = {"Add": [{"UserId": BOB}]}
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=permission)
    assert launch(svc, BOB)["ImageId"] == IMAGE


def test_the_data_of_an_instance_launches_another_like_it(svc: Services) -> None:
    create(svc, **DATA, BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3}}])
    like = launch(
        svc,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}]}],
        UserData=base64.b64encode(b"hi").decode(),
        DisableApiTermination=True,
    )
    data = ask(svc, "GetLaunchTemplateData", InstanceId=like["InstanceId"])["LaunchTemplateData"]
    create(svc, "like", **data)
    other = launch(svc, LaunchTemplate={"LaunchTemplateName": "like"})
    for name in ("ImageId", "InstanceType", "SubnetId", "SecurityGroups", "MetadataOptions"):
        assert other[name] == like[name]
    assert tags_of(other)["a"] == "1"
    assert [each["DeviceName"] for each in other["BlockDeviceMappings"]] == [
        each["DeviceName"] for each in like["BlockDeviceMappings"]
    ]


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("UnsupportedOperation", {"KernelId": "aki-12345678"}),
        ("UnsupportedOperation", {"InstanceMarketOptions": {"MarketType": "spot"}}),
        ("UnsupportedOperation", {"InstanceRequirements": {"VCpuCount": {"Min": 1}}}),
        ("UnsupportedOperation", {"IamInstanceProfile": {"Name": "x"}}),
        ("UnsupportedOperation", {"HibernationOptions": {"Configured": True}}),
        ("MissingParameter", {"CpuOptions": {"CoreCount": 1}}),
        ("UnsupportedOperation", {"Placement": {"Tenancy": "dedicated"}}),
        ("UnsupportedOperation", {"NetworkInterfaces": [{"Ipv6AddressCount": 1}]}),
        ("UnsupportedOperation", {"NetworkInterfaces": [{}, {"DeviceIndex": 1}]}),
        ("UnsupportedOperation", {"BlockDeviceMappings": [{"Ebs": {"KmsKeyId": "k"}}]}),
        ("InvalidAMIID.Malformed", {"ImageId": "ami"}),
        ("InvalidGroupId.Malformed", {"SecurityGroupIds": ["default"]}),
        ("InvalidParameterValue", {"UserData": "no base64!"}),
        ("InvalidParameterValue", {"MetadataOptions": {"HttpTokens": "maybe"}}),
        ("InvalidParameterValue", {"InstanceInitiatedShutdownBehavior": "explode"}),
        ("InvalidParameterValue", {"TagSpecifications": [{"ResourceType": "image"}]}),
    ],
)
def test_what_no_launch_here_could_have_cannot_be_in_a_template(
    svc: Services, code: str, data: dict[str, Any]
) -> None:
    with refused(code):
        create(svc, **data)
    assert ask(svc, "DescribeLaunchTemplates")["LaunchTemplates"] == []


@pytest.mark.parametrize("name", ["ab", "a b", "x" * 129, "käse", ""])
def test_a_name_that_is_none_is_refused(svc: Services, name: str) -> None:
    with refused("InvalidLaunchTemplateName.MalformedException"):
        create(svc, name)


def test_a_name_is_taken_once(svc: Services) -> None:
    create(svc)
    with refused("InvalidLaunchTemplateName.AlreadyExistsException"):
        create(svc)


def test_a_template_is_named_one_way(svc: Services) -> None:
    template_id = create(svc)
    with refused("InvalidParameterCombination"):
        ask(svc, "DeleteLaunchTemplate", LaunchTemplateId=template_id, LaunchTemplateName="web")
    with refused("MissingParameter"):
        ask(svc, "DeleteLaunchTemplate")
    with refused("InvalidLaunchTemplateId.Malformed"):
        ask(svc, "DeleteLaunchTemplate", LaunchTemplateId="web")
    with refused("InvalidParameterValue"):
        launch(svc, LaunchTemplate={"LaunchTemplateName": "web", "Version": "newest"})


def test_an_image_by_parameter_is_told_as_it_is_or_resolved(svc: Services) -> None:
    from openami.ssm.operations import OPERATIONS as SSM
    from support.builders import a_caller

    parameter = {"Name": "/ami", "Value": IMAGE, "Type": "String", "DataType": "aws:ec2:image"}
    SSM["PutParameter"](svc, a_caller(), parameter)
    create(svc, ImageId="resolve:ssm:/ami", InstanceType="t3.micro")
    asked = {"LaunchTemplateName": "web"}

    def image(**more: Any) -> str:
        found = ask(svc, "DescribeLaunchTemplateVersions", **asked, **more)
        return str(found["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"])

    assert image() == "resolve:ssm:/ami"
    assert image(ResolveAlias=True) == IMAGE
    assert launch(svc)["ImageId"] == IMAGE


def test_what_is_merged() -> None:
    base = {
        "SecurityGroups": ["a"],
        "NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": "s"}],
        "Placement": {"AvailabilityZone": "z"},
        "KeyName": "k",
    }
    assert launched_from(base, {"SecurityGroupIds": ["sg"], "MinCount": 1}) == {
        **base,
        "SecurityGroups": [],
        "SecurityGroupIds": ["sg"],
        "MinCount": 1,
    }
    changed = launched_from(
        base, {"NetworkInterfaces": [{"SubnetId": "t"}], "Placement": {"Tenancy": "default"}}
    )
    assert changed["NetworkInterfaces"] == [{"SubnetId": "t"}]
    assert changed["Placement"] == {"AvailabilityZone": "z", "Tenancy": "default"}
