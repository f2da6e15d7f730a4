"""Requests as wrong as one likes: botocore writes the form, unchecked, and the answer stays XML."""

import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.model import ServiceModel
from botocore.serialize import create_serializer

from support.server import SESSION, Keys, Server

Form = dict[str, str]

_MODEL = ServiceModel(SESSION._loader.load_service_model("ec2", "service-2"), "ec2")
_SERIALIZER = create_serializer("ec2", include_validation=False)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer and, if it is a refusal, what it says."""

    status: int
    body: bytes
    code: str = ""
    message: str = ""


def form_of(operation: str, parameters: Mapping[str, Any]) -> Form:
    """The form that boto3 sends for the parameters, right or wrong."""
    asked = _SERIALIZER.serialize_to_request(dict(parameters), _MODEL.operation_model(operation))
    return {name: str(value) for name, value in asked["body"].items()}


def signed(server: Server, keys: Keys, form: Form, region: str = "us-east-1") -> AWSRequest:
    """A POST signed as clients sign."""
    request = AWSRequest(
        "POST",
        f"{server.url}/",
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        data=urlencode(form).encode(),
    )
    return sign(request, keys, region)


def sign(request: AWSRequest, keys: Keys, region: str = "us-east-1") -> AWSRequest:
    credentials = Credentials(keys.access_key_id, keys.secret_access_key)
    SigV4Auth(credentials, "ec2", region).add_auth(request)
    return request


def send(request: AWSRequest) -> Reply:
    """Sent as it is. Raises AssertionError if a refusal is not in EC2's envelope."""
    wire = urllib.request.Request(
        request.url, data=request.data or None, headers=dict(request.headers), method=request.method
    )
    try:
        with urllib.request.urlopen(wire, timeout=60) as answer:
            return Reply(status=answer.status, body=answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return _refusal(refused.code, refused.read())


def _refusal(status: int, body: bytes) -> Reply:
    root = ElementTree.fromstring(body)
    assert root.tag == "Response", body
    assert [child.tag for child in root] == ["Errors", "RequestID"], body
    (error,) = root.findall("Errors/Error")
    code, message = error.findtext("Code") or "", error.findtext("Message") or ""
    assert code, body
    assert message, body
    assert root.findtext("RequestID"), body
    return Reply(status=status, body=body, code=code, message=message)
