"""Services that speak JSON, asked by boto3's own clients: what is heard, answered and refused."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.doors.operation import operation
from openami.server import pipeline
from support.desk_clients import desk_client
from support.front_desk import ACCOUNT, FrontDesk, front_desk
from support.signing import signed, signed_at

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
ARN = f"arn:aws:rbin:us-east-1:{ACCOUNT}:rule/Ab 1/%2F?x"


@pytest.fixture
def desk() -> Iterator[FrontDesk]:
    made = front_desk()
    yield made
    made.catalog.close()


class Heard:
    """A front door that hears one operation and answers as it was told."""

    def __init__(self, desk: FrontDesk, service: str, name: str, *heeds: str) -> None:
        self.requests: list[Mapping[str, Any]] = []
        self.answer: Mapping[str, Any] = {}
        self.refusal: Exception | None = None
        self.client = desk_client(desk, service, {service: {name: operation(self._hear, *heeds)}})

    def _hear(self, _svc: Any, caller: Any, request: Mapping[str, Any]) -> Mapping[str, Any]:
        assert caller.account == ACCOUNT
        self.requests.append(request)
        if self.refusal is not None:
            raise self.refusal
        return self.answer


def refused(call: Any, *arguments: Any, **more: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **more)
    response = caught.value.response
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def test_ssm_is_asked_and_answered(desk: FrontDesk) -> None:
    door = Heard(desk, "ssm", "GetParameter", "Name")
    door.answer = {"Parameter": {"Name": "a", "Value": "ä<b", "LastModifiedDate": NOON}}
    answer = door.client.get_parameter(Name="a")
    assert door.requests == [{"Name": "a"}]
    assert (answer["Parameter"]["Value"], answer["Parameter"]["LastModifiedDate"]) == ("ä<b", NOON)
    assert answer["ResponseMetadata"]["RequestId"] == "req-1"


def test_the_recycle_bin_is_asked_by_path_query_and_body(desk: FrontDesk) -> None:
    locked = Heard(desk, "rbin", "LockRule", "Identifier", "LockConfiguration")
    delay = {"UnlockDelay": {"UnlockDelayValue": 7, "UnlockDelayUnit": "DAYS"}}
    locked.answer = {"Identifier": "0123456789a", "LockState": "locked"}
    answer = locked.client.lock_rule(Identifier="0123456789a", LockConfiguration=delay)
    assert locked.requests == [{"Identifier": "0123456789a", "LockConfiguration": delay}]
    assert answer["LockState"] == "locked"
    untagged = Heard(desk, "rbin", "UntagResource", "ResourceArn", "TagKeys")
    answer = untagged.client.untag_resource(ResourceArn=ARN, TagKeys=["a b", "c&d"])
    assert untagged.requests == [{"ResourceArn": ARN, "TagKeys": ["a b", "c&d"]}]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_the_lifecycle_manager_is_asked_by_repeated_names_in_the_query(desk: FrontDesk) -> None:
    door = Heard(desk, "dlm", "GetLifecyclePolicies", "PolicyIds", "State")
    door.answer = {"Policies": [{"PolicyId": "policy-1", "State": "ENABLED"}]}
    found = door.client.get_lifecycle_policies(PolicyIds=["policy-1", "policy-2"], State="ENABLED")
    assert door.requests == [{"PolicyIds": ["policy-1", "policy-2"], "State": "ENABLED"}]
    assert found["Policies"][0]["PolicyId"] == "policy-1"


def test_a_refusal_is_of_the_services_own_kind_and_status(desk: FrontDesk) -> None:
    ssm = Heard(desk, "ssm", "GetParameter", "Name")
    ssm.refusal = EC2Error.of("ParameterNotFound", "there is none")
    with pytest.raises(ssm.client.exceptions.ParameterNotFound, match="there is none"):
        ssm.client.get_parameter(Name="a")
    rbin = Heard(desk, "rbin", "GetRule", "Identifier")
    rbin.refusal = EC2Error.of("ResourceNotFoundException", "no rule", Reason="RULE_NOT_FOUND")
    with pytest.raises(rbin.client.exceptions.ResourceNotFoundException, match="no rule") as told:
        rbin.client.get_rule(Identifier="0123456789a")
    assert told.value.response["Reason"] == "RULE_NOT_FOUND"
    assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_what_the_domain_refuses_is_told_in_the_services_words(desk: FrontDesk) -> None:
    for service, name, code, call, asked in (
        ("ssm", "GetParameter", "ValidationException", "get_parameter", {"Name": "a"}),
        ("dlm", "GetLifecyclePolicy", "InvalidRequestException", "get_lifecycle_policy",
         {"PolicyId": "policy-1"}),
        ("rbin", "GetRule", "ValidationException", "get_rule", {"Identifier": "0123456789a"}),
    ):  # fmt: skip
        door = Heard(desk, service, name, *asked)
        door.refusal = InvalidParameterValue("it is wrong")
        assert refused(getattr(door.client, call), **asked) == (400, code, "it is wrong")


def test_a_parameter_that_is_not_heeded_is_refused(desk: FrontDesk) -> None:
    door = Heard(desk, "ssm", "GetParameter", "Name")
    status, code, message = refused(door.client.get_parameter, Name="a", WithDecryption=True)
    assert (status, code) == (400, "ValidationException")
    assert "WithDecryption is not supported" in message


def test_what_the_model_does_not_allow_is_refused_before_any_handler(desk: FrontDesk) -> None:
    door = Heard(desk, "rbin", "GetRule", "Identifier")
    assert refused(door.client.get_rule, Identifier="x/y")[:2] == (400, "ValidationException")
    ssm = Heard(desk, "ssm", "PutParameter", "Name", "Value", "Type")
    status, code, message = refused(ssm.client.put_parameter, Name="a", Type="Text")
    assert (status, code) == (400, "ValidationException")
    assert message.startswith("2 validation errors detected: ")
    assert "Member must satisfy enum value set: [String, StringList, SecureString]" in message
    assert "Value null at 'value' failed to satisfy constraint: Member must not be null" in message
    assert refused(ssm.client.put_parameter, Name=7, Value="x")[1] == "SerializationException"
    assert door.requests == ssm.requests == []


def test_an_operation_that_is_not_answered_says_so_in_json(desk: FrontDesk) -> None:
    door = Heard(desk, "ssm", "GetParameter", "Name")
    status, code, message = refused(door.client.list_documents)
    assert (status, code) == (400, "UnknownOperationException")
    assert "ListDocuments is not supported by openami" in message
    rbin = Heard(desk, "rbin", "GetRule", "Identifier")
    assert refused(rbin.client.list_rules, ResourceType="EC2_IMAGE")[1] == (
        "UnknownOperationException"
    )


def ask(desk: FrontDesk, service: str, **request: Any) -> pipeline.Answer:
    call = signed(service=service, **request)
    desk.clock.instant = signed_at(call)
    return pipeline.answer(desk, call)


def test_a_path_or_target_that_does_not_exist_is_refused(desk: FrontDesk) -> None:
    for answer in (
        ask(desk, "rbin", method="GET", url="/coffee"),
        ask(desk, "rbin", method="PUT", url="/rules"),
        ask(desk, "rbin", method="GET", url="/rules/../rules/0123456789a"),
        ask(desk, "ssm", headers={"X-Amz-Target": "AmazonSSM.MakeCoffee"}, body=b"{}"),
        ask(desk, "ssm", headers={"X-Amz-Target": "DynamoDB_1.GetItem"}, body=b"{}"),
        ask(desk, "ssm", method="GET"),
    ):
        assert answer.headers["x-amzn-errortype"] == "UnknownOperationException"
        assert answer.headers["content-type"] in ("application/json", "application/x-amz-json-1.1")


def test_a_wrong_secret_is_refused_in_json(desk: FrontDesk) -> None:
    client = desk_client(desk, "ssm", {"ssm": {}}, secret="guess")
    assert refused(client.get_parameter, Name="a")[:2] == (403, "InvalidSignatureException")


def test_a_bug_of_ours_is_told_without_its_details(desk: FrontDesk) -> None:
    for service, name, call, asked, code in (
        ("ssm", "GetParameter", "get_parameter", {"Name": "a"}, "InternalServerError"),
        ("rbin", "GetRule", "get_rule", {"Identifier": "0123456789a"}, "InternalServerException"),
    ):
        door = Heard(desk, service, name, *asked)
        door.refusal = ZeroDivisionError("the secret of the universe")
        told = refused(getattr(door.client, call), **asked)
        assert told == (500, code, "An internal error has occurred")
