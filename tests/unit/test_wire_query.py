"""What EC2's forms mean, and what of them is refused."""

from datetime import UTC, datetime

import pytest

from openami.wire import form, query
from openami.wire.query import LIST_LENGTH_MAX
from openami.wire.refusal import WireRefusal


def refusal(operation: str, parameters: dict[str, str], service: str = "ec2") -> tuple[str, str]:
    with pytest.raises(WireRefusal) as refused:
        query.parse(service, operation, parameters)
    assert refused.value.status == 400
    return refused.value.code, str(refused.value)


def test_a_parameter_that_the_operation_does_not_have_is_refused() -> None:
    assert refusal("DescribeImages", {"ImageType": "machine"}) == (
        "UnknownParameter",
        "The parameter ImageType is not recognized",
    )


def test_an_unknown_parameter_deep_inside_is_refused_by_its_full_name() -> None:
    assert refusal("DescribeImages", {"Filter.1.Wert.1": "x"}) == (
        "UnknownParameter",
        "The parameter Filter.1.Wert.1 is not recognized",
    )


@pytest.mark.parametrize("name", ["ImageId.x", "ImageId.0", "ImageId.-1", "ImageId.1.2", "ImageId"])
def test_a_list_takes_numbered_items_only(name: str) -> None:
    assert refusal("DescribeImages", {name: "ami-1"})[0] == "UnknownParameter"


def test_a_plain_parameter_takes_nothing_under_it() -> None:
    assert refusal("DeregisterImage", {"ImageId.1": "ami-1"})[0] == "UnknownParameter"


def test_a_required_parameter_that_is_missing_is_named() -> None:
    assert refusal("DeregisterImage", {}) == (
        "MissingParameter",
        "The request must contain the parameter ImageId",
    )


def test_a_required_parameter_inside_a_structure_is_named_in_full() -> None:
    code, message = refusal("AssociateEnclaveCertificateIamRole", {"CertificateArn": "a"})
    assert (code, message) == (
        "MissingParameter",
        "The request must contain the parameter RoleArn",
    )


@pytest.mark.parametrize(
    ("operation", "name", "text"),
    [
        ("DescribeImages", "MaxResults", "many"),
        ("DescribeImages", "MaxResults", "1_0"),
        ("DescribeImages", "MaxResults", "٣"),
        ("DescribeImages", "MaxResults", "2147483648"),
        ("DescribeImages", "MaxResults", ""),
        ("DescribeImages", "DryRun", "yes"),
        ("EnableImageDeprecation", "DeprecateAt", "tomorrow"),
        ("EnableImageDeprecation", "DeprecateAt", "0001-01-01T00:00:00+10:00"),
        ("ImportKeyPair", "PublicKeyMaterial", "not base64!"),
        ("ModifyIpamPool", "AllocationMinNetmaskLength", "1.5"),
        ("PurchaseReservedInstancesOffering", "LimitPrice.Amount", "NaN"),
        ("PurchaseReservedInstancesOffering", "LimitPrice.Amount", "1e999"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(operation: str, name: str, text: str) -> None:
    code, message = refusal(operation, {name: text})
    assert code == "InvalidParameterValue"
    assert f"({text}) for parameter {name} is invalid" in message


def test_a_list_may_be_numbered_with_gaps_and_out_of_order() -> None:
    request = query.parse(
        "ec2",
        "DescribeImages",
        {
            "Filter.30.Name": "name",
            "Filter.30.Value.9": "b",
            "Filter.30.Value.2": "a",
            "Filter.4.Name": "state",
        },
    )
    assert request == {
        "Filters": [{"Name": "state"}, {"Name": "name", "Values": ["a", "b"]}],
    }


def test_a_number_of_astronomic_size_costs_nothing() -> None:
    assert query.parse("ec2", "DescribeImages", {"ImageId.999999999": "ami-1"}) == {
        "ImageIds": ["ami-1"]
    }
    assert refusal("DescribeImages", {"ImageId.9999999999": "x"})[0] == "UnknownParameter"


def test_a_list_is_only_so_long() -> None:
    ids = {f"ImageId.{n}": "ami-1" for n in range(1, LIST_LENGTH_MAX + 2)}
    assert refusal("DescribeImages", ids)[0] == "InvalidParameterValue"


def test_a_name_is_only_so_deep() -> None:
    assert refusal("DescribeImages", {".".join(["Filter"] * 100): "x"})[0] == "UnknownParameter"


def test_what_is_present_but_empty_stays_an_empty_string() -> None:
    request = query.parse(
        "ec2",
        "RunInstances",
        {
            "MinCount": "1",
            "MaxCount": "1",
            "BlockDeviceMapping.1.DeviceName": "/dev/sdb",
            "BlockDeviceMapping.1.NoDevice": "",
        },
    )
    assert request["BlockDeviceMappings"] == [{"DeviceName": "/dev/sdb", "NoDevice": ""}]


def test_an_empty_item_does_not_end_its_list() -> None:
    request = query.parse(
        "ec2",
        "RunInstances",
        {
            "MinCount": "1",
            "MaxCount": "1",
            "BlockDeviceMapping.1": "",
            "BlockDeviceMapping.2.DeviceName": "/dev/sdb",
        },
    )
    assert request["BlockDeviceMappings"] == [{}, {"DeviceName": "/dev/sdb"}]


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31T12:30:00Z",
        "2030-01-31T12:30:00.000Z",
        "2030-01-31T12:30:00.000000000Z",
        "2030-01-31T12:30:00",
        "2030-01-31T12:30Z",
        "2030-01-31T14:30:00+02:00",
        "20300131T123000Z",
        "2030-01-31 12:30:00Z",
    ],
)
def test_an_instant_is_read_in_every_iso_form(text: str) -> None:
    request = query.parse("ec2", "EnableImageDeprecation", {"ImageId": "x", "DeprecateAt": text})
    assert request["DeprecateAt"] == datetime(2030, 1, 31, 12, 30, tzinfo=UTC)


def test_base64_may_be_broken_into_lines() -> None:
    request = query.parse(
        "ec2", "ImportKeyPair", {"KeyName": "k", "PublicKeyMaterial": "c3No\r\nLXJz\nYQ=="}
    )
    assert request["PublicKeyMaterial"] == b"ssh-rsa"


def test_sts_numbers_its_lists_under_member() -> None:
    request = query.parse(
        "sts",
        "AssumeRole",
        {
            "RoleArn": "arn:aws:iam::1:role/r",
            "RoleSessionName": "s",
            "PolicyArns.member.1.arn": "arn:p",
            "Tags.member.1.Key": "k",
            "Tags.member.1.Value": "",
        },
    )
    assert request["PolicyArns"] == [{"arn": "arn:p"}]
    assert request["Tags"] == [{"Key": "k", "Value": ""}]


def test_sts_does_not_take_ec2s_way_to_number_a_list() -> None:
    parameters = {"RoleArn": "a", "RoleSessionName": "s", "Tags.1.Key": "k"}
    assert refusal("AssumeRole", parameters, "sts") == (
        "UnknownParameter",
        "The parameter Tags.1.Key is not recognized",
    )


def test_a_form_is_the_query_string_and_the_body_together() -> None:
    assert form.decode("Action=A%2BB&Version=", b"Name=a+b&Owner.1=%C3%A9") == {
        "Action": "A+B",
        "Version": "",
        "Name": "a b",
        "Owner.1": "é",
    }


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("A=1&A=2", b""),
        ("A=1", b"A=1"),
        ("A=%FF", b""),
        ("", b"A=\xff"),
        ("&".join(f"A{n}=" for n in range(form.PARAMETERS_MAX + 1)), b""),
    ],
    ids=["twice", "twice over", "no UTF-8", "no ASCII", "too many"],
)
def test_a_form_that_cannot_be_understood_is_refused(text: str, body: bytes) -> None:
    with pytest.raises(WireRefusal) as refused:
        form.decode(text, body)
    assert refused.value.code == "MalformedQueryString"
