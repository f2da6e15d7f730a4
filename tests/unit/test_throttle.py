"""Token buckets, by a clock that a test sets."""

from threading import Lock
from typing import Any

import pytest

from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, Region
from openami.domain.limits.throttle import KEPT_MAX, Throttle
from openami.server import pipeline
from openami.settings import Settings
from support.front_desk import front_desk
from support.signing import ec2_call, signed_at


def caller(account: str = "111122223333", region: str = "us-east-1") -> Caller:
    return Caller(
        account=AccountId(account), region=Region(region), request_id="r", access_key_id="AKIA"
    )


class Door:
    """One operation of one account, asked again and again."""

    def __init__(self, operation: str, service: str = "ec2", **request: Any) -> None:
        self.throttle = Throttle(Lock())
        self.now_s = 1_000_000.0
        self.operation, self.service, self.request = operation, service, request

    def ask(self, by: Caller | None = None, **request: Any) -> str:
        try:
            self.throttle.admit(
                by or caller(),
                self.service,
                self.operation,
                {**self.request, **request},
                self.now_s,
            )
        except EC2Error as refusal:
            return refusal.code
        return "ok"

    def admitted(self, times: int = 2000) -> int:
        """How many of so many requests at one moment are let in."""
        return [self.ask() for _ in range(times)].count("ok")


@pytest.mark.parametrize(
    ("operation", "request_", "capacity", "per_s"),
    [
        ("DescribeImages", {}, 100, 20),
        ("GetConsoleOutput", {"InstanceId": "i-1"}, 100, 20),
        ("DescribeVolumes", {}, 50, 10),
        ("DescribeVolumes", {"Filters": [{"Name": "size"}]}, 100, 20),
        ("DescribeVolumes", {"MaxResults": 5}, 100, 20),
        ("DescribeVolumes", {"VolumeIds": ["vol-1"]}, 100, 20),
        ("CreateImage", {}, 50, 5),
        ("CreateTags", {}, 100, 10),
        ("CreateVolume", {}, 100, 5),
        ("RunInstances", {"MaxCount": 1}, 5, 2),
    ],
)
def test_a_burst_is_let_in_and_then_what_the_refill_allows(
    operation: str, request_: dict[str, Any], capacity: int, per_s: int
) -> None:
    door = Door(operation, **request_)
    assert door.admitted() == capacity
    door.now_s += 1
    assert door.admitted() == per_s
    door.now_s += 1000
    assert door.admitted() == capacity  # a bucket holds no more than it holds


def test_part_of_a_token_is_no_token() -> None:
    door = Door("CreateImage")
    door.admitted()
    door.now_s += 0.15
    assert door.ask() == "RequestLimitExceeded"
    door.now_s += 0.15
    assert door.ask() == "ok"


def test_each_operation_account_and_region_has_buckets_of_its_own() -> None:
    door = Door("CreateImage")
    door.admitted()
    assert door.ask() == "RequestLimitExceeded"
    assert door.ask(caller(account="444455556666")) == "ok"
    assert door.ask(caller(region="us-west-2")) == "ok"
    door.operation = "CopyImage"
    assert door.ask() == "ok"


def test_a_launch_takes_a_token_for_each_instance_too() -> None:
    door = Door("RunInstances")
    assert door.ask(MaxCount=1000) == "ok"
    assert door.ask(MaxCount=1) == "RequestLimitExceeded"
    door.now_s += 5  # two instances a second
    assert door.ask(MaxCount=11) == "RequestLimitExceeded"
    assert door.ask(MaxCount=10) == "ok"


def test_a_refused_launch_takes_nothing_from_either_bucket() -> None:
    door = Door("RunInstances")
    assert door.ask(MaxCount=998) == "ok"
    assert {door.ask(MaxCount=3) for _ in range(10)} == {"RequestLimitExceeded"}
    assert [door.ask(MaxCount=1) for _ in range(2)] == ["ok", "ok"]


@pytest.mark.parametrize("count", [0, -1, -1000])
def test_a_launch_of_less_than_one_instance_gives_no_token_back(count: int) -> None:
    door = Door("RunInstances")
    assert door.ask(MaxCount=1000) == "ok"
    door.now_s += 1  # two tokens
    assert door.ask(MaxCount=count) == "ok"
    assert door.ask(MaxCount=2) == "RequestLimitExceeded"


def test_who_starts_many_instances_takes_a_token_for_each() -> None:
    door = Door("StartInstances")
    assert door.ask(InstanceIds=["i"] * 1000) == "ok"
    assert door.ask(InstanceIds=["i"] * 1) == "RequestLimitExceeded"


def test_a_clock_that_is_set_back_neither_fills_nor_empties_a_bucket() -> None:
    door = Door("CreateImage")
    door.admitted(49)
    door.now_s -= 3600
    assert [door.ask(), door.ask()] == ["ok", "RequestLimitExceeded"]


def test_other_services_say_it_in_their_words() -> None:
    door = Door("GetParameter", service="ssm")
    assert door.admitted() == 40
    assert door.ask() == "ThrottlingException"


def test_buckets_that_are_full_again_are_forgotten() -> None:
    door = Door("CreateImage")
    for number in range(KEPT_MAX):
        door.ask(caller(account=f"{number:012}"))
    door.now_s += 1
    door.ask(caller(account="999999999999"))
    assert len(door.throttle) == 1


@pytest.mark.parametrize(("throttling", "expected"), [("none", {200}), ("ec2", {200, 503})])
def test_requests_are_throttled_where_the_setting_says_so(
    throttling: str, expected: set[int]
) -> None:
    desk = front_desk(Settings(throttling=throttling))
    request = ec2_call({"Action": "DescribeRegions"})
    desk.clock.instant = signed_at(request)
    doors = {"ec2": {"DescribeRegions": lambda _svc, _caller, _request: {"Regions": []}}}
    answers = [pipeline.answer(desk, request, doors) for _ in range(101)]
    assert {answer.status for answer in answers} == expected
    if 503 in expected:
        assert b"<Code>RequestLimitExceeded</Code>" in answers[-1].body
    desk.catalog.close()
