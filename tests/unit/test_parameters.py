"""SSM parameters: names, versions, labels, paths, and images by their parameters."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.catalog import accounts
from openami.domain.account import Account
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId
from openami.services import Services
from openami.ssm.operations import OPERATIONS
from openami.wire import constraints, models
from support.asking import a_bootable_image, ask
from support.builders import ALICE, BOB, EPOCH, IMAGE, a_caller
from support.fakes import services
from support.model_check import held

AMAZON = AccountId("000000000999")


@pytest.fixture
def svc(tmp_path: Path) -> Iterator[Services]:
    made = services(tmp_path)
    yield made
    made.catalog.close()


def call(svc: Services, operation: str, caller: Caller | None = None, **request: Any) -> Any:
    """As the pipeline does it; the answer must be one of SSM's model."""
    constraints.check(models.input_members("ssm", operation), request)
    return held("ssm", operation, OPERATIONS[operation](svc, caller or a_caller(), request))


def refused(svc: Services, operation: str, caller: Caller | None = None, **request: Any) -> str:
    with pytest.raises(EC2Error) as caught:
        call(svc, operation, caller, **request)
    return caught.value.code


def put(svc: Services, name: str, value: str = "1", **more: Any) -> int:
    asked = {"Name": name, "Value": value, "Type": "String"} | more
    return int(call(svc, "PutParameter", **asked)["Version"])


def value(svc: Services, name: str, caller: Caller | None = None) -> str:
    return str(call(svc, "GetParameter", caller, Name=name)["Parameter"]["Value"])


def names(answer: Any) -> list[str]:
    return [each["Name"] for each in answer["Parameters"]]


def test_a_parameter_is_what_was_put_last(svc: Services) -> None:
    assert put(svc, "/app/color", "red", Description="of the door") == 1
    svc.clock.advance(timedelta(days=1))  # type: ignore[attr-defined]
    assert put(svc, "/app/color", "blue", Overwrite=True) == 2
    found = call(svc, "GetParameter", Name="/app/color")["Parameter"]
    assert found == {
        "Name": "/app/color",
        "Type": "String",
        "Value": "blue",
        "Version": 2,
        "LastModifiedDate": EPOCH + timedelta(days=1),
        "ARN": f"arn:aws:ssm:us-east-1:{ALICE}:parameter/app/color",
        "DataType": "text",
    }
    (about,) = call(svc, "DescribeParameters")["Parameters"]
    assert (about["Description"], about["Tier"]) == ("of the door", "Standard")


def test_an_earlier_version_is_had_by_its_number_its_label_and_its_arn(svc: Services) -> None:
    put(svc, "/a", "one")
    put(svc, "/a", "two", Overwrite=True)
    call(svc, "LabelParameterVersion", Name="/a", ParameterVersion=1, Labels=["prod"])
    assert value(svc, "/a:1") == value(svc, "/a:prod") == "one"
    assert call(svc, "GetParameter", Name="/a:prod")["Parameter"]["Selector"] == ":prod"
    put(svc, "/b/c", "deep")
    assert value(svc, f"arn:aws:ssm:us-east-1:{ALICE}:parameter/b/c") == "deep"
    assert refused(svc, "GetParameter", Name="/a:9") == "ParameterVersionNotFound"
    assert refused(svc, "GetParameter", Name="/a:test") == "ParameterVersionNotFound"
    assert refused(svc, "GetParameter", Name="/none") == "ParameterNotFound"


@pytest.mark.parametrize("place", ["us-east-1:222222222222", f"us-west-2:{ALICE}", "us-east-1:"])
def test_an_arn_of_elsewhere_does_not_mean_ones_own_parameter_of_that_name(
    svc: Services, place: str
) -> None:
    put(svc, "/b/c", "mine")
    arn = f"arn:aws:ssm:{place}:parameter/b/c"
    for operation in ("GetParameter", "GetParameterHistory", "DeleteParameter"):
        assert refused(svc, operation, Name=arn) == "ParameterNotFound"
    assert value(svc, "/b/c") == "mine"


def test_a_parameter_is_its_accounts_and_regions_own(svc: Services) -> None:
    put(svc, "/a")
    assert refused(svc, "GetParameter", a_caller(BOB), Name="/a") == "ParameterNotFound"
    elsewhere = a_caller(region="us-west-2")
    assert refused(svc, "GetParameter", elsewhere, Name="/a") == "ParameterNotFound"
    assert refused(svc, "DeleteParameter", a_caller(BOB), Name="/a") == "ParameterNotFound"
    assert names(call(svc, "DescribeParameters", a_caller(BOB))) == []


def test_several_are_got_and_deleted_at_once_and_the_missing_are_named(svc: Services) -> None:
    put(svc, "/a")
    put(svc, "/b")
    found = call(svc, "GetParameters", Names=["/a", "/x", "/b:1", "::"])
    assert names(found) == ["/a", "/b"]
    assert found["InvalidParameters"] == ["/x", "::"]
    gone = call(svc, "DeleteParameters", Names=["/a", "/x"])
    assert gone == {"DeletedParameters": ["/a"], "InvalidParameters": ["/x"]}
    assert names(call(svc, "DescribeParameters")) == ["/b"]


def test_a_path_holds_its_level_or_all_below_it(svc: Services) -> None:
    for name in ("/a/x", "/a/y", "/a/b/z", "/ab/x", "plain"):
        put(svc, name)
    assert names(call(svc, "GetParametersByPath", Path="/a")) == ["/a/x", "/a/y"]
    assert names(call(svc, "GetParametersByPath", Path="/a/", Recursive=True)) == [
        *("/a/b/z", "/a/x", "/a/y")
    ]
    assert len(names(call(svc, "GetParametersByPath", Path="/", Recursive=True))) == 4
    assert refused(svc, "GetParametersByPath", Path="a") == "ValidationException"


def test_a_path_is_paged(svc: Services) -> None:
    for number in range(12):
        put(svc, f"/p/{number:02d}")
    first = call(svc, "GetParametersByPath", Path="/p")
    assert len(first["Parameters"]) == 10
    rest = call(svc, "GetParametersByPath", Path="/p", NextToken=first["NextToken"])
    assert names(rest) == ["/p/10", "/p/11"]
    assert "NextToken" not in rest
    assert refused(svc, "GetParametersByPath", Path="/p", NextToken="x") == "InvalidNextToken"
    assert refused(svc, "DescribeParameters", NextToken="x") == "InvalidNextToken"


def test_a_path_shows_the_versions_of_a_label(svc: Services) -> None:
    put(svc, "/p/a", "old")
    put(svc, "/p/a", "new", Overwrite=True)
    put(svc, "/p/b", "other")
    call(svc, "LabelParameterVersion", Name="/p/a", ParameterVersion=1, Labels=["prod"])
    labelled = [{"Key": "Label", "Values": ["prod"]}]
    (found,) = call(svc, "GetParametersByPath", Path="/p", ParameterFilters=labelled)["Parameters"]
    assert (found["Name"], found["Value"]) == ("/p/a", "old")


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([{"Key": "Name", "Values": ["/a/x"]}], ["/a/x"]),
        ([{"Key": "Name", "Option": "BeginsWith", "Values": ["/a/"]}], ["/a/b/z", "/a/x"]),
        ([{"Key": "Name", "Option": "Contains", "Values": ["lai", "_"]}], ["plain"]),
        ([{"Key": "Path", "Values": ["/a"]}], ["/a/x"]),
        ([{"Key": "Path", "Option": "Recursive", "Values": ["/a"]}], ["/a/b/z", "/a/x"]),
        ([{"Key": "Type", "Values": ["StringList"]}], ["/a/b/z"]),
        ([{"Key": "tag:env", "Values": ["prod"]}], ["plain"]),
        ([{"Key": "tag:env"}], ["plain"]),
        ([{"Key": "Tier", "Values": ["Standard"]}, {"Key": "tag:env"}], ["plain"]),
        ([{"Key": "Tier", "Values": ["Advanced"]}], []),
        ([{"Key": "KeyId", "Values": ["x"]}], []),
        ([{"Key": "DataType", "Values": ["aws:ec2:image"]}], []),
    ],
)
def test_parameters_are_described_by_filters(
    svc: Services, conditions: Any, expected: list[str]
) -> None:
    put(svc, "/a/x")
    put(svc, "/a/b/z", "1,2", Type="StringList")
    put(svc, "plain", Tags=[{"Key": "env", "Value": "prod"}])
    assert names(call(svc, "DescribeParameters", ParameterFilters=conditions)) == expected


def test_the_old_filters_compare_by_the_beginning_of_a_name(svc: Services) -> None:
    put(svc, "/a/x")
    put(svc, "/b")
    old = [{"Key": "Name", "Values": ["/a"]}]
    assert names(call(svc, "DescribeParameters", Filters=old)) == ["/a/x"]
    both = {"Filters": old, "ParameterFilters": [{"Key": "Name", "Values": ["/b"]}]}
    assert refused(svc, "DescribeParameters", **both) == "ValidationException"


def test_a_label_moves_and_bad_ones_are_told(svc: Services) -> None:
    put(svc, "/a")
    put(svc, "/a", "2", Overwrite=True)
    asked = ["prod", "1st", "aws-x", "SSM", "ok.1_-"]
    found = call(svc, "LabelParameterVersion", Name="/a", ParameterVersion=1, Labels=asked)
    assert found == {"InvalidLabels": ["1st", "aws-x", "SSM"], "ParameterVersion": 1}
    call(svc, "LabelParameterVersion", Name="/a", Labels=["prod"])
    history = call(svc, "GetParameterHistory", Name="/a")["Parameters"]
    assert [each["Labels"] for each in history] == [["ok.1_-"], ["prod"]]
    taken = call(
        svc, "UnlabelParameterVersion", Name="/a", ParameterVersion=1, Labels=["prod", "ok.1_-"]
    )
    assert taken == {"RemovedLabels": ["ok.1_-"], "InvalidLabels": ["prod"]}
    many = [f"l{number}" for number in range(10)]
    assert refused(svc, "LabelParameterVersion", Name="/a", Labels=many) == (
        "ParameterVersionLabelLimitExceeded"
    )


def test_the_history_is_paged_from_the_oldest(svc: Services) -> None:
    for number in range(5):
        put(svc, "/a", str(number), Overwrite=number > 0)
    first = call(svc, "GetParameterHistory", Name="/a", MaxResults=3)
    rest = call(svc, "GetParameterHistory", Name="/a", NextToken=first["NextToken"])
    values = [each["Value"] for each in [*first["Parameters"], *rest["Parameters"]]]
    assert values == ["0", "1", "2", "3", "4"]


def test_a_hundred_versions_are_kept_unless_the_oldest_is_labelled(svc: Services) -> None:
    for number in range(101):
        put(svc, "/a", str(number), Overwrite=number > 0)
    assert refused(svc, "GetParameter", Name="/a:1") == "ParameterVersionNotFound"
    call(svc, "LabelParameterVersion", Name="/a", ParameterVersion=2, Labels=["keep"])
    more = {"Name": "/a", "Value": "x", "Overwrite": True}
    assert refused(svc, "PutParameter", **more) == "ParameterMaxVersionLimitExceeded"


def test_tags_are_the_parameters_and_not_ec2s(svc: Services) -> None:
    put(svc, "/a", Tags=[{"Key": "env", "Value": "prod"}])
    of = {"ResourceType": "Parameter", "ResourceId": "/a"}
    call(svc, "AddTagsToResource", **of, Tags=[{"Key": "team", "Value": "x"}])
    call(svc, "RemoveTagsFromResource", **of, TagKeys=["env"])
    assert call(svc, "ListTagsForResource", **of) == {"TagList": [{"Key": "team", "Value": "x"}]}
    assert ask(svc, "DescribeTags")["Tags"] == []
    call(svc, "DeleteParameter", Name="/a")
    assert refused(svc, "ListTagsForResource", **of) == "InvalidResourceId"
    put(svc, "/a")
    assert call(svc, "ListTagsForResource", **of) == {"TagList": []}


@pytest.mark.parametrize(
    ("code", "request_"),
    [
        ("ParameterAlreadyExists", {}),
        ("HierarchyTypeMismatchException", {"Type": "StringList", "Overwrite": True}),
        ("ValidationException", {"Name": "/new", "Type": None}),
        ("ValidationException", {"Name": "a/b"}),
        ("ValidationException", {"Name": "/a//b"}),
        ("ValidationException", {"Name": "/a/"}),
        ("ValidationException", {"Name": "/a b"}),
        ("ValidationException", {"Name": "ssm-x"}),
        ("ValidationException", {"Name": "/" + "a" * 1011}),
        ("AccessDeniedException", {"Name": "/aws/service/x"}),
        ("AccessDeniedException", {"Name": "AWSx"}),
        ("HierarchyLevelLimitExceededException", {"Name": "/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g"}),
        ("ValidationException", {"Name": "/new", "Value": ""}),
        ("ValidationException", {"Name": "/new", "Value": "{{ssm:x}}"}),
        ("ValidationException", {"Name": "/new", "Value": "x" * 4097}),
        ("ValidationException", {"Name": "/new", "DataType": "aws:ec2"}),
        ("ValidationException", {"Name": "/new", "Tier": "Advanced"}),
        ("UnsupportedParameterType", {"Name": "/new", "Type": "SecureString"}),
        ("ParameterPatternMismatchException", {"Name": "/new", "AllowedPattern": r"^\d+$"}),
        ("InvalidAllowedPatternException", {"Name": "/new", "AllowedPattern": "("}),
        ("ValidationException", {"Overwrite": True, "Tags": [{"Key": "a", "Value": "b"}]}),
        ("InvalidParameterValue", {"Name": "/new", "Tags": [{"Key": "aws:a", "Value": "b"}]}),
        ("UnsupportedOperation", {"Name": "/new", "Policies": "[]"}),
    ],
)
def test_what_cannot_be_put_is_refused_and_leaves_nothing(
    svc: Services, code: str, request_: dict[str, Any]
) -> None:
    put(svc, "/a/b")
    asked = {"Name": "/a/b", "Value": "v", "Type": "String"} | request_
    given = {name: each for name, each in asked.items() if each is not None}
    assert refused(svc, "PutParameter", **given) == code
    assert names(call(svc, "DescribeParameters")) == ["/a/b"]


def test_a_pattern_without_end_is_given_up(svc: Services) -> None:
    asked = {"Name": "/a", "Value": "a" * 40 + "!", "Type": "String"}
    assert refused(svc, "PutParameter", **asked, AllowedPattern="(a+)+$") == (
        "InvalidAllowedPatternException"
    )
    put(svc, "/a", "12", AllowedPattern=r"^\d+$")


def test_a_parameter_of_an_image_names_one_that_can_be_launched(svc: Services) -> None:
    a_bootable_image(svc)
    put(svc, "/ami", IMAGE, DataType="aws:ec2:image")
    launched = ask(
        svc, "RunInstances", ImageId="resolve:ssm:/ami", MinCount=1, MaxCount=1,
        InstanceType="t3.micro",
    )  # fmt: skip
    assert launched["Instances"][0]["ImageId"] == IMAGE
    asked = {"Name": "/x", "Type": "String", "DataType": "aws:ec2:image"}
    for wrong in ("ami-0123456789abcdef0", "no-ami", "ami-12"):
        assert refused(svc, "PutParameter", **asked, Value=wrong) == "ValidationException"
    foreign = {**asked, "Value": IMAGE}
    assert refused(svc, "PutParameter", a_caller(BOB), **foreign) == "ValidationException"


def test_only_a_parameter_of_an_image_is_resolved(svc: Services) -> None:
    a_bootable_image(svc)
    put(svc, "/text", IMAGE)
    put(svc, "/ami", IMAGE, DataType="aws:ec2:image")
    for wrong in ("/text", "/none", "/ami:2", "/ami:label", "", "::"):
        with pytest.raises(EC2Error) as caught:
            ask(svc, "RunInstances", ImageId=f"resolve:ssm:{wrong}", MinCount=1, MaxCount=1)
        assert caught.value.code == "InvalidParameterValue", wrong
    call(svc, "LabelParameterVersion", Name="/ami", Labels=["good"])
    for right in ("/ami", "/ami:1", "/ami:good"):
        ask(
            svc, "RunInstances", ImageId=f"resolve:ssm:{right}", MinCount=1, MaxCount=1,
            InstanceType="t3.micro",
        )  # fmt: skip


def test_what_lies_below_aws_service_is_everybodys_to_read_and_nobodys_to_write(
    svc: Services,
) -> None:
    with svc.catalog.begin() as tx:
        accounts.add(tx, Account(id=AMAZON, name="amazon", created_at=EPOCH, alias="amazon"))
    from openami.actions import parameters as actions
    from openami.domain.parameter import ParameterType

    with svc.catalog.begin() as tx:
        asked = actions.Put(name="/aws/service/x/y", value="v", kind=ParameterType.STRING)
        actions.put(svc, tx, a_caller(AMAZON), asked)
        stranger = actions.Put(name="/aws/service/x/z", value="v", kind=ParameterType.STRING)
        actions.put(svc, tx, a_caller(BOB), stranger)
    for caller in (a_caller(), a_caller(BOB)):
        assert value(svc, "/aws/service/x/y", caller) == "v"
        assert names(call(svc, "GetParametersByPath", caller, Path="/aws/service/x")) == [
            "/aws/service/x/y"
        ]
        assert refused(svc, "DeleteParameter", a_caller(), Name="/aws/service/x/y") == (
            "ParameterNotFound"
        )
    found = call(svc, "GetParameter", Name="/aws/service/x/y")["Parameter"]
    assert found["ARN"] == "arn:aws:ssm:us-east-1::parameter/aws/service/x/y"
    assert names(call(svc, "DescribeParameters")) == []
