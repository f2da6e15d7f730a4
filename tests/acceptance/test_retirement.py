"""How images are retired, and guarded from accidents (S-24, S-63)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from openami.app import RealClock
from support import api
from support.server import ClientError, Server
from support.waiting import until

WEEK = {"RetentionPeriodValue": 7, "RetentionPeriodUnit": "DAYS"}
ME = "retire-a"


@pytest.fixture
def ec2(record_server: Server) -> Any:
    return record_server.client(account=ME)


@pytest.fixture
def image(ec2: Any, small_ami_of: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """A fresh image with a snapshot of its own, shared with the account retire-b."""
    source = api.launch(ec2, small_ami_of(ME))
    made = api.create_image(ec2, source["InstanceId"], request.node.name[:100])
    return str(made["ImageId"])


@pytest.fixture
def theirs(record_server: Server, ec2: Any, image: str) -> Any:
    """The client of an account with which the image is shared."""
    account = record_server.account("retire-b").account
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": account}]})
    return record_server.client(account="retire-b")


def refused(server: Server, *arguments: str) -> str:
    with pytest.raises(ClientError) as caught:
        server.aws("ec2", *arguments, account=ME)
    return caught.value.code


def listed(ec2: Any, image_id: str, **request: Any) -> bool:
    return image_id in {each["ImageId"] for each in ec2.describe_images(**request)["Images"]}


def test_s24_an_image_goes_out_of_use_step_by_step(
    record_server: Server, ec2: Any, theirs: Any, image: str
) -> None:
    soon = RealClock().now() + timedelta(days=30)
    told = record_server.aws(
        *("ec2", "enable-image-deprecation", "--image-id", image),
        *("--deprecate-at", soon.strftime("%Y-%m-%dT%H:%M:%SZ")),
        account=ME,
    )
    assert told == {"Return": True}
    assert "DeprecationTime" in api.image(theirs, image)
    assert listed(theirs, image)
    assert api.launch(theirs, image)["State"]["Name"] == "running"

    record_server.aws("ec2", "disable-image", "--image-id", image, account=ME)
    assert (
        refused(record_server, "run-instances", "--image-id", image) == "InvalidAMIID.Unavailable"
    )
    assert not listed(ec2, image)
    assert listed(ec2, image, IncludeDisabled=True)
    assert api.refusal(theirs.describe_images, ImageIds=[image]) == "InvalidAMIID.NotFound"

    record_server.aws("ec2", "enable-image", "--image-id", image, account=ME)
    assert api.launch(ec2, image)["State"]["Name"] == "running"
    assert api.refusal(api.launch, theirs, image) == "InvalidAMIID.NotFound"

    snapshot_id = api.root_snapshot_id(api.image(ec2, image))
    told = record_server.aws(
        *("ec2", "deregister-image", "--image-id", image, "--delete-associated-snapshots"),
        account=ME,
    )
    gone = {"SnapshotId": snapshot_id, "ReturnCode": "success"}
    assert told == {"Return": True, "DeleteSnapshotResults": [gone]}
    assert api.refusal(api.launch, ec2, image) == "InvalidAMIID.Unavailable"
    code = api.refusal(ec2.describe_snapshots, SnapshotIds=[snapshot_id])
    assert code == "InvalidSnapshot.NotFound"


def test_s63_a_protected_image_is_not_deregistered(
    record_server: Server, ec2: Any, image: str
) -> None:
    enable = ("enable-image-deregistration-protection", "--image-id", image)
    told = record_server.aws("ec2", *enable, "--with-cooldown", account=ME)
    assert told == {"Return": "enabled-with-cooldown"}
    deregister = ("deregister-image", "--image-id", image)
    assert refused(record_server, *deregister) == "OperationNotPermitted"
    ec2.disable_image_deregistration_protection(ImageId=image)
    assert api.refusal(ec2.deregister_image, ImageId=image) == "OperationNotPermitted"
    assert api.image(ec2, image)["State"] == "available"


def test_s63_what_was_deleted_by_mistake_comes_back(
    record_server: Server, ec2: Any, theirs: Any, image: str
) -> None:
    bin_ = record_server.client("rbin", account=ME)
    marked = [{"ResourceTagKey": "stage", "ResourceTagValue": "prod"}]
    for kind in ("EC2_IMAGE", "EBS_SNAPSHOT"):
        bin_.create_rule(ResourceType=kind, RetentionPeriod=WEEK, ResourceTags=marked)
    before = api.image(ec2, image)
    snapshot_id = api.root_snapshot_id(before)
    ec2.create_tags(Resources=[image, snapshot_id], Tags=api.tags({"stage": "prod"}))
    before = api.image(ec2, image)

    ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    assert not listed(ec2, image)
    told = record_server.aws("ec2", "list-images-in-recycle-bin", account=ME)
    (binned,) = [each for each in told["Images"] if each["ImageId"] == image]
    stay = datetime.fromisoformat(binned["RecycleBinExitTime"]) - datetime.fromisoformat(
        binned["RecycleBinEnterTime"]
    )
    assert stay == timedelta(days=7)

    restore = ("restore-image-from-recycle-bin", "--image-id", image)
    assert refused(record_server, *restore) == "IncorrectState"
    ec2.restore_snapshot_from_recycle_bin(SnapshotId=snapshot_id)
    record_server.aws("ec2", *restore, account=ME)
    assert api.image(ec2, image) == before
    assert listed(theirs, image)
    assert api.launch(ec2, image)["State"]["Name"] == "running"


def test_s63_a_volume_comes_back_and_a_locked_rule_stays(record_server: Server, ec2: Any) -> None:
    bin_ = record_server.client("rbin", account=ME)
    delay = {"UnlockDelay": {"UnlockDelayValue": 7, "UnlockDelayUnit": "DAYS"}}
    rule = bin_.create_rule(ResourceType="EBS_VOLUME", RetentionPeriod=WEEK)
    bin_.lock_rule(Identifier=rule["Identifier"], LockConfiguration=delay)
    for call in (bin_.delete_rule, bin_.update_rule):
        assert api.refusal(call, Identifier=rule["Identifier"]) == "ConflictException"
    told = record_server.aws("rbin", "get-rule", "--identifier", rule["Identifier"], account=ME)
    assert (told["LockState"], told["RetentionPeriod"]) == ("locked", WEEK)

    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    ec2.delete_volume(VolumeId=volume_id)
    assert api.refusal(ec2.describe_volumes, VolumeIds=[volume_id]) == "InvalidVolume.NotFound"
    ec2.restore_volume_from_recycle_bin(VolumeId=volume_id)
    assert api.volume(ec2, volume_id)["State"] == "available"


def test_s63_a_locked_snapshot_is_not_deleted(record_server: Server, ec2: Any, image: str) -> None:
    snapshot_id = api.root_snapshot_id(api.image(ec2, image))
    ec2.deregister_image(ImageId=image)
    locked = record_server.aws(
        *("ec2", "lock-snapshot", "--snapshot-id", snapshot_id),
        *("--lock-mode", "governance", "--lock-duration", "30"),
        account=ME,
    )
    assert locked["LockState"] == "governance"
    delete = ("delete-snapshot", "--snapshot-id", snapshot_id)
    assert refused(record_server, *delete) == "OperationNotPermitted"
    ec2.unlock_snapshot(SnapshotId=snapshot_id)
    ec2.lock_snapshot(SnapshotId=snapshot_id, LockMode="compliance", LockDuration=1)
    assert api.refusal(ec2.unlock_snapshot, SnapshotId=snapshot_id) == "OperationNotPermitted"
    assert api.refusal(ec2.delete_snapshot, SnapshotId=snapshot_id) == "OperationNotPermitted"


def test_s63_an_archived_snapshot_comes_back_and_is_kept_at_hand(
    record_server: Server, ec2: Any
) -> None:
    def aws(operation: str, *arguments: str) -> dict[str, Any]:
        return record_server.aws("ec2", operation, *arguments, account=ME)

    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    snapshot_id = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[snapshot_id])
    its, wanted = ("--snapshot-id", snapshot_id), f"Name=snapshot-id,Values={snapshot_id}"

    def tier() -> dict[str, Any]:
        (found,) = aws("describe-snapshot-tier-status", "--filters", wanted)["SnapshotTierStatuses"]
        return found

    aws("modify-snapshot-tier", *its, "--storage-tier", "archive")
    until(lambda: tier()["LastTieringOperationStatus"] == "archival-completed", what="archived")
    asked = {"SnapshotId": snapshot_id, "AvailabilityZone": "us-east-1a"}
    assert api.refusal(ec2.create_volume, **asked) == "IncorrectState"
    aws("restore-snapshot-tier", *its, "--permanent-restore")
    until(lambda: tier()["StorageTier"] == "standard", what="restored")

    named = ("--source-snapshot-ids", snapshot_id, "--availability-zones", "us-east-1a")
    told = aws("enable-fast-snapshot-restores", *named)
    assert (told["Successful"][0]["State"], told["Unsuccessful"]) == ("enabling", [])

    def fast() -> str:
        found = aws("describe-fast-snapshot-restores", "--filters", wanted)
        return str(found["FastSnapshotRestores"][0]["State"])

    until(lambda: fast() == "enabled", what="at hand")
    made = ec2.create_volume(**asked)["VolumeId"]
    assert api.volume(ec2, made)["FastRestored"] is True
    aws("disable-fast-snapshot-restores", *named)
    until(lambda: fast() == "disabled", what="at hand no longer")
