"""The check of every answer against botocore's model, which must be able to fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.server.pipeline import Answer
from openami.wire import models
from openami.wire.sigv4 import SignedRequest
from support.checked_server import checked
from support.model_check import answer_faults, faults, held
from support.signing import ec2_call, signed


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
        ("<imagesSet>none</imagesSet>", "is a list and has text"),
        ("<imagesSet><item>ami-1</item></imagesSet>", "is a structure and has text"),
        ("<nextToken><page/></nextToken>", "nextToken has elements and is a string"),
        (
            "<imagesSet><item><deregistrationProtection/><tagSet><item><value/></item></tagSet>"
            "<blockDeviceMapping><item><ebs><volumeSize>8.5</volumeSize></ebs></item>"
            "</blockDeviceMapping></item></imagesSet>",
            "volumeSize is '8.5' and not a integer",
        ),
    ],
)
def test_what_the_model_does_not_know_is_a_fault_in_xml(members: str, fault: str) -> None:
    assert fault in " ".join(faults_in("ec2", "DescribeImages", xml("DescribeImages", members)))


@pytest.mark.parametrize(
    ("operation", "members", "fault"),
    [
        (
            "DescribeSnapshots",
            "<snapshotSet><item><startTime>2026-01-01 10:00</startTime></item></snapshotSet>",
            "startTime is '2026-01-01 10:00' and not a timestamp",
        ),
        ("CreateVolume", f"<size>{1 << 31}</size>", "not a integer"),
        ("GetSpotPlacementScores", "<spotPlacementScoreSet><i/></spotPlacementScoreSet>", "item"),
        ("DeleteSnapshot", "<deleted>true</deleted>", "unknown deleted"),
    ],
)
def test_values_have_the_form_of_their_type(operation: str, members: str, fault: str) -> None:
    assert fault in " ".join(faults_in("ec2", operation, xml(operation, members)))


def test_a_member_that_the_model_requires_is_missed() -> None:
    (fault,) = faults_in("rbin", "ListTagsForResource", b'{"Tags":[{"Key":"a"}]}')
    assert fault == "Tags.Value is missing"


def test_the_root_element_and_its_namespace_are_the_operations() -> None:
    body = xml("DescribeImages", "").replace(b"2016-11-15", b"newest")
    assert "the namespace is" in " ".join(faults_in("ec2", "DescribeImages", body))
    assert "the root element is" in " ".join(faults_in("ec2", "DescribeTags", body))
    told = b"<GetCallerIdentityResponse><Account>1</Account></GetCallerIdentityResponse>"
    assert "the answer has ['Account']" in " ".join(faults_in("sts", "GetCallerIdentity", told))


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


@pytest.mark.parametrize(
    ("service", "operation", "status", "body", "fault"),
    [
        ("rbin", "CreateRule", 200, b"{}", "the status is 200 and not 201"),
        ("rbin", "DeleteRule", 204, b"{}", "has a body"),
        ("ssm", "DeleteParameter", 200, b'{"Name":"a"}', "unknown Name"),
        ("ssm", "GetParameter", 400, b'{"message":"no"}', "has no code"),
        ("dlm", "DeleteLifecyclePolicy", 404, b'{"__type":"ResourceNotFoundException"}', "words"),
        ("ssm", "AddTagsToResource", 400, b'{"__type":"InvalidResourceId","id":"a"}', "unknown id"),
        (
            "dlm",
            "DeleteLifecyclePolicy",
            404,
            b'{"__type":"ResourceNotFoundException","Message":"no","ResourceIds":"policy-1"}',
            "ResourceIds. is no list",
        ),
        ("ec2", "DescribeImages", 400, b"<Error/>", "the root element of the refusal is Error"),
        (
            *("ec2", "DescribeImages", 400),
            b"<Response><Errors><Error><Code>A</Code></Error></Errors></Response>",
            "the refusal says [('Code', 'A')]",
        ),
    ],
)
def test_status_and_refusals_are_as_the_model_has_them(
    service: str, operation: str, status: int, body: bytes, fault: str
) -> None:
    model = models.operation(service, operation)
    assert fault in " ".join(answer_faults(status, body, model))


def test_an_error_has_words_also_where_its_structure_has_no_member_for_them() -> None:
    model = models.operation("ssm", "AddTagsToResource")
    body = b'{"__type":"InvalidResourceId","message":"no"}'
    assert list(answer_faults(400, body, model)) == []


def test_what_a_handler_answers_is_held_against_the_model() -> None:
    assert held("rbin", "ListRules", {"Rules": []}) == {"Rules": []}
    with pytest.raises(AssertionError, match="Status is 'lost' and not one of"):
        held("rbin", "GetRule", {"Status": "lost"})


DESCRIBE_IMAGES = ec2_call({"Action": "DescribeImages"}, service="ec2")


@pytest.mark.parametrize(
    ("request_", "status", "body", "fault"),
    [
        (DESCRIBE_IMAGES, 200, xml("DescribeImages", ""), ""),
        (DESCRIBE_IMAGES, 200, xml("DescribeImages", "<images/>"), "unknown images"),
        (DESCRIBE_IMAGES, 200, b"half an ans", "ParseError"),
        (ec2_call({"Action": "Cook"}), 400, xml("Cook", ""), "the refusal is CookResponse"),
        (
            signed(body=b"{}", headers={"X-Amz-Target": "AmazonSSM.PutParameter"}, service="ssm"),
            200,
            b'{"Version":"one"}',
            "Version is 'one'",
        ),
        (signed(method="GET", url="/policies", service="dlm"), 200, b"[]", "is no structure"),
        (signed(service="s3"), 403, b"<Error/>", "the refusal is Error"),
        (SignedRequest(method="GET", path="/", query="", headers={}, body=b""), 403, b"", "Parse"),
    ],
)
def test_a_checked_server_writes_down_what_is_wrong_with_an_answer(
    tmp_path: Path, request_: SignedRequest, status: int, body: bytes, fault: str
) -> None:
    file = tmp_path / "faults"
    answered = Answer(status=status, body=body)
    answering: Callable[[Any, SignedRequest], Answer] = checked(lambda *_: answered, file)
    assert answering(None, request_) is answered
    assert fault in (file.read_text() if file.exists() else "")
    assert file.exists() == bool(fault)
