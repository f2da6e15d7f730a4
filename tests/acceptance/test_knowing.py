"""Where an image comes from and who uses it, by the real aws CLI (S-21, S-62)."""

from collections.abc import Callable
from typing import Any

import pytest

from support import api
from support.server import Server

ACCOUNT = "knowing"


@pytest.fixture
def mine(record_server: Server) -> Any:
    return record_server.client(account=ACCOUNT)


@pytest.fixture
def small_ami(small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of(ACCOUNT)


def made_of(mine: Any, image_id: str, name: str) -> tuple[str, str]:
    """An image of an instance of the image, and the instance."""
    instance_id = str(api.launch(mine, image_id)["InstanceId"])
    return str(api.create_image(mine, instance_id, name)["ImageId"]), instance_id


def test_s21_an_edited_image_tells_its_whole_lineage(
    record_server: Server, mine: Any, small_ami: str
) -> None:
    first, _ = made_of(mine, small_ami, "s21 first")
    instance_id = str(api.launch(mine, first)["InstanceId"])
    second = record_server.aws(
        *("ec2", "create-image", "--instance-id", instance_id, "--name", "s21 second"),
        account=ACCOUNT,
    )["ImageId"]
    api.await_state(mine, "image_available", ImageIds=[second])
    image = api.image(mine, second)
    assert image["SourceInstanceId"] == instance_id
    assert (image["SourceImageId"], image["SourceImageRegion"]) == (first, "us-east-1")
    lineage = record_server.aws("ec2", "get-image-ancestry", "--image-id", second, account=ACCOUNT)
    entries = lineage["ImageAncestryEntries"]
    assert [each["ImageId"] for each in entries] == [second, first, small_ami]
    assert [each.get("SourceImageId") for each in entries] == [first, small_ami, None]


def test_s62_an_instance_tells_its_image_though_that_was_deregistered(
    record_server: Server, mine: Any, small_ami: str
) -> None:
    image_id, _ = made_of(mine, small_ami, "s62 gone")
    instance_id = str(api.launch(mine, image_id)["InstanceId"])
    mine.deregister_image(ImageId=image_id)
    (used,) = record_server.aws(
        *("ec2", "describe-instance-image-metadata", "--instance-ids", instance_id),
        account=ACCOUNT,
    )["InstanceImageMetadata"]
    assert used["InstanceId"] == instance_id
    image = used["ImageMetadata"]
    assert (image["ImageId"], image["Name"]) == (image_id, "s62 gone")
    assert (image["State"], image["IsPublic"]) == ("deregistered", False)
    assert image["OwnerId"] == record_server.account(ACCOUNT).account


def test_s62_whether_each_instances_image_is_allowed_is_told(mine: Any, small_ami: str) -> None:
    instance_id = str(api.launch(mine, small_ami)["InstanceId"])
    mine.enable_allowed_images_settings(AllowedImagesSettingsState="audit-mode")
    try:
        wanted = [{"Name": "image-allowed", "Values": ["true"]}]
        found = mine.describe_instance_image_metadata(InstanceIds=[instance_id], Filters=wanted)
    finally:
        mine.disable_allowed_images_settings()
    (used,) = found["InstanceImageMetadata"]
    assert used["ImageMetadata"]["ImageAllowed"] is True


def test_what_uses_an_image_is_known_before_it_is_deregistered(
    record_server: Server, mine: Any, small_ami: str
) -> None:
    image_id, _ = made_of(mine, small_ami, "referred to")
    other = record_server.account("knowing-other").account
    theirs: Any = record_server.client(account="knowing-other")
    mine.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": other}]})
    template = mine.create_launch_template(
        LaunchTemplateName="knowing", LaunchTemplateData={"ImageId": image_id}
    )["LaunchTemplate"]["LaunchTemplateId"]
    api.launch(theirs, image_id)
    found = record_server.aws(
        *("ec2", "describe-image-references", "--image-ids", image_id),
        "--include-all-resource-types",
        account=ACCOUNT,
    )["ImageReferences"]
    assert [each["Arn"].rpartition("/")[2] for each in found] == [template]
    kinds = [{"ResourceType": "ec2:Instance"}]
    report = mine.create_image_usage_report(ImageId=image_id, ResourceTypes=kinds)["ReportId"]
    api.await_state(mine, "image_usage_report_available", ReportIds=[report])
    (entry,) = mine.describe_image_usage_report_entries(ReportIds=[report])[
        "ImageUsageReportEntries"
    ]
    assert (entry["AccountId"], entry["UsageCount"]) == (other, 1)
