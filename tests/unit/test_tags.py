"""CreateTags, DeleteTags, DescribeTags."""

from pathlib import Path
from typing import Any

import pytest

from openami.domain.ids import AccountId
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask, filtered, put, refused
from support.builders import (
    ALICE,
    BOB,
    CAROL,
    IMAGE,
    SNAPSHOT,
    VOLUME,
    a_snapshot,
    a_volume,
    an_image,
)
from support.fakes import services

BLUE = {"Key": "colour", "Value": "blue"}


def tag(svc: Services, *resources: str, account: str = ALICE, **pairs: str) -> None:
    tags = [{"Key": key, "Value": value} for key, value in pairs.items()]
    assert ask(svc, "CreateTags", account, Resources=list(resources), Tags=tags) == {}


def told(svc: Services, **request: Any) -> list[tuple[str, str, str, str]]:
    return [
        (each["ResourceType"], each["ResourceId"], each["Key"], each["Value"])
        for each in ask(svc, "DescribeTags", **request)["Tags"]
    ]


def test_resources_of_many_kinds_are_tagged_at_once(tmp_path: Path) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    (volume,) = ask(svc, "DescribeVolumes")["Volumes"]
    (instance,) = ask(svc, "DescribeInstances")["Reservations"][0]["Instances"]
    kinds = {
        "image": IMAGE,
        "snapshot": SNAPSHOT,
        "volume": volume["VolumeId"],
        "instance": instance_id,
        "vpc": instance["VpcId"],
        "subnet": instance["SubnetId"],
        "security-group": instance["SecurityGroups"][0]["GroupId"],
        "network-interface": instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
    }
    tag(svc, *kinds.values(), colour="blue")
    assert {(kind, each) for kind, each, _, _ in told(svc)} == set(kinds.items())
    assert ask(svc, "DescribeImages", Filters=filtered("tag:colour", "blue"))["Images"]
    assert ask(svc, "DescribeVolumes", Filters=filtered("tag-key", "colour"))["Volumes"]
    assert not ask(svc, "DescribeSnapshots", Filters=filtered("tag:colour", "red"))["Snapshots"]


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ("ami-00000000", "InvalidAMIID.NotFound"),
        ("snap-00000000", "InvalidSnapshot.NotFound"),
        ("vol-00000000", "InvalidVolume.NotFound"),
        ("i-00000000", "InvalidInstanceID.NotFound"),
        ("vpc-00000000", "InvalidVpcID.NotFound"),
        ("subnet-00000000", "InvalidSubnetID.NotFound"),
        ("sg-00000000", "InvalidGroup.NotFound"),
        ("sgr-00000000", "InvalidSecurityGroupRuleId.NotFound"),
        ("eni-00000000", "InvalidNetworkInterfaceID.NotFound"),
        ("key-00000000", "InvalidKeyPair.NotFound"),
        ("thing-1", "InvalidID"),
        ("ami-nothex", "InvalidID"),
    ],
)
def test_one_unknown_resource_refuses_them_all(tmp_path: Path, resource: str, code: str) -> None:
    svc = services(tmp_path)
    put(svc, an_image())
    with refused(code, resource):
        tag(svc, IMAGE, resource, a="b")
    with refused(code, resource):
        ask(svc, "DeleteTags", Resources=[resource])
    assert told(svc) == []


def test_a_tag_is_replaced_by_its_key_and_taken_away(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_volume())
    tag(svc, VOLUME, a="1", b="2", c="3", d="4")
    tag(svc, VOLUME, a="one")
    by_value = [{"Key": "a", "Value": "wrong"}, {"Key": "b", "Value": "2"}, {"Key": "c"}]
    ask(svc, "DeleteTags", Resources=[VOLUME], Tags=by_value)
    assert [(key, value) for _, _, key, value in told(svc)] == [("a", "one"), ("d", "4")]
    ask(svc, "DeleteTags", Resources=[VOLUME])
    assert told(svc) == []


def test_each_account_has_its_own_tags_on_a_shared_image(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image(shared_with=frozenset({BOB})), a_snapshot())
    tag(svc, IMAGE, colour="blue")
    tag(svc, IMAGE, account=BOB, colour="red")
    assert told(svc) == [("image", IMAGE, "colour", "blue")]
    assert told(svc, account=BOB) == [("image", IMAGE, "colour", "red")]
    (seen,) = ask(svc, "DescribeImages", BOB)["Images"]
    assert seen["Tags"] == [{"Key": "colour", "Value": "red"}]
    with refused("InvalidSnapshot.NotFound"):
        tag(svc, SNAPSHOT, account=BOB, a="b")


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([], "MissingParameter"),
        ([{"Key": "aws:x", "Value": "y"}], "InvalidParameterValue"),
        ([{"Key": "k" * 129, "Value": "y"}], "InvalidParameterValue"),
        ([{"Key": "k", "Value": "v" * 257}], "InvalidParameterValue"),
        ([{"Key": "k"}, {"Key": "k"}], "InvalidParameterValue"),
        ([{"Key": f"k{n}", "Value": ""} for n in range(51)], "TagLimitExceeded"),
    ],
)
def test_a_tag_is_refused(tmp_path: Path, tags: list[dict[str, str]], code: str) -> None:
    svc = services(tmp_path)
    put(svc, a_volume())
    with refused(code):
        ask(svc, "CreateTags", Resources=[VOLUME], Tags=tags)


def test_the_fifty_first_tag_is_one_too_many(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_volume())
    tag(svc, VOLUME, **{f"k{n}": "" for n in range(50)})
    tag(svc, VOLUME, k0="again")
    with refused("TagLimitExceeded"):
        tag(svc, VOLUME, one="more")


def test_tags_are_searched_and_paged(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_volume(), a_snapshot())
    tag(svc, VOLUME, SNAPSHOT, colour="blue", size="big", a="", b="", c="", d="")
    tag(svc, VOLUME, colour="red")
    assert told(svc, Filters=filtered("key", "colour"))[0][1] == SNAPSHOT
    assert told(svc, Filters=filtered("value", "re?")) == [("volume", VOLUME, "colour", "red")]
    assert told(svc, Filters=filtered("tag:colour", "*")) == told(
        svc, Filters=filtered("key", "colour")
    )
    assert len(told(svc, Filters=filtered("resource-type", "volume"))) == 6
    assert len(told(svc, Filters=filtered("resource-id", VOLUME, SNAPSHOT))) == 12
    with refused("InvalidParameterValue", "The filter 'colour' is invalid"):
        told(svc, Filters=filtered("colour", "red"))
    first = ask(svc, "DescribeTags", MaxResults=7)
    rest = ask(svc, "DescribeTags", MaxResults=7, NextToken=first["NextToken"])
    assert first["Tags"] + rest["Tags"] == ask(svc, "DescribeTags")["Tags"]
    assert "NextToken" not in rest


STATUS = "ec2:SharedTag/status"


def shared_with_bob(tmp_path: Path) -> Services:
    """An image of ALICE that she tags for herself and for those it is shared with."""
    svc = services(tmp_path)
    put(svc, an_image(shared_with=frozenset({BOB})))
    tag(svc, IMAGE, **{STATUS: "approved", "team": "a"})
    return svc


def seen_by(svc: Services, account: AccountId, **request: Any) -> list[dict[str, str]]:
    """The tags of each image that the account finds."""
    found = ask(svc, "DescribeImages", account, **request)["Images"]
    return [{each["Key"]: each["Value"] for each in image["Tags"]} for image in found]


def test_shared_tags_are_seen_by_those_who_may_see_the_image_and_no_others_are(
    tmp_path: Path,
) -> None:
    svc = shared_with_bob(tmp_path)
    tag(svc, IMAGE, account=BOB, mine="b")
    assert seen_by(svc, ALICE) == [{STATUS: "approved", "team": "a"}]
    assert seen_by(svc, BOB) == [{STATUS: "approved", "mine": "b"}]
    assert seen_by(svc, CAROL) == []
    tag(svc, IMAGE, **{STATUS: "old"})
    assert seen_by(svc, BOB) == [{STATUS: "old", "mine": "b"}]
    assert told(svc, account=BOB) == [("image", IMAGE, "mine", "b")]
    ask(svc, "DeleteTags", Resources=[IMAGE], Tags=[{"Key": STATUS}])
    assert seen_by(svc, BOB) == [{"mine": "b"}]


def test_shared_tags_are_filtered_by_like_own_ones(tmp_path: Path) -> None:
    svc = shared_with_bob(tmp_path)
    assert len(seen_by(svc, BOB, Filters=filtered(f"tag:{STATUS}", "appr*"))) == 1
    assert len(seen_by(svc, BOB, Filters=filtered("tag-key", "ec2:SharedTag/*"))) == 1
    assert seen_by(svc, BOB, Filters=filtered("tag:team", "a")) == []
    assert seen_by(svc, BOB, Filters=filtered("tag-key", "team")) == []
    assert len(seen_by(svc, ALICE, Filters=filtered("tag:team", "a"))) == 1


def test_shared_tags_are_the_owners_to_change(tmp_path: Path) -> None:
    svc = shared_with_bob(tmp_path)
    with refused("AuthFailure", IMAGE):
        tag(svc, IMAGE, account=BOB, **{STATUS: "mine", "own": "b"})
    with refused("AuthFailure"):
        ask(svc, "DeleteTags", BOB, Resources=[IMAGE], Tags=[{"Key": STATUS}])
    ask(svc, "DeleteTags", BOB, Resources=[IMAGE])
    assert seen_by(svc, BOB) == [{STATUS: "approved"}]


def test_of_a_snapshot_no_tag_is_shared(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(shared_with=frozenset({BOB})))
    tag(svc, SNAPSHOT, **{STATUS: "approved"})
    tag(svc, SNAPSHOT, account=BOB, **{STATUS: "mine"})
    (found,) = ask(svc, "DescribeSnapshots", BOB)["Snapshots"]
    assert found["Tags"] == [{"Key": STATUS, "Value": "mine"}]
