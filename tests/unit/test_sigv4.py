"""Signatures that botocore makes are accepted; anything else is refused by AWS's names."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from openami.wire import sigv4
from openami.wire.refusal import WireRefusal
from openami.wire.sigv4 import SignedRequest
from support.signing import KEY_ID, SECRET, as_received, presigned, signed, signed_at

SKEW = timedelta(minutes=15)


def verify(
    request: SignedRequest, now: datetime | None = None, secret: str = SECRET
) -> sigv4.Claim:
    claim = sigv4.read(request)
    sigv4.verify(request, claim, secret, now or claim.signed_at, SKEW)
    return claim


def refusal(request: SignedRequest, now: datetime | None = None) -> tuple[str, int]:
    with pytest.raises(WireRefusal) as refused:
        verify(request, now)
    return refused.value.code, refused.value.status


def with_header(request: SignedRequest, name: str, value: str) -> SignedRequest:
    return replace(request, headers={**request.headers, name: value})


def without_header(request: SignedRequest, name: str) -> SignedRequest:
    return replace(request, headers={k: v for k, v in request.headers.items() if k != name})


def test_a_claim_names_the_key_the_region_and_the_service() -> None:
    claim = verify(signed(region="eu-west-1", service="sts", body=b"Action=GetCallerIdentity"))
    assert (claim.access_key_id, claim.region, claim.service) == (KEY_ID, "eu-west-1", "sts")
    assert not claim.presigned


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
def test_every_method_can_be_signed(method: str) -> None:
    verify(signed(method=method, body=b"x"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/",
        "//",
        "/a//b/../c/./",
        "/..",
        "/a b",
        "/a%20b",
        "/%E2%98%83/~x*(y)!$&',;=:@",
        "/?Action=A&Version=",
        "/?Name",
        "/?b=2&a=1&A=0&a-b=1",
        "/?Name=a%20b%2Bc%2F%3F%25%E2%98%83~-_.%2A%27",
        "/?Filter.1.Value.1=%3D%26&Filter.1.Name=x",
    ],
)
def test_odd_paths_and_queries_verify_as_botocore_signs_them(url: str) -> None:
    verify(signed(method="GET", url=url))


@pytest.mark.parametrize("value", ["a b+c/d=e&f", "☃~*'()!", "%25 %", "", "  "])
def test_odd_values_in_a_presigned_query_verify(value: str) -> None:
    claim = verify(presigned(parameters={"Action": "DescribeImages", "Filter.1.Name": value}))
    assert claim.presigned


def test_a_header_is_signed_without_its_extra_spaces() -> None:
    verify(signed(headers={"X-Odd": "  many   spaces\t here "}))


def test_a_plus_and_an_encoded_space_are_the_same_request() -> None:
    request = signed(method="GET", url="/?Name=a%20b")
    verify(replace(request, query="Name=a+b"))
    assert refusal(replace(request, query="Name=a%2Bb")) == ("SignatureDoesNotMatch", 403)


def test_another_secret_does_not_match() -> None:
    request = signed()
    with pytest.raises(WireRefusal, match="signature we calculated does not match") as refused:
        verify(request, secret=SECRET + "x")
    assert (refused.value.code, refused.value.status) == ("SignatureDoesNotMatch", 403)


def test_a_body_that_was_tampered_with_does_not_match() -> None:
    request = signed(body=b"Action=DescribeImages")
    assert refusal(replace(request, body=b"Action=DeregisterImage")) == (
        "SignatureDoesNotMatch",
        403,
    )


def test_a_declared_payload_hash_must_be_the_bodys() -> None:
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of b""
    verify(signed(headers={"X-Amz-Content-SHA256": digest}))
    wrong = signed(headers={"X-Amz-Content-SHA256": digest}, body=b"Action=X")
    assert refusal(wrong) == ("SignatureDoesNotMatch", 403)


@pytest.mark.parametrize("form", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_a_payload_that_is_not_signed_is_refused(form: str) -> None:
    request = signed(headers={"X-Amz-Content-SHA256": form}, body=b"Action=X")
    assert refusal(request) == ("SignatureDoesNotMatch", 403)


def test_a_signature_is_good_for_the_skew_in_both_directions_and_no_longer() -> None:
    request = signed()
    at = signed_at(request)
    verify(request, at + SKEW)
    verify(request, at - SKEW)
    second = timedelta(seconds=1)
    assert refusal(request, at + SKEW + second) == ("RequestExpired", 400)
    assert refusal(request, at - SKEW - second) == ("RequestExpired", 400)


def test_a_presigned_request_lives_as_long_as_it_says() -> None:
    request = presigned(life_s=7200)
    at = signed_at(request)
    verify(request, at + timedelta(seconds=7200))
    assert refusal(request, at + timedelta(seconds=7201)) == ("RequestExpired", 400)
    assert refusal(request, at - SKEW - timedelta(seconds=1)) == ("RequestExpired", 400)


@pytest.mark.parametrize("life_s", [0, -1, 604801])
def test_a_presigned_request_lives_at_most_a_week(life_s: int) -> None:
    assert refusal(presigned(life_s=life_s)) == ("IncompleteSignature", 400)


def test_a_request_without_a_signature_is_told_so() -> None:
    request = SignedRequest(method="GET", path="/", query="", headers={"host": "x"}, body=b"")
    assert refusal(request) == ("MissingAuthenticationToken", 403)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer abc",
        "AWS AKID:signature",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a",
        "AWS4-HMAC-SHA256 Credential={c}, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential={c}, Signature={s}",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature={s}",
        "AWS4-HMAC-SHA256 Credential=/{d}/us-east-1/ec2/aws4_request, SignedHeaders=host, "
        "Signature={s}",
        "AWS4-HMAC-SHA256 Credential=a/{d}/us-east-1/ec2/aws3, SignedHeaders=host, Signature={s}",
        "AWS4-HMAC-SHA256 Credential={c}, SignedHeaders=host, Signature=xyz",
        "AWS4-HMAC-SHA256 Credential={c}, Credential={c}, SignedHeaders=host, Signature={s}",
    ],
)
def test_a_malformed_authorization_is_incomplete(header: str) -> None:
    request = signed()
    date = request.headers["x-amz-date"][:8]
    scope = f"{KEY_ID}/{date}/us-east-1/ec2/aws4_request"
    text = header.format(c=scope, d=date, s="0" * 64)
    assert refusal(with_header(request, "authorization", text)) == ("IncompleteSignature", 400)


@pytest.mark.parametrize("date", ["", "yesterday", "20300231T000000Z", "2030-01-01T00:00:00Z"])
def test_a_date_that_is_none_is_incomplete(date: str) -> None:
    assert refusal(with_header(signed(), "x-amz-date", date)) == ("IncompleteSignature", 400)


def test_a_request_without_a_date_is_incomplete() -> None:
    assert refusal(without_header(signed(), "x-amz-date")) == ("IncompleteSignature", 400)


def test_the_date_of_the_scope_is_the_date_of_the_request() -> None:
    request = with_header(signed(), "x-amz-date", "20010101T000000Z")
    assert refusal(request) == ("SignatureDoesNotMatch", 403)


def test_the_host_must_be_signed() -> None:
    class Careless(SigV4Auth):
        def headers_to_sign(self, request: AWSRequest) -> dict[str, str]:
            headers = super().headers_to_sign(request)
            del headers["host"]
            return headers

    request = AWSRequest("POST", "http://127.0.0.1/", data=b"")
    Careless(Credentials(KEY_ID, SECRET), "ec2", "us-east-1").add_auth(request)
    assert refusal(as_received(request, b"")) == ("SignatureDoesNotMatch", 403)


def test_a_signed_header_must_be_there() -> None:
    request = signed(headers={"X-Odd": "1"})
    assert refusal(without_header(request, "x-odd")) == ("SignatureDoesNotMatch", 403)


def test_session_tokens_are_refused_in_headers_and_in_queries() -> None:
    assert refusal(signed(token="t")) == ("InvalidClientTokenId", 403)
    assert refusal(presigned(token="t")) == ("InvalidClientTokenId", 403)


def test_a_request_is_signed_in_one_way_only() -> None:
    request = with_header(presigned(), "authorization", signed().headers["authorization"])
    assert refusal(request) == ("IncompleteSignature", 400)


@pytest.mark.parametrize("name", sorted(sigv4.PRESIGNED_PARAMETERS - {"X-Amz-Signature"}))
def test_a_presigned_query_needs_all_its_parameters(name: str) -> None:
    request = presigned()
    kept = [part for part in request.query.split("&") if not part.startswith(f"{name}=")]
    assert refusal(replace(request, query="&".join(kept)))[0] == "IncompleteSignature"


def test_a_presigned_parameter_may_not_be_given_twice() -> None:
    request = presigned()
    twice = replace(request, query=f"{request.query}&X-Amz-Expires=604800")
    assert refusal(twice) == ("IncompleteSignature", 400)
