"""Images made, retained and deleted by schedule (S-54), over days of a server's own time.

The server is stopped and started again with its clock further ahead (`clock_ahead_s`): it then
does at once what the time that passed was for.
"""

import json
import shutil
import tempfile
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.app import RealClock
from support import api
from support.lifecycle import ROLE, TAG, a_schedule, details, tags_of
from support.server import Server, serving
from support.waiting import until

DAY_S = 24 * 3600
WEST = "us-west-2"


@pytest.fixture
def server() -> Generator[Server]:
    """A server of its own, whose time may run ahead of that of its clients."""
    directory = Path(tempfile.mkdtemp(prefix="openami-acceptance-"))
    settings = {"clock_skew_s": str(99 * DAY_S), "settle_timeout_s": "60"}
    try:
        with serving(directory / "state", "record", **settings) as found:
            yield found
    finally:
        shutil.rmtree(directory)


def images(ec2: Any) -> list[dict[str, Any]]:
    """Those that the policy made, oldest first."""
    made = ec2.describe_images(
        Owners=["self"], Filters=[{"Name": "tag:dlm:managed", "Values": ["true"]}]
    )["Images"]
    return sorted(made, key=lambda each: str(each["CreationDate"]))


def restarted(server: Server, ahead_s: int) -> None:
    server.stop()
    server.environment = {**server.environment, "OPENAMI_CLOCK_AHEAD_S": str(ahead_s)}
    server.start()


def test_s54_a_policy_makes_images_each_day_and_deletes_all_but_the_newest_with_their_snapshots(
    server: Server, small_disk: Path
) -> None:
    image_id = server.openami("image", "import", str(small_disk), "--name", "small").stdout.strip()
    ec2: Any = server.client()
    instance_id = api.launch(ec2, image_id)["InstanceId"]
    ec2.create_tags(Resources=[instance_id], Tags=[TAG])
    # Half a day from now, so that no run comes while the test is busy with a day.
    at = (RealClock().now() + timedelta(hours=12)).strftime("%H:%M")
    month = {"Interval": 1, "IntervalUnit": "MONTHS"}
    copy = {"TargetRegion": WEST, "Encrypted": False, "CopyTags": False, "RetainRule": month}
    schedule = a_schedule(
        CreateRule={"Interval": 24, "IntervalUnit": "HOURS", "Times": [at]},
        RetainRule={"Count": 2},
        DeprecateRule={"Count": 1},
        CrossRegionCopyRules=[copy],
        TagsToAdd=[{"Key": "kind", "Value": "backup"}],
        CopyTags=True,
    )
    policy_id = server.aws(
        *("dlm", "create-lifecycle-policy", "--state", "ENABLED"),
        *("--description", "nightly images", "--execution-role-arn", ROLE),
        *("--policy-details", json.dumps(details(schedule))),
    )["PolicyId"]
    (first,) = _on_day(server, 1, 1)
    _on_day(server, 2, 2)
    assert first not in _on_day(server, 3, 2)
    gone = first["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert api.refusal(ec2.describe_snapshots, SnapshotIds=[gone]) == "InvalidSnapshot.NotFound"
    newest = images(ec2)[-1]
    assert newest["SourceInstanceId"] == instance_id
    assert tags_of(newest) == {
        "Backup": "daily",
        "kind": "backup",
        "dlm:managed": "true",
        "aws:dlm:lifecycle-policy-id": policy_id,
        "aws:dlm:lifecycle-schedule-name": "nightly",
    }
    assert api.launch(ec2, newest["ImageId"])["State"]["Name"] == "running"
    for _ in range(9):  # each start is a sweep: it does what the one before it began
        west: Any = server.client(region=WEST)
        kept, copies = images(ec2), {each["Name"]: each for each in images(west)}
        old = [each["Name"] for each in kept if "DeprecationTime" in each]
        if old and newest["Name"] in copies:
            break
        restarted(server, 3 * DAY_S)
    assert old == [kept[0]["Name"]]
    assert {first["Name"], *(each["Name"] for each in kept)} == set(copies)
    told = server.aws("dlm", "get-lifecycle-policy", "--policy-id", policy_id)["Policy"]
    assert (told["State"], told["PolicyDetails"]["Schedules"]) == ("ENABLED", [schedule])


def _on_day(server: Server, day: int, count: int) -> list[dict[str, Any]]:
    """The images on that day, all available."""
    restarted(server, day * DAY_S)
    ec2: Any = server.client()

    def whole() -> list[dict[str, Any]]:
        found = images(ec2)
        ready = len(found) == count and all(each["State"] == "available" for each in found)
        return found if ready else []

    return until(whole, 180, f"{count} images on day {day}")


def test_s54_what_dlm_does_not_take_is_refused_with_the_parameters_named(server: Server) -> None:
    dlm: Any = server.client("dlm")
    wrong = a_schedule(RetainRule={"Count": 1, "Interval": 1, "IntervalUnit": "DAYS"})
    with pytest.raises(dlm.exceptions.InvalidRequestException) as refused:
        dlm.create_lifecycle_policy(
            ExecutionRoleArn=ROLE,
            Description="wrong",
            State="ENABLED",
            PolicyDetails=details(wrong),
        )
    named = refused.value.response["MutuallyExclusiveParameters"]
    assert named == ["Count", "Interval", "IntervalUnit"]
    with pytest.raises(dlm.exceptions.ResourceNotFoundException):
        dlm.get_lifecycle_policy(PolicyId="policy-0123456789abcdef0")
