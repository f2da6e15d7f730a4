"""Whatever is changed in a signed request after it was signed, it no longer verifies."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from openami.wire import form, sigv4
from openami.wire.refusal import WireRefusal
from openami.wire.sigv4 import SignedRequest
from support.signing import SECRET, presigned, signed, signed_at

QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck))
LAWFUL = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=6)
parameters = st.dictionaries(LAWFUL.filter(bool), LAWFUL, max_size=4)


def verify(request: SignedRequest) -> None:
    at = signed_at(request)
    sigv4.verify(request, sigv4.read(request), SECRET, at, timedelta(minutes=15))


def assert_refused(request: SignedRequest, original: SignedRequest) -> None:
    with pytest.raises(WireRefusal):
        sigv4.verify(
            request, sigv4.read(request), SECRET, signed_at(original), timedelta(minutes=15)
        )


@QUICK
@given(parameters, st.binary(max_size=40))
def test_whatever_botocore_signs_verifies(query: dict[str, str], body: bytes) -> None:
    assume(not any(name.startswith("X-Amz-") for name in query))
    url = "/?" + urlencode(query).replace("+", "%20") if query else "/"
    verify(signed(url=url, body=body))
    verify(presigned(parameters=query))


@QUICK
@given(st.data(), st.binary(min_size=1, max_size=40))
def test_no_byte_of_the_body_can_be_changed(data: st.DataObject, body: bytes) -> None:
    request = signed(body=body)
    at = data.draw(st.integers(0, len(body) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = body[:at] + bytes([body[at] ^ flip]) + body[at + 1 :]
    assert_refused(replace(request, body=changed), request)
    assert_refused(replace(request, body=body[:at]), request)
    assert_refused(replace(request, body=body + bytes([flip])), request)


@QUICK
@given(st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "post", "POSTX"]))
def test_the_method_cannot_be_changed(method: str) -> None:
    request = signed()
    assert_refused(replace(request, method=method), request)


@QUICK
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/.")))
def test_the_path_cannot_be_changed(more: str) -> None:
    request = signed(url="/a/b")
    assume(more)
    assert_refused(replace(request, path=f"/a/b{more}"), request)
    assert_refused(replace(request, path=f"/{more}/a/b"), request)
    assert_refused(replace(request, path="/a"), request)


@QUICK
@given(parameters.filter(bool), st.data(), st.booleans())
def test_no_character_of_the_query_can_be_changed(
    query: dict[str, str], data: st.DataObject, in_query: bool
) -> None:
    assume(not any(name.startswith("X-Amz-") for name in query))
    request = presigned(parameters=query) if in_query else signed(url="/?" + urlencode(query))
    text = request.query
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    changed = text[:at] + new + text[at + 1 :]
    # Two spellings of the same pairs are the same request.
    assume(sorted(form.pairs(changed)) != sorted(form.pairs(text)))
    assert_refused(replace(request, query=changed), request)


@QUICK
@given(parameters, st.tuples(LAWFUL.filter(bool), LAWFUL))
def test_no_parameter_can_be_added(query: dict[str, str], more: tuple[str, str]) -> None:
    request = presigned(parameters=query)
    assume(more not in parse_qsl(request.query))
    assert_refused(replace(request, query=f"{request.query}&{urlencode([more])}"), request)


@QUICK
@given(
    st.sampled_from(["host", "x-amz-date", "x-odd", "authorization"]),
    st.data(),
    st.characters(min_codepoint=33, max_codepoint=126),
)
def test_no_character_of_a_signed_header_can_be_changed(
    name: str, data: st.DataObject, new: str
) -> None:
    request = signed(headers={"X-Odd": "odd value"})
    value = request.headers[name]
    at = data.draw(st.integers(0, len(value) - 1))
    changed = value[:at] + new + value[at + 1 :]
    assume(changed != value)
    # Spaces between the parts of the Authorization header carry no meaning.
    assume(changed.replace(" ", "") != value.replace(" ", ""))
    tampered = replace(request, headers={**request.headers, name: changed})
    if name == "authorization":
        # Another key id is refused by its look-up, or by having another secret.
        assume(changed.split("/", 1)[1:] != value.split("/", 1)[1:])
    assert_refused(tampered, request)
