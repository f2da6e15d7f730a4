"""The two JSON protocols of AWS, inbound and outbound.

`json` (SSM) names its operation in X-Amz-Target and has all else in the body; `rest-json`
(DLM, the Recycle Bin, the EBS direct APIs) names it by method and path and spreads its members
over path, query, headers and body, as the model says.
https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html, …/aws-restjson1-protocol.html
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

from openami.wire import constraints, form, json_values, models, sigv4
from openami.wire.models import Shape, StructureShape
from openami.wire.refusal import WireRefusal
from openami.wire.sigv4 import Claim, SignedRequest

PROTOCOLS: Final = frozenset({"json", "rest-json"})

Request = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What a request calls: the operation, and what the path itself says of its members."""

    operation: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


def signed_part(request: SignedRequest, claim: Claim) -> SignedRequest:
    """The request without what its signature leaves open: headers and its own parameters."""
    headers = {name: text for name, text in request.headers.items() if name in claim.signed_headers}
    query = request.query
    if claim.presigned:
        kept = [
            part
            for part in query.split("&")
            if unquote(part.partition("=")[0]) not in sigv4.PRESIGNED_PARAMETERS
        ]
        query = "&".join(kept)
    return replace(request, headers=headers, query=query)


def called(service: str, request: SignedRequest) -> Called:
    """The operation that the request names.

    Raises WireRefusal: UnknownOperationException for what the service does not have.
    """
    if models.metadata(service)["protocol"] == "rest-json":
        return _routed(service, request)
    if request.method != "POST" or request.path not in ("", "/"):
        raise WireRefusal("UnknownOperationException", "Operations are called by POST /.", 404)
    target = request.headers.get("x-amz-target", "")
    prefix, _, name = target.partition(".")
    known = models.operation_names(service)
    if prefix != models.metadata(service)["targetPrefix"] or name not in known:
        raise WireRefusal("UnknownOperationException", f"There is no operation '{target[:100]}'.")
    return Called(operation=name)


def takes_unsigned_body(service: str, request: SignedRequest) -> bool:
    """Whether the operation's body need not be signed, as a checksum of it is."""
    try:
        called_ = called(service, request)
    except WireRefusal:
        return False
    return models.takes_unsigned_body(service, called_.operation)


def parse(service: str, call: Called, request: SignedRequest) -> Request:
    """The request under the names of botocore's model.

    Raises WireRefusal: SerializationException for what cannot be read, ValidationException for
    what the model does not allow.
    """
    found = read(service, call, request)
    constraints.check(models.input_members(service, call.operation), found)
    return found


def read(service: str, call: Called, request: SignedRequest) -> Request:
    """As `parse`, before the model's limits are held against it."""
    shape = models.input_members(service, call.operation)
    query = _query(request.query)
    found: Request = {}
    if shape is not None:
        for name, member in shape.members.items():
            key = json_values.wire_name(name, member)
            location = member.serialization.get("location")
            if location == "uri":
                found[name] = json_values.read_text(member, call.labels[key], key)
            elif location == "querystring" and key in query:
                found[name] = _from_query(member, query.pop(key), key)
            elif location == "header" and key.lower() in request.headers:
                found[name] = json_values.read_text(member, request.headers[key.lower()], key)
    for name in query:
        raise WireRefusal("ValidationException", f"The parameter {name[:200]} is not recognized")
    return found | _body(shape, request.body)


def serialize(service: str, operation: str, result: Mapping[str, Any]) -> Reply:
    """The answer to one operation. A result that does not fit the model raises AssertionError."""
    shape = models.output_members(service, operation)
    status = int(models.http(service, operation).get("responseCode", 200))
    headers = {"content-type": _content_type(service)}
    if shape is None:
        assert not result, f"{operation} answers nothing"
        return Reply(status=status, headers=headers, body=b"" if status == 204 else b"{}")
    for name, member in shape.members.items():
        if member.serialization.get("location") == "header" and result.get(name) is not None:
            headers[json_values.wire_name(name, member)] = str(result[name])
    payload = shape.serialization.get("payload")
    if payload is not None:
        headers["content-type"] = "application/octet-stream"
        return Reply(status=status, headers=headers, body=result.get(str(payload), b""))
    written = json_values.write_members(shape, result)
    return Reply(status=status, headers=headers, body=b"" if status == 204 else _dumped(written))


def serialize_error(
    service: str, code: str, message: str, status: int, details: Mapping[str, Any]
) -> Reply:
    """A refusal as the service tells it, with the status that its model gives the code.

    `details` are further members of the error's structure, such as Reason.
    """
    code = _spoken(service, code)
    shape = models.error_shapes(service).get(code)
    named = "message"
    body: dict[str, Any] = {}
    if shape is not None:
        status = int(shape.metadata.get("error", {}).get("httpStatusCode", status))
        named = "Message" if "Message" in shape.members else "message"
        body = json_values.write_members(shape, details)
    headers = {"content-type": _content_type(service), "x-amzn-errortype": code}
    told = {"__type": code, named: message, **body}
    return Reply(status=status, headers=headers, body=_dumped(told))


# What the signature, the domain and the pipeline refuse in EC2's words.
_CODES: Final = {
    "AuthFailure": "UnrecognizedClientException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "RequestExpired": "InvalidSignatureException",
    "IncompleteSignature": "IncompleteSignatureException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "MalformedQueryString": "SerializationException",
    "RequestLimitExceeded": "ThrottlingException",
    "UnsupportedOperation": "ValidationException",
    "UnknownParameter": "ValidationException",
    "MissingParameter": "ValidationException",
    "InvalidParameterValue": "ValidationException",
    "InvalidParameterCombination": "ValidationException",
}
_OWN_CODES: Final = {
    "ssm": {"InternalError": "InternalServerError", "TagLimitExceeded": "TooManyTagsError"},
    "dlm": {"ValidationException": "InvalidRequestException"},
    "ebs": {
        "ThrottlingException": "RequestThrottledException",
        "IdempotentParameterMismatch": "ConflictException",
        "SnapshotLimitExceeded": "ServiceQuotaExceededException",
        "TagLimitExceeded": "ValidationException",
    },
}


def _spoken(service: str, code: str) -> str:
    code = _OWN_CODES.get(service, {}).get(code, code)
    code = _CODES.get(code, code)
    code = _OWN_CODES.get(service, {}).get(code, code)
    return "InternalServerException" if code == "InternalError" else code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    operation: str
    method: str
    path: re.Pattern[str]
    names: tuple[str, ...]


_LABEL: Final = re.compile(r"\{([^}+]+)(\+?)\}")


@cache
def _routes(service: str) -> tuple[_Route, ...]:
    """Every operation's path as a pattern; those with more fixed text come first."""
    found: list[_Route] = []
    for name in sorted(models.operation_names(service)):
        http = models.http(service, name)
        path = str(http["requestUri"]).partition("?")[0]
        pattern, end = "", 0
        for label in _LABEL.finditer(path):
            pattern += re.escape(path[end : label.start()])
            pattern += "(.+)" if label.group(2) else "([^/]+)"
            end = label.end()
        pattern += re.escape(path[end:])
        names = tuple(label.group(1) for label in _LABEL.finditer(path))
        method = str(http["method"])
        found.append(_Route(operation=name, method=method, path=re.compile(pattern), names=names))
    return tuple(sorted(found, key=lambda route: (len(route.names), -len(route.path.pattern))))


def _routed(service: str, request: SignedRequest) -> Called:
    # What is signed has no such segments: the signature must not hold for another path.
    if any(segment in (".", "..") for segment in request.path.split("/")):
        raise _no_route(request)
    for route in _routes(service):
        found = route.path.fullmatch(request.path)
        if found is not None and route.method == request.method:
            try:
                texts = [unquote(text, errors="strict") for text in found.groups()]
            except UnicodeDecodeError as bad:
                raise json_values.malformed("The path is not valid UTF-8") from bad
            return Called(
                operation=route.operation, labels=dict(zip(route.names, texts, strict=True))
            )
    raise _no_route(request)


def _no_route(request: SignedRequest) -> WireRefusal:
    asked = f"{request.method[:20]} {request.path[:100]}"
    return WireRefusal("UnknownOperationException", f"There is no operation at {asked}.", 404)


def _query(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        for name, value in form.pairs(text):
            found.setdefault(name.decode(), []).append(value.decode())
    except UnicodeDecodeError as bad:
        raise json_values.malformed("The query string is not valid UTF-8") from bad
    return found


def _from_query(member: Shape, texts: list[str], at: str) -> Any:
    if member.type_name == "list":
        item = models.as_list(member).member
        return [json_values.read_text(item, text, at) for text in texts]
    if len(texts) > 1:
        raise json_values.malformed(f"The parameter {at} is given more than once")
    return json_values.read_text(member, texts[0], at)


def _body(shape: StructureShape | None, body: bytes) -> Request:
    """The members that are in the body, or the one that is the whole of it, as bytes or JSON."""
    if shape is None:
        return {}
    payload = shape.serialization.get("payload")
    if payload is None:
        return json_values.read_members(shape, json_values.load(body), "")
    member = shape.members[str(payload)]
    if member.type_name == "blob":
        return {str(payload): body}
    return {str(payload): json_values.read(member, json_values.load(body), str(payload))}


def _content_type(service: str) -> str:
    metadata = models.metadata(service)
    if metadata["protocol"] == "rest-json":
        return "application/json"
    return f"application/x-amz-json-{metadata['jsonVersion']}"


def _dumped(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
