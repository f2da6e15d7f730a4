"""DLM's operations: what a policy may say, and how it is told."""

from pathlib import Path
from typing import Any

import pytest

from openami.domain.errors import EC2Error
from openami.services import Services
from support.asking import refused
from support.builders import BOB, HERE, THERE
from support.fakes import services
from support.lifecycle import ROLE, TAG, a_policy, a_schedule, details, dlm, later, the_policy


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services(tmp_path)


def ids(svc: Services, **request: Any) -> list[str]:
    return [each["PolicyId"] for each in dlm(svc, "GetLifecyclePolicies", **request)["Policies"]]


def test_a_policy_is_told_as_it_was_given(svc: Services) -> None:
    schedule = a_schedule(
        CopyTags=True,
        TagsToAdd=[{"Key": "kind", "Value": "backup"}],
        VariableTags=[{"Key": "of", "Value": "$(instance-id)"}],
    )
    plan = details(schedule, Parameters={"NoReboot": False})
    policy_id = a_policy(svc, plan, Tags={"team": "a"})
    found = the_policy(svc, policy_id)
    told = found["PolicyDetails"]
    assert told["Schedules"] == [schedule]
    assert {name: told[name] for name in plan} == plan
    assert (told["ResourceLocations"], told["PolicyLanguage"]) == (["CLOUD"], "STANDARD")
    assert found["PolicyArn"] == f"arn:aws:dlm:us-east-1:111111111111:policy/{policy_id}"
    assert (found["State"], found["StatusMessage"]) == ("ENABLED", "ENABLED")
    assert (found["Description"], found["ExecutionRoleArn"]) == ("of a test", ROLE)
    assert (found["Tags"], found["DefaultPolicy"]) == ({"team": "a"}, False)
    assert found["DateCreated"] == found["DateModified"] == svc.clock.now()


def test_a_default_policy_has_dlms_defaults(svc: Services) -> None:
    policy_id = a_policy(svc, DefaultPolicy="VOLUME")
    told = the_policy(svc, policy_id)["PolicyDetails"]
    assert told == {
        "PolicyType": "EBS_SNAPSHOT_MANAGEMENT",
        "PolicyLanguage": "SIMPLIFIED",
        "ResourceType": "VOLUME",
        "CreateInterval": 1,
        "RetainInterval": 7,
        "CopyTags": False,
        "ExtendDeletion": False,
        "CrossRegionCopyTargets": [],
    }
    assert the_policy(svc, policy_id)["DefaultPolicy"] is True


def test_a_default_policy_may_come_in_policy_details(svc: Services) -> None:
    out = {"ExcludeBootVolumes": True, "ExcludeVolumeTypes": ["st1"], "ExcludeTags": [TAG]}
    plan = {
        "PolicyLanguage": "SIMPLIFIED",
        "ResourceType": "VOLUME",
        "CreateInterval": 3,
        "RetainInterval": 5,
        "Exclusions": out,
    }
    told = the_policy(svc, a_policy(svc, plan))["PolicyDetails"]
    assert {name: told[name] for name in plan} == plan


def test_there_is_one_default_policy_of_a_kind_and_region(svc: Services) -> None:
    a_policy(svc, DefaultPolicy="VOLUME")
    a_policy(svc, DefaultPolicy="INSTANCE")
    with refused("LimitExceededException"):
        a_policy(svc, DefaultPolicy="VOLUME")
    assert len(ids(svc)) == 2


def test_a_region_holds_a_hundred_custom_policies(svc: Services) -> None:
    for _ in range(100):
        a_policy(svc)
    with refused("LimitExceededException", "100"):
        a_policy(svc)


def test_policies_are_their_accounts_in_their_region(svc: Services) -> None:
    policy_id = a_policy(svc)
    for account, region in ((BOB, HERE), ("111111111111", THERE)):
        with refused("ResourceNotFoundException", policy_id):
            dlm(svc, "GetLifecyclePolicy", account, region, PolicyId=policy_id)
        with refused("ResourceNotFoundException"):
            dlm(svc, "DeleteLifecyclePolicy", account, region, PolicyId=policy_id)
        assert dlm(svc, "GetLifecyclePolicies", account, region)["Policies"] == []


def test_policies_are_found_by_what_they_say(svc: Services) -> None:
    custom = a_policy(svc, details(a_schedule(TagsToAdd=[{"Key": "kind", "Value": "x"}])))
    off = a_policy(svc, details(images=False), State="DISABLED")
    default = a_policy(svc, DefaultPolicy="VOLUME")
    assert ids(svc) == [custom, off, default]
    assert ids(svc, PolicyIds=[off]) == [off]
    assert ids(svc, State="DISABLED") == [off]
    assert ids(svc, ResourceTypes=["INSTANCE"]) == [custom]
    assert ids(svc, TargetTags=["Backup=daily"]) == [custom, off]
    assert ids(svc, TargetTags=["Backup=weekly"]) == []
    assert ids(svc, TagsToAdd=["kind=x"]) == [custom]
    assert ids(svc, DefaultPolicyType="ALL") == [default]
    assert ids(svc, DefaultPolicyType="INSTANCE") == []
    with refused("ResourceNotFoundException", "policy-0"):
        ids(svc, PolicyIds=["policy-0"])


def test_a_policy_is_changed_in_part(svc: Services) -> None:
    policy_id = a_policy(svc)
    later(svc, hours=1)
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, State="DISABLED", Description="new")
    found = the_policy(svc, policy_id)
    assert (found["State"], found["Description"]) == ("DISABLED", "new")
    assert found["DateModified"] > found["DateCreated"]
    changed = details(a_schedule(RetainRule={"Count": 9}, CopyTags=True))
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=changed)
    assert the_policy(svc, policy_id)["PolicyDetails"]["Schedules"] == changed["Schedules"]
    with refused("InvalidRequestException", "cannot be changed"):
        dlm(
            svc,
            "UpdateLifecyclePolicy",
            PolicyId=policy_id,
            PolicyDetails=details(a_schedule(), images=False),
        )


def test_a_default_policy_is_changed_by_what_defaults_have(svc: Services) -> None:
    policy_id = a_policy(svc, DefaultPolicy="INSTANCE", CreateInterval=2)
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, RetainInterval=9)
    told = the_policy(svc, policy_id)["PolicyDetails"]
    assert (told["CreateInterval"], told["RetainInterval"]) == (2, 9)
    with refused("InvalidRequestException"):
        dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=details())
    custom = a_policy(svc)
    with refused("InvalidRequestException", "default policy"):
        dlm(svc, "UpdateLifecyclePolicy", PolicyId=custom, RetainInterval=9)


def test_a_deleted_policy_is_gone(svc: Services) -> None:
    policy_id = a_policy(svc)
    assert dlm(svc, "DeleteLifecyclePolicy", PolicyId=policy_id) == {}
    with refused("ResourceNotFoundException"):
        dlm(svc, "DeleteLifecyclePolicy", PolicyId=policy_id)


def test_a_policy_is_tagged_by_its_arn(svc: Services) -> None:
    policy_id = a_policy(svc, Tags={"a": "1"})
    arn = the_policy(svc, policy_id)["PolicyArn"]
    dlm(svc, "TagResource", ResourceArn=arn, Tags={"b": "2"})
    dlm(svc, "UntagResource", ResourceArn=arn, TagKeys=["a"])
    assert dlm(svc, "ListTagsForResource", ResourceArn=arn) == {"Tags": {"b": "2"}}
    with refused("InvalidRequestException"):
        dlm(svc, "TagResource", ResourceArn=arn, Tags={"aws:x": "2"})
    with refused("InvalidRequestException"):
        dlm(svc, "ListTagsForResource", ResourceArn="arn:aws:ec2:us-east-1:1:image/ami-1")
    with refused("ResourceNotFoundException"):
        dlm(svc, "ListTagsForResource", BOB, ResourceArn=arn)
    with refused("InvalidRequestException", "at most 50"):
        dlm(svc, "TagResource", ResourceArn=arn, Tags={str(n): "x" for n in range(50)})


def _created(**rule: Any) -> dict[str, Any]:
    return details(a_schedule(CreateRule=rule))


def _cron(text: str) -> dict[str, Any]:
    return _created(CronExpression=f"cron({text})")


def _retained(**rule: Any) -> dict[str, Any]:
    return details(a_schedule(RetainRule=rule))


EVERY = {"Interval": 24, "IntervalUnit": "HOURS"}
WRONG: dict[str, dict[str, Any]] = {
    "no details": {"PolicyDetails": {}},
    "a role that is none": {"ExecutionRoleArn": "dlm"},
    "signs in the description": {"Description": "what?"},
    "a state that cannot be set": {"State": "ERROR"},
    "a policy on events": {"PolicyDetails": details(PolicyType="EVENT_BASED_POLICY")},
    "images of volumes": {"PolicyDetails": details(ResourceTypes=["VOLUME"])},
    "no resource type": {"PolicyDetails": details(ResourceTypes=[])},
    "an outpost": {"PolicyDetails": details(ResourceLocations=["OUTPOST"])},
    "no target tags": {"PolicyDetails": details(TargetTags=[])},
    "no schedules": {"PolicyDetails": details(Schedules=[])},
    "five schedules": {
        "PolicyDetails": details(*(a_schedule(Name=f"number {n}") for n in range(5)))
    },
    "two schedules of one name": {"PolicyDetails": details(a_schedule(), a_schedule())},
    "a schedule without a create rule": {"PolicyDetails": _created()},
    "a schedule without a retain rule": {"PolicyDetails": _retained()},
    "an interval of five hours": {"PolicyDetails": _created(Interval=5, IntervalUnit="HOURS")},
    "an interval without a unit": {"PolicyDetails": _created(Interval=24)},
    "two times": {"PolicyDetails": _created(**EVERY, Times=["01:00", "02:00"])},
    "a time that is none": {"PolicyDetails": _created(**EVERY, Times=["24:00"])},
    "cron and an interval": {
        "PolicyDetails": _created(**EVERY, CronExpression="cron(0 1 * * ? *)")
    },
    "cron that is none": {"PolicyDetails": _cron("0 1 * * * *")},
    "cron twice an hour": {"PolicyDetails": _cron("0,30 * * * ? *")},
    "cron in leap years": {"PolicyDetails": _cron("0 1 29 2 ? *")},
    "cron in the past": {"PolicyDetails": _cron("0 1 1 1 ? 2001")},
    "a count of 1001": {"PolicyDetails": _retained(Count=1001)},
    "a count and an age": {"PolicyDetails": _retained(Count=1, Interval=1, IntervalUnit="DAYS")},
    "more than 100 years": {"PolicyDetails": _retained(Interval=101, IntervalUnit="YEARS")},
    "an age without a unit": {"PolicyDetails": _retained(Interval=1)},
    "tags of the service": {
        "PolicyDetails": details(a_schedule(TagsToAdd=[{"Key": "aws:x", "Value": "y"}]))
    },
    "46 tags": {
        "PolicyDetails": details(
            a_schedule(TagsToAdd=[{"Key": f"k{n}", "Value": "v"} for n in range(46)])
        )
    },
    "a variable that is none": {
        "PolicyDetails": details(a_schedule(VariableTags=[{"Key": "x", "Value": "$(name)"}]))
    },
    "variable tags of volumes": {
        "PolicyDetails": details(
            a_schedule(VariableTags=[{"Key": "x", "Value": "$(timestamp)"}]), images=False
        )
    },
    "NoReboot for volumes": {"PolicyDetails": details(images=False, Parameters={"NoReboot": True})},
    "ExcludeBootVolume for images": {
        "PolicyDetails": details(Parameters={"ExcludeBootVolume": True})
    },
    "a default policy every 8 days": {"DefaultPolicy": "VOLUME", "CreateInterval": 8},
    "a default policy of 15 days": {"DefaultPolicy": "VOLUME", "RetainInterval": 15},
    "a default policy that retains nothing": {
        "DefaultPolicy": "VOLUME",
        "CreateInterval": 3,
        "RetainInterval": 3,
    },
    "a default policy in two places": {
        "DefaultPolicy": "VOLUME",
        "RetainInterval": 3,
        "PolicyDetails": {"CreateInterval": 1},
    },
    "a default policy with schedules": {"DefaultPolicy": "VOLUME", "PolicyDetails": details()},
    "boot volumes left out of images": {
        "DefaultPolicy": "INSTANCE",
        "Exclusions": {"ExcludeBootVolumes": True},
    },
    "members of defaults in a custom policy": {"CreateInterval": 1},
    "a default policy of buckets": {"DefaultPolicy": "BUCKET"},
}


@pytest.mark.parametrize("why", WRONG)
def test_a_wrong_policy_is_refused(svc: Services, why: str) -> None:
    with refused("InvalidRequestException"):
        a_policy(svc, **WRONG[why])
    assert ids(svc) == []


@pytest.mark.parametrize(
    ("details_", "member", "names"),
    [
        (details(TargetTags=[]), "RequiredParameters", ["TargetTags"]),
        (
            _retained(Count=1, Interval=1, IntervalUnit="DAYS"),
            "MutuallyExclusiveParameters",
            ["Count", "Interval", "IntervalUnit"],
        ),
    ],
)
def test_a_refusal_names_the_parameters(
    svc: Services, details_: dict[str, Any], member: str, names: list[str]
) -> None:
    with pytest.raises(EC2Error) as caught:
        a_policy(svc, details_)
    assert caught.value.details[member] == names


def test_what_openami_does_not_do_is_refused(svc: Services) -> None:
    rule = {**a_schedule()["CreateRule"], "Scripts": [{"ExecutionHandler": "AWS_VSS_BACKUP"}]}
    with refused("UnsupportedOperation", "Scripts"):
        a_policy(svc, details(a_schedule(CreateRule=rule)))
