"""Requests signed as clients sign them: by botocore's own signers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode, urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from openami.wire.sigv4 import SignedRequest

KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # AWS's own example, opens nothing
HOST = "127.0.0.1:8773"


def signed(
    *,
    method: str = "POST",
    url: str = "/",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    service: str = "ec2",
    region: str = "us-east-1",
    key_id: str = KEY_ID,
    secret: str = SECRET,
    token: str | None = None,
) -> SignedRequest:
    """Signed in its headers, now by botocore's clock (see `signed_at`)."""
    request = AWSRequest(method, f"http://{HOST}{url}", headers=headers, data=body)
    SigV4Auth(Credentials(key_id, secret, token), service, region).add_auth(request)
    return as_received(request, body)


def presigned(
    *,
    url: str = "/",
    parameters: Mapping[str, str] | None = None,
    service: str = "ec2",
    region: str = "us-east-1",
    life_s: int = 3600,
    key_id: str = KEY_ID,
    token: str | None = None,
) -> SignedRequest:
    """A GET signed in its query string."""
    request = AWSRequest("GET", f"http://{HOST}{url}", params=dict(parameters or {}))
    SigV4QueryAuth(Credentials(key_id, SECRET, token), service, region, life_s).add_auth(request)
    return as_received(request, b"")


def as_received(request: AWSRequest, body: bytes) -> SignedRequest:
    url = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return SignedRequest(
        method=request.method,
        path=url.path,
        query=url.query,
        headers={"host": HOST} | headers,
        body=body,
    )


def ec2_call(parameters: Mapping[str, str], **options: str) -> SignedRequest:
    """A POST such as boto3 sends."""
    form = {"Version": "2016-11-15"} | dict(parameters)
    return signed(
        body=urlencode(form).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        **options,
    )


def signed_at(request: SignedRequest) -> datetime:
    """When botocore signed it: tests set their clock by this."""
    text = request.headers.get("x-amz-date") or parse_qs(request.query)["X-Amz-Date"][0]
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
