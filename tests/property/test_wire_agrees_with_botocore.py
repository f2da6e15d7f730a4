"""Whatever botocore writes we read back, and whatever we write botocore reads back.

Over every operation that EC2 and STS have, drawn at random rather than listed.
"""

from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, Shape, StructureShape
from botocore.parsers import EC2QueryParser, QueryParser
from botocore.serialize import EC2Serializer, QuerySerializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openami.wire import models, query, xml

DEPTH = 4
RELAXED = settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)

text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t\n\r"), max_size=8
)
xml_text = text.filter(lambda t: "\ufffe" not in t and "\uffff" not in t)
instants = st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9999, 1, 1)).map(
    lambda t: t.replace(microsecond=0, tzinfo=UTC)
)


def values(shape: Shape, depth: int = DEPTH) -> st.SearchStrategy[Any]:
    if isinstance(shape, StructureShape):
        return structures(shape, depth)
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member, depth), max_size=2).map(no_empties)
    return {
        "string": xml_text,
        "integer": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "boolean": st.booleans(),
        "timestamp": instants,
        "blob": st.binary(max_size=8),
        "double": st.floats(-1e6, 1e6),
        "float": st.floats(-1e6, 1e6),
    }[shape.type_name]


@st.composite
def structures(draw: st.DrawFn, shape: StructureShape, depth: int) -> dict[str, Any]:
    required = list(shape.required_members)
    optional = [n for n in shape.members if n not in required] if depth > 0 else []
    chosen = draw(st.lists(st.sampled_from(optional), max_size=4, unique=True)) if optional else []
    drawn = {name: draw(values(shape.members[name], depth - 1)) for name in [*required, *chosen]}
    # Forms cannot say "an empty list", so what is required is left whole and the rest pruned.
    return {n: v for n, v in drawn.items() if n in required or v not in ({}, [])}


def no_empties(items: list[Any]) -> list[Any]:
    return [item for item in items if item not in ({}, [])]


def holds_an_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return not value or any(holds_an_empty(each) for each in value.values())
    if isinstance(value, list):
        return not value or any(holds_an_empty(each) for each in value)
    return False


def as_texts(form: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else str(value) for name, value in form.items()}


@st.composite
def requests(draw: st.DrawFn, service: str) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(models.operation_names(service))))
    shape = models.operation(service, name).input_shape
    if shape is None:
        return name, {}
    return name, draw(values(shape).filter(lambda v: v == {} or not holds_an_empty(v)))


@st.composite
def results(draw: st.DrawFn, service: str) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(sorted(models.operation_names(service))))
    shape = models.operation(service, name).output_shape
    return name, {} if shape is None else draw(values(shape))


def assert_we_read_what_is_sent(
    serializer: QuerySerializer, service: str, name: str, request: dict[str, Any]
) -> None:
    sent = serializer.serialize_to_request(request, models.operation(service, name))["body"]
    form = as_texts(sent)
    assert (form.pop("Action"), form.pop("Version")) == (
        name,
        models.metadata(service)["apiVersion"],
    )
    assert query.parse(service, name, form) == request


@RELAXED
@given(requests("ec2"))
def test_what_botocore_sends_to_ec2_is_what_we_read(drawn: tuple[str, dict[str, Any]]) -> None:
    assert_we_read_what_is_sent(EC2Serializer(), "ec2", *drawn)


@settings(RELAXED, max_examples=100)
@given(requests("sts"))
def test_what_botocore_sends_to_sts_is_what_we_read(drawn: tuple[str, dict[str, Any]]) -> None:
    assert_we_read_what_is_sent(QuerySerializer(), "sts", *drawn)


@RELAXED
@given(results("ec2"))
def test_what_we_send_is_what_an_ec2_client_reads(drawn: tuple[str, dict[str, Any]]) -> None:
    name, result = drawn
    body = xml.serialize("ec2", name, result, "req-1")
    shape = models.operation("ec2", name).output_shape
    parsed = EC2QueryParser().parse({"status_code": 200, "headers": {}, "body": body}, shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "req-1"
    assert parsed == result


@settings(RELAXED, max_examples=100)
@given(results("sts"))
def test_what_we_send_is_what_an_sts_client_reads(drawn: tuple[str, dict[str, Any]]) -> None:
    name, result = drawn
    body = xml.serialize("sts", name, result, "req-1")
    shape = models.operation("sts", name).output_shape
    parsed = QueryParser().parse({"status_code": 200, "headers": {}, "body": body}, shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "req-1"
    assert parsed == result


@given(st.text(st.characters(), max_size=20))
def test_no_text_at_all_makes_an_answer_that_cannot_be_read(hostile: str) -> None:
    body = xml.serialize("ec2", "DescribeImages", {"Images": [{"Name": hostile}]}, hostile)
    shape = models.operation("ec2", "DescribeImages").output_shape
    parsed = EC2QueryParser().parse({"status_code": 200, "headers": {}, "body": body}, shape)
    assert len(parsed["Images"][0]["Name"]) == len(hostile)
    error = xml.serialize_error("ec2", "Code", hostile, "req-1")
    told = EC2QueryParser().parse({"status_code": 400, "headers": {}, "body": error}, None)
    assert len(told["Error"]["Message"] or "") == len(hostile)


@given(st.dictionaries(st.from_regex(r"[A-Za-z.1-9]{0,20}", fullmatch=True), st.text(max_size=5)))
def test_no_form_makes_the_parser_fail_in_any_way_but_a_refusal(form: dict[str, str]) -> None:
    try:
        query.parse("ec2", "RunInstances", {"MinCount": "1", "MaxCount": "1"} | form)
    except query.WireRefusal as refusal:
        assert refusal.code in {"UnknownParameter", "MissingParameter", "InvalidParameterValue"}
