"""GetImageAncestry, watermarks and instance type specifications."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.catalog import accounts, instances
from openami.domain.account import Account
from openami.domain.ids import AccountId
from openami.domain.image import ImageState
from openami.domain.instance_types.specification import InstanceTypeSpecification
from openami.domain.watermark import Watermark
from openami.services import Services
from openami.workflows import registry
from support.asking import ask, filtered, put, put_accounts, refused
from support.builders import (
    ALICE,
    BOB,
    CAROL,
    EPOCH,
    HERE,
    IMAGE,
    a_snapshot,
    an_image,
    an_instance,
)
from support.fakes import StoppedClock, services

MARK = f"{ALICE}:approved"


def image_number(number: int) -> str:
    return f"ami-{number:017x}"


def generation(svc: Services, number: int, **but: Any) -> str:
    """The image of that number, which descends from the one before it."""
    source = {"source_image_id": image_number(number - 1), "source_image_region": HERE}
    fields = {"id": image_number(number), "name": f"generation {number}"}
    put(svc, an_image(**fields | (source if number > 1 else {}) | but))
    return image_number(number)


def family(tmp_path: Path, size: int) -> Services:
    svc = services(tmp_path)
    put_accounts(svc, ALICE, BOB, CAROL)
    put(svc, a_snapshot())
    for number in range(1, size + 1):
        generation(svc, number)
    return svc


def ancestry(svc: Services, image_id: str, account: Any = ALICE) -> list[str]:
    answer = ask(svc, "GetImageAncestry", account, ImageId=image_id)
    return [each["ImageId"] for each in answer["ImageAncestryEntries"]]


def advance(svc: Services, by: timedelta) -> None:
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(by)
    registry.sweep(svc)


def test_the_ancestry_is_the_image_its_parent_and_so_on(tmp_path: Path) -> None:
    svc = family(tmp_path, 3)
    assert ancestry(svc, image_number(3)) == [image_number(n) for n in (3, 2, 1)]
    entry, *_, root = ask(svc, "GetImageAncestry", ImageId=image_number(3))["ImageAncestryEntries"]
    assert entry["SourceImageId"] == image_number(2)
    assert entry["SourceImageRegion"] == HERE
    assert entry["CreationDate"] == EPOCH
    assert "SourceImageId" not in root


def test_a_registered_image_is_its_own_root(tmp_path: Path) -> None:
    assert ancestry(family(tmp_path, 1), IMAGE) == [IMAGE]


def test_the_ancestry_ends_at_the_fiftieth(tmp_path: Path) -> None:
    svc = family(tmp_path, 52)
    assert ancestry(svc, image_number(52)) == [image_number(n) for n in range(52, 2, -1)]


def test_a_parent_stays_in_the_ancestry_long_after_it_was_deregistered(tmp_path: Path) -> None:
    svc = family(tmp_path, 3)
    for number in (1, 2):
        ask(svc, "DeregisterImage", ImageId=image_number(number))
        advance(svc, timedelta(days=1))
    with refused("InvalidAMIID.NotFound"):
        ask(svc, "DescribeImages", ImageIds=[image_number(2)])
    assert ancestry(svc, image_number(3)) == [image_number(n) for n in (3, 2, 1)]


def test_lineage_is_forgotten_with_the_last_that_descends_from_it(tmp_path: Path) -> None:
    svc = family(tmp_path, 3)
    for number in (1, 2, 3):
        ask(svc, "DeregisterImage", ImageId=image_number(number))
        advance(svc, timedelta(days=1))
    advance(svc, timedelta(days=1))
    with svc.catalog.read() as tx:
        assert tx.exec_driver_sql("SELECT id FROM past_image").all() == []


def test_who_sees_the_image_sees_its_private_ancestors_ids(tmp_path: Path) -> None:
    svc = family(tmp_path, 1)
    generation(svc, 2, shared_with=frozenset({BOB}))
    assert ancestry(svc, image_number(2), BOB) == [image_number(2), IMAGE]
    with refused("InvalidAMIID.NotFound"):
        ancestry(svc, IMAGE, BOB)
    with refused("InvalidAMIID.NotFound"):
        ancestry(svc, image_number(2), CAROL)


PROVIDER = AccountId("000000000999")


def provided(tmp_path: Path, alias: str, **but: Any) -> Services:
    """Three generations, the middle one of an account with an alias."""
    svc = family(tmp_path, 1)
    with svc.catalog.begin() as tx:
        made = svc.clock.now()
        accounts.add(tx, Account(id=PROVIDER, name="provider", created_at=made, alias=alias))
    generation(svc, 2, **{"owner": PROVIDER, "public": True, **but})
    generation(svc, 3)
    return svc


@pytest.mark.parametrize("alias", ["amazon", "aws-marketplace"])
def test_the_ancestry_ends_at_a_public_image_of_a_verified_provider(
    tmp_path: Path, alias: str
) -> None:
    svc = provided(tmp_path, alias)
    answer = ask(svc, "GetImageAncestry", ImageId=image_number(3))
    first, root = answer["ImageAncestryEntries"]
    assert (first["SourceImageId"], "ImageOwnerAlias" in first) == (image_number(2), False)
    assert root == {"ImageId": image_number(2), "CreationDate": EPOCH, "ImageOwnerAlias": alias}


def test_the_ancestry_goes_on_behind_a_providers_private_image(tmp_path: Path) -> None:
    svc = provided(tmp_path, "amazon", public=False)
    assert ancestry(svc, image_number(3)) == [image_number(n) for n in (3, 2, 1)]


def test_the_ancestry_goes_on_behind_a_backup_vaults_image(tmp_path: Path) -> None:
    svc = provided(tmp_path, "aws-backup-vault")
    assert ancestry(svc, image_number(3)) == [image_number(n) for n in (3, 2, 1)]


def test_the_ancestry_ends_at_a_providers_image_that_is_gone(tmp_path: Path) -> None:
    svc = provided(tmp_path, "amazon")
    ask(svc, "DeregisterImage", PROVIDER, ImageId=image_number(2))
    advance(svc, timedelta(days=1))
    assert ancestry(svc, image_number(3)) == [image_number(3), image_number(2)]


def test_an_instance_tells_its_images_provider_and_deprecation(tmp_path: Path) -> None:
    svc = provided(tmp_path, "amazon", deprecated_at=EPOCH)
    with svc.catalog.begin() as tx:
        instances.add(tx, an_instance(image_id=image_number(2)))
    (used,) = ask(svc, "DescribeInstanceImageMetadata")["InstanceImageMetadata"]
    told = used["ImageMetadata"]
    assert (told["ImageOwnerAlias"], told["IsPublic"]) == ("amazon", True)
    assert told["DeprecationTime"] == "2024-01-01T00:00:00.000Z"
    for alias, found in (("amazon", True), ("aws-*", False)):
        asked = filtered("owner-alias", alias)
        answer = ask(svc, "DescribeInstanceImageMetadata", Filters=asked)
        assert bool(answer["InstanceImageMetadata"]) is found


def marks(svc: Services, image_id: str = IMAGE, account: Any = ALICE) -> list[dict[str, Any]]:
    (image,) = ask(svc, "DescribeImages", account, ImageIds=[image_id])["Images"]
    return image.get("ImageWatermarks", [])


def attach(svc: Services, name: str = "approved", image_id: str = IMAGE, **more: Any) -> str:
    return ask(svc, "AttachImageWatermark", ImageId=image_id, WatermarkName=name, **more)[
        "WatermarkKey"
    ]


def test_a_watermark_names_its_account_and_where_it_was_attached(tmp_path: Path) -> None:
    svc = family(tmp_path, 1)
    advance(svc, timedelta(hours=1))
    assert attach(svc) == MARK
    assert marks(svc) == [
        {
            "WatermarkKey": MARK,
            "SourceImageId": IMAGE,
            "SourceImageRegion": HERE,
            "SourceImageCreationTime": EPOCH,
            "WatermarkCreationTime": EPOCH + timedelta(hours=1),
        }
    ]


def test_attaching_a_watermark_again_changes_nothing(tmp_path: Path) -> None:
    svc = family(tmp_path, 1)
    attach(svc)
    before = marks(svc)
    advance(svc, timedelta(hours=1))
    assert attach(svc) == MARK
    assert marks(svc) == before


def test_an_image_has_at_most_five_watermarks(tmp_path: Path) -> None:
    svc = family(tmp_path, 1)
    for number in range(5):
        attach(svc, f"mark {number}")
    with refused("ResourceLimitExceeded"):
        attach(svc, "one more")
    assert attach(svc, "mark 3") == f"{ALICE}:mark 3"


@pytest.mark.parametrize("name", ["ab", "a" * 129, "no:colon", "ünder"])
def test_a_watermarks_name_is_of_few_characters(tmp_path: Path, name: str) -> None:
    with refused("InvalidParameterValue"):
        attach(family(tmp_path, 1), name)


def test_public_and_watermarked_exclude_each_other(tmp_path: Path) -> None:
    svc = family(tmp_path, 1)
    generation(svc, 2, public=True)
    with refused("OperationNotPermitted"):
        attach(svc, image_id=image_number(2))
    attach(svc)
    to_all = {"Add": [{"Group": "all"}]}
    with refused("OperationNotPermitted", "watermark"):
        ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=to_all)
    ask(svc, "DetachImageWatermark", ImageId=IMAGE, WatermarkKey=MARK)
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=to_all)


def test_only_the_owner_marks_and_who_sees_the_image_sees_its_marks(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image(shared_with=frozenset({BOB})))
    attach(svc)
    for request in (
        ("AttachImageWatermark", {"WatermarkName": "mine"}),
        ("DetachImageWatermark", {"WatermarkKey": MARK}),
        ("ReplaceImageInstanceTypeSpecification", {}),
    ):
        with refused("AuthFailure"):
            ask(svc, request[0], BOB, ImageId=IMAGE, **request[1])
        with refused("InvalidAMIID.NotFound"):
            ask(svc, request[0], CAROL, ImageId=IMAGE, **request[1])
    assert [each["WatermarkKey"] for each in marks(svc, account=BOB)] == [MARK]


def test_an_image_of_an_instance_inherits_and_keeps_the_watermarks(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(), an_image(boot_mode="legacy-bios"))
    attach(svc)
    asked = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    instance_id = ask(svc, "RunInstances", **asked)["Instances"][0]["InstanceId"]
    child = ask(svc, "CreateImage", InstanceId=instance_id, Name="child")["ImageId"]
    assert marks(svc, child) == marks(svc)
    ask(svc, "DetachImageWatermark", ImageId=IMAGE, WatermarkKey=MARK)
    assert marks(svc) == []
    assert [each["SourceImageId"] for each in marks(svc, child)] == [IMAGE]
    assert ancestry(svc, child) == [child, IMAGE]


def test_detaching_what_is_not_there_succeeds_but_not_what_is_no_key(tmp_path: Path) -> None:
    svc = family(tmp_path, 1)
    asked = {"ImageId": IMAGE, "WatermarkKey": f"{BOB}:other"}
    assert ask(svc, "DetachImageWatermark", **asked) == {"Return": True}
    with refused("InvalidParameterValue"):
        ask(svc, "DetachImageWatermark", ImageId=IMAGE, WatermarkKey="approved")


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("image-watermark.watermark-key", MARK, True),
        ("image-watermark.watermark-key", "*:approved", True),
        ("image-watermark.watermark-key", "*:other", False),
        ("image-watermark.source-image-id", IMAGE, True),
        ("image-watermark.source-image-region", "us-west-2", False),
        ("image-watermark.source-image-creation-time", "2024-01-01T*", True),
        ("image-watermark.watermark-creation-time", "2024-01-01T00:00:00.000Z", True),
        ("image-watermark.watermark-creation-time", "2024-01-01T00:00:00.000000+00:00", True),
        ("image-watermark.watermark-creation-time", "2023*", False),
        ("instance-type-specification.supported-instance-type", "t3.*", True),
        ("instance-type-specification.supported-instance-type", "t3.nano", False),
        ("instance-type-specification.unsupported-instance-type", "t3.nano", True),
    ],
)
def test_images_are_found_by_their_facts(
    tmp_path: Path, name: str, value: str, found: bool
) -> None:
    svc = services(tmp_path)
    mark = Watermark(
        key=MARK,
        source_image_id=IMAGE,
        source_image_region=HERE,
        source_image_created_at=EPOCH,
        attached_at=EPOCH,
    )
    types = InstanceTypeSpecification(supported=("t3.*",), unsupported=("t3.nano",))
    put(svc, an_image(watermarks=(mark,), instance_types=types))
    answer = ask(svc, "DescribeImages", Filters=filtered(name, value))
    assert bool(answer["Images"]) is found


def specify(svc: Services, **lists: list[str]) -> None:
    asked: dict[str, Any] = {"ImageId": IMAGE}
    if lists:
        asked["InstanceTypeSpecification"] = {
            f"{name.title()}InstanceTypes": entries for name, entries in lists.items()
        }
    answer = ask(svc, "ReplaceImageInstanceTypeSpecification", **asked)
    assert answer == {"ReturnValue": True}


def specification(svc: Services) -> dict[str, list[str]] | None:
    (image,) = ask(svc, "DescribeImages", ImageIds=[IMAGE])["Images"]
    told = image.get("InstanceTypeSpecification")
    if told is None:
        return None
    return {name: [each["InstanceType"] for each in entries] for name, entries in told.items()}


def test_an_instance_type_specification_is_replaced_and_removed(tmp_path: Path) -> None:
    svc = family(tmp_path, 1)
    specify(svc, supported=["t3.*", "m5.large"], unsupported=["t3.nano"])
    assert specification(svc) == {
        "SupportedInstanceTypes": ["t3.*", "m5.large"],
        "UnsupportedInstanceTypes": ["t3.nano"],
    }
    specify(svc, unsupported=["t2.*"])
    assert specification(svc) == {"UnsupportedInstanceTypes": ["t2.*"]}
    specify(svc)
    assert specification(svc) is None


@pytest.mark.parametrize(
    "lists",
    [
        {"supported": ["t3.**"]},
        {"supported": ["t3 micro"]},
        {"supported": ["t3.micro", "t3.micro"]},
        {"supported": ["t3.micro"], "unsupported": ["t3.micro"]},
        {"supported": ["a" * 25]},
        {"supported": [""]},
        {"supported": [f"t{number}.x" for number in range(101)]},
    ],
)
def test_a_wrong_specification_is_refused(tmp_path: Path, lists: dict[str, list[str]]) -> None:
    svc = family(tmp_path, 1)
    with refused("InvalidParameterValue"):
        specify(svc, **lists)
    assert specification(svc) is None


@pytest.mark.parametrize(
    ("supported", "unsupported", "allowed"),
    [
        ([], [], True),
        (["t3.*"], [], True),
        (["t3.micro"], [], True),
        (["t2.*"], [], False),
        ([], ["t3.*"], False),
        ([], ["t2.*"], True),
        (["t3.*"], ["*.micro"], False),
        (["t3x*"], [], False),
    ],
)
def test_a_launch_heeds_the_images_instance_types(
    tmp_path: Path, supported: list[str], unsupported: list[str], allowed: bool
) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(), an_image(boot_mode="legacy-bios"))
    specify(svc, supported=supported, unsupported=unsupported)
    asked = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    if allowed:
        ask(svc, "RunInstances", **asked)
    else:
        with refused("InvalidParameterCombination", "t3.micro"):
            ask(svc, "RunInstances", **asked)


def test_an_image_stays_known_while_it_has_instances(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(), an_image(boot_mode="legacy-bios"))
    asked = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    instance_id = ask(svc, "RunInstances", **asked)["Instances"][0]["InstanceId"]
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    advance(svc, timedelta(days=400))
    assert ask(svc, "DescribeImages", ImageIds=[IMAGE])["Images"] == []
    (used,) = ask(svc, "DescribeInstanceImageMetadata")["InstanceImageMetadata"]
    assert used["ImageMetadata"]["State"] == ImageState.DEREGISTERED
    assert used["ImageMetadata"]["Name"] == "debian-12"
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    with svc.catalog.begin() as tx:
        tx.exec_driver_sql("DELETE FROM instance")
    advance(svc, timedelta(days=1))
    with refused("InvalidAMIID.NotFound"):
        ask(svc, "DescribeImages", ImageIds=[IMAGE])


def test_an_instance_tells_its_image_though_it_is_not_shared_any_more(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, an_image(shared_with=frozenset()))
    with svc.catalog.begin() as tx:
        instances.add(tx, an_instance(owner=BOB))
    (used,) = ask(svc, "DescribeInstanceImageMetadata", BOB)["InstanceImageMetadata"]
    assert used["ImageMetadata"]["OwnerId"] == ALICE
    assert used["ImageMetadata"]["IsPublic"] is False
    assert used["OwnerId"] == BOB
    assert ask(svc, "DescribeInstanceImageMetadata", ALICE)["InstanceImageMetadata"] == []
    with refused("InvalidInstanceID.NotFound"):
        ask(svc, "DescribeInstanceImageMetadata", ALICE, InstanceIds=[an_instance().id])


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("availability-zone", "us-east-1a", True),
        ("zone-id", "use1-az1", True),
        ("zone-id", "use1-az2", False),
        ("instance-id", an_instance().id, True),
        ("instance-state-name", "stopped", False),
        ("instance-type", "t3.*", True),
        ("launch-time", "2024-01-01T*", True),
        ("owner-id", ALICE, True),
        ("owner-id", BOB, False),
        ("owner-alias", "amazon", False),
        ("tag:Env", "prod", False),
    ],
)
def test_instances_are_found_by_their_images_and_more(
    tmp_path: Path, name: str, value: str, found: bool
) -> None:
    svc = services(tmp_path)
    put(svc, an_image())
    with svc.catalog.begin() as tx:
        instances.add(tx, an_instance())
    answer = ask(svc, "DescribeInstanceImageMetadata", Filters=filtered(name, value))
    assert bool(answer["InstanceImageMetadata"]) is found
