"""Requests whose signer is not who it says, and forms that were touched on their way."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from support import raw
from support.raw import Reply
from support.server import Keys, Server
from support.world import MINE, World

# It would make something, were it let through.
FORM = {
    "Action": "CreateVolume",
    "Version": "2016-11-15",
    "AvailabilityZone": "us-east-1a",
    "Size": "1",
}


@pytest.fixture
def keys(unchanged: World) -> Keys:
    return unchanged.server.account(MINE)


def signed(world: World, keys: Keys, region: str = "us-east-1") -> AWSRequest:
    return raw.signed(world.server, keys, FORM, region)


def altered(keys: Keys, **changes: str) -> Keys:
    return Keys(
        **{
            "access_key_id": keys.access_key_id,
            "secret_access_key": keys.secret_access_key,
            "account": keys.account,
        }
        | changes
    )


def refused(reply: Reply, *codes: str) -> bool:
    return 400 <= reply.status < 500 and reply.code in codes


def test_a_wrong_secret_signs_nothing(unchanged: World, keys: Keys) -> None:
    wrong = altered(keys, secret_access_key="x" * 40)
    assert refused(raw.send(signed(unchanged, wrong)), "SignatureDoesNotMatch")


def test_a_key_that_nobody_has_is_refused(unchanged: World, keys: Keys) -> None:
    wrong = altered(keys, access_key_id="AKIAAAAAAAAAAAAAAAAA")
    assert refused(raw.send(signed(unchanged, wrong)), "AuthFailure")


def test_one_account_s_secret_does_not_sign_for_another(unchanged: World, keys: Keys) -> None:
    other = unchanged.server.account("world-b")
    mixed = altered(keys, secret_access_key=other.secret_access_key)
    assert refused(raw.send(signed(unchanged, mixed)), "SignatureDoesNotMatch")


def test_a_changed_body_is_refused(unchanged: World, keys: Keys) -> None:
    request = signed(unchanged, keys)
    request.data = urlencode(FORM | {"Size": "100"}).encode()
    assert refused(raw.send(request), "SignatureDoesNotMatch")


def test_a_parameter_added_to_the_url_is_refused(unchanged: World, keys: Keys) -> None:
    request = signed(unchanged, keys)
    request.url += "?Encrypted=false"
    assert refused(raw.send(request), "SignatureDoesNotMatch")


def test_a_changed_signature_is_refused(unchanged: World, keys: Keys) -> None:
    request = signed(unchanged, keys)
    told = request.headers["Authorization"]
    del request.headers["Authorization"]
    request.headers["Authorization"] = told[:-4] + ("0000" if told[-4:] != "0000" else "1111")
    assert refused(raw.send(request), "SignatureDoesNotMatch")


def test_a_request_without_a_signature_is_refused(unchanged: World) -> None:
    request = AWSRequest("POST", f"{unchanged.server.url}/", data=urlencode(FORM).encode())
    request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    assert refused(raw.send(request), "MissingAuthenticationToken", "AuthFailure")


@pytest.mark.parametrize(
    "header",
    [
        "Basic dXNlcjpwYXNz",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=y",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=0",
    ],
)
def test_an_authorization_that_is_none_is_refused(
    unchanged: World, keys: Keys, header: str
) -> None:
    request = signed(unchanged, keys)
    del request.headers["Authorization"]
    request.headers["Authorization"] = header
    reply = raw.send(request)
    assert refused(reply, "IncompleteSignature", "AuthFailure", "SignatureDoesNotMatch"), reply


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off_is_refused(
    unchanged: World, keys: Keys, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = datetime.now(UTC) + timedelta(hours=hours)  # noqa: TID251, the server's clock is real
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: wrong)
    assert refused(raw.send(signed(unchanged, keys)), "RequestExpired", "AuthFailure")


def test_a_region_that_the_server_does_not_have_is_refused(unchanged: World, keys: Keys) -> None:
    assert refused(raw.send(signed(unchanged, keys, "mars-north-1")), "AuthFailure")


def presigned(world: World, keys: Keys, life_s: int = 60) -> AWSRequest:
    request = AWSRequest("GET", f"{world.server.url}/", params=dict(FORM))
    credentials = Credentials(keys.access_key_id, keys.secret_access_key)
    SigV4QueryAuth(credentials, "ec2", "us-east-1", life_s).add_auth(request)
    return request


def test_a_presigned_url_is_refused_when_its_life_is_over(
    unchanged: World, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = datetime.now(UTC) - timedelta(minutes=5)  # noqa: TID251, the server's clock is real
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: then)
    assert refused(raw.send(presigned(unchanged, keys)), "RequestExpired")


def test_a_presigned_url_is_refused_when_its_life_was_lengthened(
    unchanged: World, keys: Keys
) -> None:
    request = presigned(unchanged, keys)
    request.url = request.url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")
    assert refused(raw.send(request), "SignatureDoesNotMatch")


def test_a_presigned_url_is_refused_when_its_request_was_changed(
    unchanged: World, keys: Keys
) -> None:
    request = presigned(unchanged, keys)
    request.url = request.url.replace("Size=1", "Size=2")
    assert refused(raw.send(request), "SignatureDoesNotMatch")


def test_a_parameter_given_twice_is_refused(unchanged: World, keys: Keys) -> None:
    request = AWSRequest(
        "POST",
        f"{unchanged.server.url}/",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        data=(urlencode(FORM) + "&Size=2").encode(),
    )
    assert refused(
        raw.send(raw.sign(request, keys)), "MalformedQueryString", "InvalidParameterValue"
    )


def test_text_that_is_not_utf8_is_refused(unchanged: World, keys: Keys) -> None:
    request = AWSRequest(
        "POST",
        f"{unchanged.server.url}/",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        data=(urlencode(FORM) + "&ClientToken=%ff%fe").encode(),
    )
    assert refused(
        raw.send(raw.sign(request, keys)), "MalformedQueryString", "InvalidParameterValue"
    )


def test_a_body_beyond_all_measure_is_refused(unchanged: World, keys: Keys) -> None:
    form = FORM | {"ClientToken": "x" * (2 * 2**20)}
    reply = raw.send(raw.signed(unchanged.server, keys, form))
    assert 400 <= reply.status < 500


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(unchanged: World, keys: Keys, method: str) -> None:
    request = AWSRequest(method, f"{unchanged.server.url}/", data=urlencode(FORM).encode())
    reply = raw.send(raw.sign(request, keys))
    assert 400 <= reply.status < 500


def test_other_paths_are_refused(unchanged: World, keys: Keys) -> None:
    request = AWSRequest(
        "POST", f"{unchanged.server.url}/../etc/passwd", data=urlencode(FORM).encode()
    )
    reply = raw.send(raw.sign(request, keys))
    assert 400 <= reply.status < 500


def test_a_key_is_refused_as_soon_as_it_was_revoked_at_the_command_line(
    record_server: Server,
) -> None:
    keys = record_server.account("keys-for-a-while")
    del record_server.keys["keys-for-a-while"]  # they cannot be used to tidy up behind us
    form = {"Action": "DescribeImages", "Version": "2016-11-15", "Owner.1": "self"}

    def ask() -> Reply:
        return raw.send(raw.signed(record_server, keys, form, "us-east-1"))

    assert [ask().status for _ in range(3)] == [200, 200, 200]
    record_server.openami("account", "key", "keys-for-a-while", "--revoke", keys.access_key_id)
    assert refused(ask(), "AuthFailure")
