"""Images of the public catalogue: owned by an alias, everybody's, found by public parameters."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from openami.actions import parameters, public_catalogue
from openami.domain.ids import ImageId
from openami.domain.image import ImageState
from openami.services import Services
from support.asking import ask, filtered, put, put_accounts, refused
from support.builders import ALICE, BOB, IMAGE, a_caller, a_snapshot, an_image
from support.fakes import services

NAME = "/aws/service/debian/release/12/latest/amd64"
OTHER = ImageId("ami-00000000000000002")


@pytest.fixture
def svc(tmp_path: Path) -> Iterator[Services]:
    """Alice's image, and two that stand behind the alias amazon."""
    made = services(tmp_path)
    put_accounts(made, ALICE, BOB)
    with made.catalog.begin() as tx:
        amazon = public_catalogue.account_of_alias(tx, made.clock, "amazon").id
    own = an_image(id=ImageId("ami-00000000000000009"), name="own")
    snapshot = replace(a_snapshot(), owner=amazon)
    image = an_image(owner=amazon, name="debian-12")
    put(made, snapshot, image, replace(image, id=OTHER, name="debian-12b"), own)
    yield made
    made.catalog.close()


def found(svc: Services, **request: object) -> list[str]:
    return [each["ImageId"] for each in ask(svc, "DescribeImages", BOB, **request)["Images"]]


def test_a_published_image_is_everybodys_and_its_alias_owns_it(svc: Services) -> None:
    assert found(svc, Owners=["amazon"]) == []
    public_catalogue.publish(svc, IMAGE, NAME)
    (image,) = ask(svc, "DescribeImages", BOB, Owners=["amazon"])["Images"]
    assert image["ImageId"] == IMAGE
    assert (image["Public"], image["ImageOwnerAlias"]) == (True, "amazon")
    assert image["PublicSsmParameterName"] == NAME
    for name, value in (("owner-alias", "amaz*"), ("public-ssm-parameter-name", "*debian*")):
        assert found(svc, Filters=filtered(name, value)) == [IMAGE]
        assert found(svc, Filters=filtered(name, "none")) == []
    assert found(svc, Owners=["aws-marketplace"]) == []
    assert found(svc, Owners=["self", "amazon"]) == [IMAGE]


def test_the_parameter_names_the_image_that_was_published_last(svc: Services) -> None:
    public_catalogue.publish(svc, IMAGE, NAME)
    public_catalogue.publish(svc, OTHER, NAME)
    images = ask(svc, "DescribeImages", BOB, Owners=["amazon"])["Images"]
    assert [each.get("PublicSsmParameterName") for each in images] == [None, NAME]
    parameter, _ = parameters.get_parameter(svc, a_caller(BOB), NAME)
    assert (parameter.value, parameter.version) == (OTHER, 2)


def test_a_public_parameter_is_resolved_at_a_launch(svc: Services) -> None:
    public_catalogue.publish(svc, IMAGE, NAME)
    launched = ask(
        svc,
        "RunInstances",
        BOB,
        ImageId=f"resolve:ssm:{NAME}",
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
    )
    assert launched["Instances"][0]["ImageId"] == IMAGE


def test_an_image_of_an_account_without_an_alias_is_not_published(svc: Services) -> None:
    with refused("InvalidParameterCombination", "alias"):
        public_catalogue.publish(svc, ImageId("ami-00000000000000009"), NAME)
    with refused("InvalidAMIID.NotFound"):
        public_catalogue.publish(svc, ImageId("ami-0123456789abcdef0"), None)
    disabled = an_image(id=ImageId("ami-0000000000000000d"), name="d", state=ImageState.DISABLED)
    put(svc, disabled)
    with refused("InvalidAMIID.Unavailable"):
        public_catalogue.publish(svc, disabled.id, None)


def test_a_public_parameter_lies_below_aws_service(svc: Services) -> None:
    with refused("InvalidParameterValue", "/aws/service/"):
        public_catalogue.publish(svc, IMAGE, "/debian/latest")
    with refused("ValidationException"):
        public_catalogue.publish(svc, IMAGE, "/aws/service//x")
    assert found(svc, Owners=["amazon"]) == []


def test_an_alias_is_one_of_aws_and_stands_for_one_account(svc: Services) -> None:
    with svc.catalog.begin() as tx:
        first = public_catalogue.account_of_alias(tx, svc.clock, "amazon")
        assert public_catalogue.account_of_alias(tx, svc.clock, "amazon") == first
    with refused("InvalidParameterValue"), svc.catalog.begin() as tx:
        public_catalogue.account_of_alias(tx, svc.clock, "microsoft")
