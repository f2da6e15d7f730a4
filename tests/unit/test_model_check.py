"""The check of every answer against botocore's model, which must be able to fail."""

import json

import pytest

from openami.wire import models
from support.model_check import faults


def xml(operation: str, members: str) -> bytes:
    namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"
    answer = f"<requestId>r</requestId>{members}"
    return f'<{operation}Response xmlns="{namespace}">{answer}</{operation}Response>'.encode()


def faults_in(service: str, operation: str, body: bytes) -> list[str]:
    return list(faults(body, models.operation(service, operation)))


def test_an_answer_as_the_model_has_it_is_without_fault() -> None:
    body = xml(
        "DescribeImages", "<imagesSet><item><imageState>available</imageState></item></imagesSet>"
    )
    assert faults_in("ec2", "DescribeImages", body) == []


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ("<pictures/>", "unknown pictures"),
        ("<imagesSet><entry/></imagesSet>", "the entries are item"),
        ("<imagesSet/><imagesSet/>", "is there twice"),
        (
            "<imagesSet><item><imageState>fine</imageState></item></imagesSet>",
            "imageState is 'fine' and not one of",
        ),
        (
            "<imagesSet><item><isPublic>perhaps</isPublic></item></imagesSet>",
            "isPublic is 'perhaps' and not a boolean",
        ),
    ],
)
def test_what_the_model_does_not_know_is_a_fault_in_xml(members: str, fault: str) -> None:
    assert fault in " ".join(faults_in("ec2", "DescribeImages", xml("DescribeImages", members)))


def test_an_answer_without_its_request_id_is_a_fault() -> None:
    body = xml("DescribeImages", "").replace(b"<requestId>r</requestId>", b"")
    assert faults_in("ec2", "DescribeImages", body) == ["there is no requestId"]


@pytest.mark.parametrize(
    ("service", "operation", "answer", "fault"),
    [
        ("ssm", "PutParameter", {"Version": "1"}, "Version is '1' and not a long"),
        ("ssm", "PutParameter", {"Tier": "Golden"}, "Tier is 'Golden' and not one of"),
        ("ssm", "PutParameter", {"Sort": 1}, "unknown Sort"),
        ("dlm", "GetLifecyclePolicies", {"Policies": {}}, "Policies. is no list"),
        ("dlm", "CreateLifecyclePolicy", {"PolicyId": 5}, "PolicyId is 5 and not a string"),
        ("rbin", "CreateRule", {"ResourceType": "CAKE"}, "not one of"),
        ("rbin", "ListRules", {"Rules": [{"Identifier": 1}]}, "Identifier is 1"),
    ],
)
def test_what_the_model_does_not_know_is_a_fault_in_json(
    service: str, operation: str, answer: dict[str, object], fault: str
) -> None:
    assert fault in " ".join(faults_in(service, operation, json.dumps(answer).encode()))
