"""Lifecycle policies for tests: asked for by DLM's names, swept through days of a stopped clock."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from openami.actions.lifecycle import runs as lifecycle_runs
from openami.dlm.operations import OPERATIONS
from openami.domain.ids import AccountId, Region
from openami.services import Services
from openami.workflows import registry
from support.asking import a_bootable_image, a_running_instance, ask
from support.builders import ALICE, HERE, ZONE, a_caller
from support.fakes import StoppedClock, services
from support.model_check import held

ROLE = "arn:aws:iam::111111111111:role/service-role/dlm"
TAG = {"Key": "Backup", "Value": "daily"}


def dlm(
    svc: Services, operation: str, account: AccountId = ALICE, region: Region = HERE, **request: Any
) -> dict[str, Any]:
    """The answer of DLM's operation. Raises EC2Error."""
    answer = OPERATIONS[operation](svc, a_caller(account, region), request)
    return held("dlm", operation, answer)


def services_with_an_image(directory: Path) -> Services:
    svc = services(directory)
    a_bootable_image(svc)
    return svc


def a_schedule(**but: Any) -> dict[str, Any]:
    ordinary: dict[str, Any] = {
        "Name": "nightly",
        "CreateRule": {"Interval": 24, "IntervalUnit": "HOURS", "Times": ["03:00"]},
        "RetainRule": {"Count": 3},
    }
    return ordinary | but


def details(*schedules: dict[str, Any], images: bool = True, **but: Any) -> dict[str, Any]:
    """PolicyDetails of a policy of images, or of snapshots of volumes."""
    ordinary: dict[str, Any] = {
        "PolicyType": "IMAGE_MANAGEMENT" if images else "EBS_SNAPSHOT_MANAGEMENT",
        "ResourceTypes": ["INSTANCE" if images else "VOLUME"],
        "TargetTags": [TAG],
        "Schedules": list(schedules) or [a_schedule()],
    }
    return ordinary | but


def a_policy(svc: Services, plan: dict[str, Any] | None = None, **but: Any) -> str:
    """The id of a new policy."""
    ordinary: dict[str, Any] = {
        "ExecutionRoleArn": ROLE,
        "Description": "of a test",
        "State": "ENABLED",
    }
    given = {} if "DefaultPolicy" in but else {"PolicyDetails": plan or details()}
    return str(dlm(svc, "CreateLifecyclePolicy", **(ordinary | given | but))["PolicyId"])


def the_policy(svc: Services, policy_id: str) -> dict[str, Any]:
    found: dict[str, Any] = dlm(svc, "GetLifecyclePolicy", PolicyId=policy_id)["Policy"]
    return found


def later(svc: Services, **by: float) -> None:
    """Let time pass, and sweep once."""
    wait(svc, **by)
    registry.sweep(svc)
    lifecycle_runs.sweep(svc)


def wait(svc: Services, **by: float) -> None:
    """Let time pass."""
    clock = svc.clock
    assert isinstance(clock, StoppedClock)
    clock.advance(timedelta(**by))


def days(svc: Services, count: int) -> Iterator[int]:
    """A sweep at noon of each day."""
    for day in range(count):
        later(svc, days=1)
        yield day


def an_instance(svc: Services, **request: Any) -> str:
    """One that the policies are about."""
    instance_id = a_running_instance(svc, **request)
    tag(svc, instance_id)
    return instance_id


def a_volume(svc: Services, **request: str) -> str:
    """One that the policies are about."""
    volume_id = str(ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1, **request)["VolumeId"])
    tag(svc, volume_id)
    return volume_id


def tag(svc: Services, *resources: str) -> None:
    ask(svc, "CreateTags", Resources=list(resources), Tags=[TAG])


def images(svc: Services, **request: Any) -> list[dict[str, Any]]:
    """Those that DLM made, oldest first."""
    answer = ask(svc, "DescribeImages", Owners=["self"], **request)
    made = [each for each in answer["Images"] if policy_of(each)]
    return sorted(made, key=lambda each: str(each["CreationDate"]))


def snapshots(svc: Services, **request: Any) -> list[dict[str, Any]]:
    made = [
        each for each in ask(svc, "DescribeSnapshots", **request)["Snapshots"] if policy_of(each)
    ]
    return sorted(made, key=lambda each: str(each["StartTime"]))


def policy_of(resource: dict[str, Any]) -> str | None:
    return tags_of(resource).get("aws:dlm:lifecycle-policy-id")


def tags_of(resource: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in resource["Tags"]}
