"""Whatever botocore writes in JSON we read back, and whatever we write in JSON it reads back.

Over every operation of the services that speak JSON, drawn at random rather than listed.
"""

import math
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from botocore.awsrequest import HeadersDict, prepare_request_dict
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.parsers import JSONParser, RestJSONParser
from botocore.serialize import JSONSerializer, RestJSONSerializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openami.wire import json_calls, json_values, models
from openami.wire.refusal import WireRefusal
from openami.wire.sigv4 import SignedRequest

DEPTH = 4
RELAXED = settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
SERVICES = ("ssm", "dlm", "rbin", "ebs")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
label = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda t: t not in (".", "..")
)
header = st.text("abc /:-_0", max_size=8).map(str.strip)
instants = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9000, 1, 1)).map(
    lambda t: t.replace(microsecond=0, tzinfo=UTC)
)


def values(shape: Shape, depth: int = DEPTH) -> st.SearchStrategy[Any]:
    location = shape.serialization.get("location")
    if isinstance(shape, StructureShape):
        return structures(shape, depth)
    if isinstance(shape, ListShape):
        least = 1 if location == "querystring" else 0
        return st.lists(values(shape.member, depth), min_size=least, max_size=2)
    if isinstance(shape, MapShape):
        return st.dictionaries(text, values(shape.value, depth), max_size=2)
    return {
        "string": {"uri": label, "header": header}.get(str(location), text),
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "boolean": st.booleans(),
        "timestamp": instants,
        "blob": st.binary(max_size=8) if "streaming" not in shape.serialization else st.just(b"x"),
        "double": st.floats(-1e6, 1e6),
        "float": st.floats(-1e6, 1e6),
    }[shape.type_name]


@st.composite
def structures(draw: st.DrawFn, shape: StructureShape, depth: int) -> dict[str, Any]:
    if shape.is_tagged_union:
        name = draw(st.sampled_from(sorted(shape.members)))
        return {name: draw(values(shape.members[name], depth - 1))}
    required = list(shape.required_members)
    payload = shape.serialization.get("payload")
    needed = {*required, *([payload] if payload else [])}
    optional = [name for name in shape.members if name not in needed] if depth > 0 else []
    chosen = draw(st.lists(st.sampled_from(optional), max_size=4, unique=True)) if optional else []
    return {name: draw(values(shape.members[name], depth - 1)) for name in [*needed, *chosen]}


@st.composite
def calls(draw: st.DrawFn, service: str, side: str) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(models.operation_names(service))))
    shape = getattr(models.operation(service, name), f"{side}_shape")
    return name, {} if shape is None else draw(values(shape))


def received(service: str, name: str, request: dict[str, Any]) -> SignedRequest:
    """What botocore puts on the wire."""
    json = models.metadata(service)["protocol"] == "json"
    serializer = JSONSerializer() if json else RestJSONSerializer()
    sent = serializer.serialize_to_request(request, models.operation(service, name))
    prepare_request_dict(sent, endpoint_url="http://127.0.0.1")
    url = urlsplit(sent["url"])
    query = urlencode(sent["query_string"], doseq=True) if sent["query_string"] else url.query
    body = sent["body"]
    return SignedRequest(
        method=sent["method"],
        path=url.path,
        query=url.query or query,
        headers={key.lower(): str(value) for key, value in sent["headers"].items()},
        body=body if isinstance(body, bytes) else str(body).encode(),
    )


@pytest.mark.parametrize("service", SERVICES)
def test_what_botocore_sends_is_what_we_read(service: str) -> None:
    @RELAXED
    @given(calls(service, "input"))
    def check(drawn: tuple[str, dict[str, Any]]) -> None:
        name, request = drawn
        sent = received(service, name, request)
        called = json_calls.called(service, sent)
        assert called.operation == name
        assert json_calls.read(service, called, sent) == request

    check()


@pytest.mark.parametrize("service", SERVICES)
def test_what_we_send_is_what_a_client_reads(service: str) -> None:
    parser = JSONParser() if models.metadata(service)["protocol"] == "json" else RestJSONParser()

    @RELAXED
    @given(calls(service, "output"))
    def check(drawn: tuple[str, dict[str, Any]]) -> None:
        name, result = drawn
        reply = json_calls.serialize(service, name, result)
        shape = models.operation(service, name).output_shape
        raw = {
            "status_code": reply.status,
            "headers": HeadersDict(reply.headers),
            "body": reply.body,
        }
        parsed = parser.parse(raw, shape)
        parsed.pop("ResponseMetadata", None)
        payload = None if shape is None else shape.serialization.get("payload")
        if payload:
            parsed[payload] = parsed[payload].encode()
        if reply.status != 204:
            assert parsed == result

    check()


@given(st.binary(max_size=30) | st.from_regex(r"[\[\]{}\",:0-9a-z\\ ]{0,30}").map(str.encode))
def test_no_body_makes_the_reader_fail_in_any_way_but_a_refusal(body: bytes) -> None:
    shape = models.input_members("ssm", "PutParameter")
    assert shape is not None
    try:
        json_values.read_members(shape, json_values.load(body), "")
    except WireRefusal as refusal:
        assert refusal.code in {"SerializationException", "ValidationException"}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"[" * 100_000, "not valid JSON"),
        (b'{"Name": "a", "Name": "b"}', "not valid JSON"),
        (b'{"Name": NaN}', "not valid JSON"),
        (b'{"Name": 1}', "String"),
        (b'{"Name": "\\ud800"}', "Unicode"),
        (b'{"Overwrite": "true"}', "Boolean"),
        (b'{"Tags": {}}', "list"),
        (b'{"Colour": "red"}', "Colour is not recognized"),
    ],
)
def test_a_body_that_is_not_of_the_model_is_refused(body: bytes, word: str) -> None:
    shape = models.input_members("ssm", "PutParameter")
    assert shape is not None
    with pytest.raises(WireRefusal, match=word):
        json_values.read_members(shape, json_values.load(body), "")


def test_a_number_too_large_for_its_member_is_refused() -> None:
    shape = models.input_members("ssm", "GetParametersByPath")
    assert shape is not None
    for number in ("1e400", str(2**40), "1.5", "true"):
        with pytest.raises(WireRefusal):
            json_values.read_members(
                shape, json_values.load(b'{"MaxResults":%s}' % number.encode()), ""
            )
    assert math.isinf(float("1e400"))
