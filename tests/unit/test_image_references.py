"""DescribeImageReferences: whose resources name an image, and how far one looks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openami.domain.instance import InstanceState
from openami.services import Services
from openami.ssm.operations import OPERATIONS as SSM
from support.asking import ask, put, refused
from support.builders import ALICE, BOB, HERE, IMAGE, a_caller, a_snapshot, an_image
from support.fakes import services
from support.referring import make_template, put_instance

OTHER = "ami-0000000000000000b"
INSTANCE, TEMPLATE, PARAMETER = "ec2:Instance", "ec2:LaunchTemplate", "ssm:Parameter"


@pytest.fixture
def svc(tmp_path: Path) -> Iterator[Services]:
    made = services(tmp_path)
    shared = frozenset({BOB})
    put(made, a_snapshot(), an_image(shared_with=shared), an_image(id=OTHER, name="other"))
    yield made
    made.catalog.close()


def parameter(svc: Services, name: str, value: str, data_type: str = "aws:ec2:image") -> str:
    asked = {"Name": name, "Value": value, "Type": "String", "DataType": data_type}
    SSM["PutParameter"](svc, a_caller(), asked | {"Overwrite": True})
    return f"arn:aws:ssm:{HERE}:{ALICE}:parameter/{name.removeprefix('/')}"


def of(kind: str, option: str = "", *values: str) -> list[dict[str, Any]]:
    options = [{"OptionName": option, "OptionValues": list(values)}] if option else []
    return [{"ResourceType": kind, "ResourceTypeOptions": options}]


def found(svc: Services, *kinds: list[dict[str, Any]], **asked: Any) -> list[str]:
    named = [each for kind in kinds for each in kind] or None
    request: dict[str, Any] = {"ImageIds": [IMAGE], "ResourceTypes": named}
    if named is None:
        request["IncludeAllResourceTypes"] = True
    answer = ask(svc, "DescribeImageReferences", **(request | asked))
    return [each["Arn"] for each in answer["ImageReferences"]]


def test_everything_that_names_an_image_is_found(svc: Services) -> None:
    named = {
        put_instance(svc, 1),
        put_instance(svc, 2),
        make_template(svc, IMAGE),
        parameter(svc, "/golden/web", IMAGE),
        parameter(svc, "plain", IMAGE),
    }
    put_instance(svc, 3, image_id=OTHER)
    make_template(svc, OTHER, name="of-another")
    parameter(svc, "other", OTHER)
    assert set(found(svc)) == named


def test_an_entry_says_which_image_it_is_of_and_what_kind_of_resource(svc: Services) -> None:
    first, second = put_instance(svc, 1), put_instance(svc, 2, image_id=OTHER)
    answer = ask(
        svc, "DescribeImageReferences", ImageIds=[OTHER, IMAGE], ResourceTypes=of(INSTANCE)
    )
    assert answer["ImageReferences"] == [
        {"ImageId": IMAGE, "ResourceType": INSTANCE, "Arn": first},
        {"ImageId": OTHER, "ResourceType": INSTANCE, "Arn": second},
    ]


def test_only_the_types_that_are_asked_for_are_looked_at(svc: Services) -> None:
    an, lt, p = put_instance(svc, 1), make_template(svc, IMAGE), parameter(svc, "golden", IMAGE)
    assert found(svc, of(INSTANCE)) == [an]
    assert found(svc, of(TEMPLATE)) == [lt]
    assert found(svc, of(PARAMETER)) == [p]
    assert found(svc, of(INSTANCE), of(PARAMETER)) == [an, p]
    assert found(svc, of("imagebuilder:ImageRecipe"), of("imagebuilder:ContainerRecipe")) == []


def test_instances_are_found_in_every_state_or_in_those_asked_for(svc: Services) -> None:
    running = put_instance(svc, 1, state=InstanceState.RUNNING)
    stopped = put_instance(svc, 2, state=InstanceState.STOPPED)
    gone = put_instance(svc, 3, state=InstanceState.TERMINATED)
    assert found(svc, of(INSTANCE)) == [running, stopped, gone]
    assert found(svc, of(INSTANCE, "state-name", "running", "stopped")) == [running, stopped]
    assert found(svc, of(INSTANCE, "state-name", "pending")) == []


def test_a_templates_ten_newest_versions_are_looked_at_or_as_many_as_asked(svc: Services) -> None:
    arn = make_template(svc, IMAGE, *[OTHER] * 9)
    assert found(svc, of(TEMPLATE)) == [arn]
    make_template(svc, IMAGE, *[OTHER] * 10, name="older")
    assert found(svc, of(TEMPLATE)) == [arn]
    assert len(found(svc, of(TEMPLATE, "version-depth", "11"))) == 2
    assert found(svc, of(TEMPLATE, "version-depth", "9")) == []


def test_versions_that_were_deleted_do_not_count_for_the_depth(svc: Services) -> None:
    arn = make_template(svc, OTHER, IMAGE, OTHER, OTHER)
    assert found(svc, of(TEMPLATE, "version-depth", "2")) == []
    ask(svc, "DeleteLaunchTemplateVersions", LaunchTemplateName="web", Versions=["3"])
    assert found(svc, of(TEMPLATE, "version-depth", "2")) == [arn]


def test_a_template_is_found_once_for_all_its_versions(svc: Services) -> None:
    arn = make_template(svc, IMAGE, IMAGE, IMAGE)
    assert found(svc, of(TEMPLATE)) == [arn]


def test_a_parameter_counts_by_what_it_holds_now_and_only_as_an_image(svc: Services) -> None:
    parameter(svc, "was", IMAGE)
    parameter(svc, "was", OTHER)
    parameter(svc, "text", IMAGE, data_type="text")
    assert found(svc, of(PARAMETER)) == []


def test_all_types_with_the_options_of_one_of_them(svc: Services) -> None:
    lt = make_template(svc, IMAGE)
    put_instance(svc, 1, state=InstanceState.STOPPED)
    narrowed = of(INSTANCE, "state-name", "running")
    assert found(svc, narrowed, IncludeAllResourceTypes=True) == [lt]
    assert found(svc, narrowed, IncludeAllResourceTypes=False) == []


def test_only_the_callers_own_resources_are_told(svc: Services) -> None:
    put_instance(svc, 1)
    make_template(svc, IMAGE)
    theirs = put_instance(svc, 2, owner=BOB)
    asked = {"ImageIds": [IMAGE], "IncludeAllResourceTypes": True}
    answer = ask(svc, "DescribeImageReferences", BOB, **asked)
    assert [each["Arn"] for each in answer["ImageReferences"]] == [theirs]


def test_an_image_that_the_caller_does_not_see_does_not_exist(svc: Services) -> None:
    asked = {"ImageIds": [IMAGE, OTHER], "IncludeAllResourceTypes": True}
    with refused("InvalidAMIID.NotFound", OTHER):
        ask(svc, "DescribeImageReferences", BOB, **asked)


def test_what_still_names_a_deregistered_image_is_found(svc: Services) -> None:
    arn = make_template(svc, IMAGE)
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    assert found(svc) == [arn]


def test_references_come_in_pages(svc: Services) -> None:
    everything = [put_instance(svc, number) for number in range(1, 6)]
    everything += [make_template(svc, IMAGE), parameter(svc, "golden", IMAGE)]
    asked: dict[str, Any] = {"ImageIds": [IMAGE], "IncludeAllResourceTypes": True}
    first = ask(svc, "DescribeImageReferences", **asked, MaxResults=5)
    second = ask(svc, "DescribeImageReferences", **asked, NextToken=first["NextToken"])
    assert len(first["ImageReferences"]) == 5
    assert "NextToken" not in second
    told = [each["Arn"] for each in first["ImageReferences"] + second["ImageReferences"]]
    assert told == everything


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        ("InvalidParameterValue", of("ec2:Volume")),
        ("InvalidParameterValue", of(INSTANCE) + of(INSTANCE)),
        ("InvalidParameterValue", of(INSTANCE, "state-name")),
        ("InvalidParameterValue", of(INSTANCE, "state-name", "asleep")),
        ("InvalidParameterValue", of(TEMPLATE, "version-depth", "0")),
        ("InvalidParameterValue", of(TEMPLATE, "version-depth", "10001")),
        ("InvalidParameterValue", of(TEMPLATE, "version-depth", "1", "2")),
        ("InvalidParameterValue", of(TEMPLATE, "version-depth", "²")),
        ("InvalidParameterCombination", of(TEMPLATE, "state-name", "running")),
        ("InvalidParameterCombination", of(INSTANCE, "version-depth", "1")),
        ("InvalidParameterCombination", of(PARAMETER, "version-depth", "1")),
        ("MissingParameter", []),
    ],
)
def test_what_cannot_be_looked_for_is_refused(
    svc: Services, code: str, kinds: list[dict[str, Any]]
) -> None:
    with refused(code):
        ask(svc, "DescribeImageReferences", ImageIds=[IMAGE], ResourceTypes=kinds)


def test_at_most_ten_images_are_asked_about_at_once(svc: Services) -> None:
    with refused("InvalidParameterValue", "10"):
        ask(
            svc,
            "DescribeImageReferences",
            ImageIds=[IMAGE] * 11,
            IncludeAllResourceTypes=True,
        )
