"""One request through the pipeline, without a socket: what is answered and what is refused."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.parsers import EC2QueryParser, QueryParser

from openami.catalog import accounts
from openami.domain.account import Account
from openami.domain.caller import Caller
from openami.domain.errors import ImageNotFound
from openami.domain.ids import AccountId
from openami.server import pipeline
from openami.server.pipeline import Answer
from openami.wire import models
from openami.wire.sigv4 import SignedRequest
from support.front_desk import ACCOUNT, FOUNDED, FrontDesk, front_desk
from support.signing import ec2_call, presigned, signed, signed_at

Handler = Callable[[Any, Caller, Any], Mapping[str, Any]]


@pytest.fixture
def desk() -> Iterator[FrontDesk]:
    made = front_desk()
    yield made
    made.catalog.close()


def ask(desk: FrontDesk, request: SignedRequest, **ec2: Handler) -> Answer:
    if "x-amz-date" in request.headers or "X-Amz-Date" in request.query:
        desk.clock.instant = signed_at(request)
    return pipeline.answer(desk, request, {"ec2": ec2, "sts": pipeline.FRONT_DOORS["sts"]})


def refused(answer: Answer) -> tuple[int, str, str]:
    raw = {"status_code": answer.status, "headers": {}, "body": answer.body}
    error = EC2QueryParser().parse(raw, None)["Error"]
    return answer.status, error["Code"], error["Message"]


def result(answer: Answer, operation: str, service: str = "ec2") -> dict[str, Any]:
    assert answer.status == 200, answer.body
    parser = EC2QueryParser() if service == "ec2" else QueryParser()
    shape = models.operation(service, operation).output_shape
    return parser.parse({"status_code": 200, "headers": {}, "body": answer.body}, shape)


def nothing(_svc: Any, _caller: Caller, _request: Any) -> Mapping[str, Any]:
    return {}


def found_an_account(svc: Any, _caller: Caller, _request: Any) -> Mapping[str, Any]:
    with svc.catalog.begin() as tx:
        accounts.add(tx, Account(id=AccountId("999900001111"), name="new", created_at=FOUNDED))
    return {"Return": True}


def broken(_svc: Any, _caller: Caller, _request: Any) -> Mapping[str, Any]:
    raise ZeroDivisionError("the secret of the universe")


def test_a_handler_is_told_who_asks_and_what(desk: FrontDesk) -> None:
    heard: list[tuple[Caller, Any]] = []

    def handler(_svc: Any, caller: Caller, request: Any) -> Mapping[str, Any]:
        heard.append((caller, request))
        return {"Images": [{"ImageId": "ami-1", "Name": "a<b"}]}

    call = ec2_call({"Action": "DescribeImages", "Owner.1": "self"}, region="us-west-2")
    answer = ask(desk, call, DescribeImages=handler)
    parsed = result(answer, "DescribeImages")
    assert parsed["Images"] == [{"ImageId": "ami-1", "Name": "a<b"}]
    assert parsed["ResponseMetadata"]["RequestId"] == "req-1"
    assert answer.headers == {
        "content-type": "text/xml;charset=UTF-8",
        "x-amzn-requestid": "req-1",
    }
    caller, request = heard[0]
    assert (caller.account, caller.region, caller.request_id) == (ACCOUNT, "us-west-2", "req-1")
    assert request == {"Owners": ["self"]}


def test_sts_says_who_asks(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "GetCallerIdentity", "Version": "2011-06-15"}, service="sts")
    answer = ask(desk, call)
    assert b'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"' in answer.body
    parsed = result(answer, "GetCallerIdentity", "sts")
    assert (parsed["Account"], parsed["UserId"]) == (ACCOUNT, ACCOUNT)
    assert parsed["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"


def test_a_get_works_signed_in_its_headers_and_presigned(desk: FrontDesk) -> None:
    query = "/?Action=DescribeImages&Version=2016-11-15"
    assert ask(desk, signed(method="GET", url=query), DescribeImages=nothing).status == 200
    call = presigned(parameters={"Action": "DescribeImages"})
    assert ask(desk, call, DescribeImages=nothing).status == 200


def test_an_older_version_is_answered_in_its_own_namespace(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "DescribeImages", "Version": "2014-10-01"})
    answer = ask(desk, call, DescribeImages=nothing)
    assert b'xmlns="http://ec2.amazonaws.com/doc/2014-10-01/"' in answer.body


@pytest.mark.parametrize("version", ["2031-01-01", "x", '2000-01-01"><x'])
def test_a_version_that_does_not_exist_is_refused(desk: FrontDesk, version: str) -> None:
    call = ec2_call({"Action": "DescribeImages", "Version": version})
    assert refused(ask(desk, call, DescribeImages=nothing))[:2] == (400, "NoSuchVersion")


def test_a_key_that_does_not_exist_is_not_validated(desk: FrontDesk) -> None:
    assert refused(ask(desk, ec2_call({"Action": "DescribeImages"}, key_id="AKIDNOBODY"))) == (
        401,
        "AuthFailure",
        "AWS was not able to validate the provided access credentials",
    )


def test_sts_refuses_in_its_own_form(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "GetCallerIdentity"}, service="sts", key_id="AKIDNOBODY")
    answer = ask(desk, call)
    raw = {"status_code": answer.status, "headers": {}, "body": answer.body}
    parsed = QueryParser().parse(raw, None)
    assert answer.status == 403
    assert parsed["Error"]["Code"] == "InvalidClientTokenId"
    assert parsed["Error"]["Type"] == "Sender"
    assert parsed["ResponseMetadata"]["RequestId"] == "req-1"


def test_a_key_that_was_deactivated_is_not_validated(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "DescribeImages"})
    assert ask(desk, call, DescribeImages=nothing).status == 200
    with desk.catalog.begin() as tx:
        accounts.deactivate_key(tx, "AKIDEXAMPLE")
    assert refused(ask(desk, call, DescribeImages=nothing))[:2] == (401, "AuthFailure")


def test_a_wrong_secret_does_not_match(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "DescribeImages"}, secret="guess")
    assert refused(ask(desk, call))[:2] == (403, "SignatureDoesNotMatch")


def test_an_unsigned_request_is_told_so_in_xml(desk: FrontDesk) -> None:
    call = SignedRequest(method="GET", path="/", query="", headers={"host": "x"}, body=b"")
    assert refused(ask(desk, call))[:2] == (403, "MissingAuthenticationToken")


def test_an_old_request_has_expired(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "DescribeImages"})
    desk.clock.instant = signed_at(call) + timedelta(seconds=desk.settings.clock_skew_s + 1)
    assert refused(pipeline.answer(desk, call)) == (400, "RequestExpired", "Request has expired.")


def test_a_region_that_is_not_ours_is_named(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "DescribeImages"}, region="mars-east-1")
    assert refused(ask(desk, call, DescribeImages=nothing)) == (
        401,
        "AuthFailure",
        "Credential should be scoped to a valid region, not 'mars-east-1'.",
    )


def test_a_service_that_is_not_answered_is_told_which_are(desk: FrontDesk) -> None:
    status, code, message = refused(ask(desk, ec2_call({"Action": "X"}, service="dynamodb")))
    assert (status, code) == (401, "AuthFailure")
    assert "(ec2, sts), not 'dynamodb'" in message


def test_the_three_ways_to_name_no_action(desk: FrontDesk) -> None:
    assert refused(ask(desk, ec2_call({})))[:2] == (400, "MissingAction")
    assert refused(ask(desk, ec2_call({"Action": "CreateFleet"}))) == (
        400,
        "InvalidAction",
        "The action CreateFleet is not supported by openami.",
    )
    assert refused(ask(desk, ec2_call({"Action": "MakeCoffee"}))) == (
        400,
        "InvalidAction",
        "The action MakeCoffee is not valid for this web service.",
    )


def test_a_parameter_that_does_not_exist_is_refused(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "DescribeImages", "ImageType": "machine"})
    assert refused(ask(desk, call, DescribeImages=nothing)) == (
        400,
        "UnknownParameter",
        "The parameter ImageType is not recognized",
    )


def test_a_dry_run_that_would_write_says_so_and_writes_nothing(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "DisableImage", "ImageId": "ami-1", "DryRun": "true"})
    assert refused(ask(desk, call, DisableImage=found_an_account)) == (
        412,
        "DryRunOperation",
        "Request would have succeeded, but DryRun flag is set.",
    )
    with desk.catalog.read() as tx:
        assert [account.id for account in accounts.everyone(tx)] == [ACCOUNT]


def test_the_same_call_without_dry_run_writes(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "DisableImage", "ImageId": "ami-1", "DryRun": "false"})
    assert ask(desk, call, DisableImage=found_an_account).status == 200
    with desk.catalog.read() as tx:
        assert len(accounts.everyone(tx)) == 2


def test_a_dry_run_that_only_reads_says_so_too(desk: FrontDesk) -> None:
    call = ec2_call({"Action": "DescribeImages", "DryRun": "true"})
    assert refused(ask(desk, call, DescribeImages=nothing))[:2] == (412, "DryRunOperation")


def test_a_dry_run_meets_the_refusals_of_the_real_call(desk: FrontDesk) -> None:
    def handler(_svc: Any, _caller: Caller, request: Any) -> Mapping[str, Any]:
        raise ImageNotFound(request["ImageId"])

    call = ec2_call({"Action": "DisableImage", "ImageId": "ami-1", "DryRun": "true"})
    assert refused(ask(desk, call, DisableImage=handler)) == (
        400,
        "InvalidAMIID.NotFound",
        "The image id '[ami-1]' does not exist",
    )


def test_a_bug_is_logged_once_with_the_request_id_and_told_as_internal_error(
    desk: FrontDesk, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(desk, ec2_call({"Action": "DescribeImages"}), DescribeImages=broken)
    assert refused(answer) == (500, "InternalError", "An internal error has occurred")
    assert b"universe" not in answer.body
    assert [record.getMessage() for record in caplog.records] == ["request req-1 failed"]


def test_an_answer_that_does_not_fit_the_model_is_our_bug(
    desk: FrontDesk, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(_svc: Any, _caller: Caller, _request: Any) -> Mapping[str, Any]:
        return {"Immages": []}

    answer = ask(desk, ec2_call({"Action": "DescribeImages"}), DescribeImages=handler)
    assert refused(answer)[:2] == (500, "InternalError")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_get_and_post_are_answered(desk: FrontDesk, method: str) -> None:
    assert refused(ask(desk, signed(method=method)))[:2] == (405, "InvalidRequest")


def test_the_api_is_at_the_root(desk: FrontDesk) -> None:
    assert refused(ask(desk, signed(url="/index.html")))[:2] == (404, "InvalidRequest")


def test_a_form_that_says_two_things_is_refused(desk: FrontDesk) -> None:
    call = signed(url="/?Action=DescribeImages", body=b"Action=DeregisterImage")
    assert refused(ask(desk, call))[:2] == (400, "MalformedQueryString")


def test_a_presigned_request_may_carry_no_foreign_signing_parameter(desk: FrontDesk) -> None:
    call = presigned(parameters={"Action": "DescribeImages", "X-Amz-Else": "1"})
    assert refused(ask(desk, call, DescribeImages=nothing))[:2] == (400, "UnknownParameter")


def test_health_is_the_catalogs(desk: FrontDesk, caplog: pytest.LogCaptureFixture) -> None:
    assert pipeline.health(desk).status == 200

    class Gone:
        def read(self) -> None:
            raise OSError("disk on fire")

    assert pipeline.health(replace(desk, catalog=Gone())).status == 503
    assert "does not answer" in caplog.text
