"""AWS Signature Version 4, verified: signed headers and presigned queries.

Pure functions: the request, the secret and the time come in, a refusal or nothing comes
out. `read` says what a request claims, `verify` whether the claim holds.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from openami.wire import form
from openami.wire.refusal import WireRefusal

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
ALGORITHM: Final = "AWS4-HMAC-SHA256"
PRESIGNED_LIFE_MAX_S: Final = 7 * 24 * 3600
# The parameters by which a presigned query is authenticated; they are no operation's.
PRESIGNED_PARAMETERS: Final = frozenset(
    f"X-Amz-{name}"
    for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
)
ISO_BASIC: Final = "%Y%m%dT%H%M%SZ"
_INSTANT: Final = re.compile("([0-9]{4})" + "([0-9]{2})" * 2 + "T" + "([0-9]{2})" * 3 + "Z")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A request as it came off the socket.

    `path` and `query` are raw (still percent-encoded); header names are in lower case and
    the values of a repeated header are joined by commas.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a request says of itself; nothing of it is proven until `verify` returns."""

    access_key_id: str
    date: str  # of the scope: YYYYMMDD
    region: str
    service: str
    signed_at: datetime
    life: timedelta | None  # of a presigned request; a header-signed one has none
    signed_headers: tuple[str, ...]
    signature: str

    @property
    def presigned(self) -> bool:
        return self.life is not None

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read(request: SignedRequest) -> Claim:
    """The claim that `request` makes.

    Raises WireRefusal: MissingAuthenticationToken when it makes none, IncompleteSignature
    when it is malformed, InvalidClientTokenId for a session token, of which there are none.
    """
    parameters = _presigned_parameters(request.query)
    header = request.headers.get("authorization")
    if header is None and "X-Amz-Signature" not in parameters:
        raise WireRefusal(
            "MissingAuthenticationToken", "Request is missing Authentication Token", 403
        )
    if "x-amz-security-token" in request.headers or "X-Amz-Security-Token" in parameters:
        raise WireRefusal(
            "InvalidClientTokenId", "The security token included in the request is invalid.", 403
        )
    if header is None:
        return _read_query(parameters)
    if parameters:
        raise _incomplete("A request is signed in its headers or in its query, not in both.")
    return _read_header(header, request.headers)


def verify(
    request: SignedRequest,
    claim: Claim,
    secret: str,
    now: datetime,
    skew: timedelta,
    *,
    unsigned_body: bool = False,
) -> None:
    """Nothing, when the signature is that of `secret` over this very request.

    With `unsigned_body` it may be over all but the body, if the request says so.
    Raises WireRefusal: RequestExpired when it was signed more than `skew` away from `now`
    (a presigned one: when its life is over), SignatureDoesNotMatch for anything else.
    """
    refuse_expired(claim, now, skew)
    payload = hashlib.sha256(request.body).hexdigest()
    declared = request.headers.get("x-amz-content-sha256")
    # Only S3 takes the streaming forms, and UNSIGNED-PAYLOAD for whatever is asked.
    if unsigned_body and declared == UNSIGNED_PAYLOAD:
        payload = UNSIGNED_PAYLOAD
    elif declared is not None and not hmac.compare_digest(declared.encode(), payload.encode()):
        raise mismatch()
    expected = signature_of(request, claim, secret, payload, _canonical_path(request.path))
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise mismatch()


def signature_of(
    request: SignedRequest, claim: Claim, secret: str, payload: str, canonical_path: str
) -> str:
    """What the signature of this very request must be. `payload` stands for its body.

    Raises WireRefusal SignatureDoesNotMatch for a claim that leaves out the host, or names
    headers that the request does not have.
    """
    if "host" not in claim.signed_headers:
        raise mismatch("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    canonical = _canonical(request, claim, payload, canonical_path)
    text = "\n".join(
        (
            ALGORITHM,
            claim.signed_at.strftime(ISO_BASIC),
            claim.scope,
            hashlib.sha256(_raw(canonical)).hexdigest(),
        )
    )
    return hmac.new(signing_key(secret, claim), text.encode(), hashlib.sha256).hexdigest()


def signing_key(secret: str, claim: Claim) -> bytes:
    """The key of the claim's day, region and service."""
    return _signing_key(secret, claim.date, claim.region, claim.service)


def _read_header(header: str, headers: Mapping[str, str]) -> Claim:
    algorithm, _, rest = header.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm': '{algorithm[:40]}'. Use {ALGORITHM}.")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        if name in fields:
            raise _incomplete(f"Authorization header gives '{name[:40]}' more than once.")
        fields[name] = value
    for name in ("Credential", "Signature", "SignedHeaders"):
        if not fields.get(name):
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    if "x-amz-date" not in headers:
        raise _incomplete("Authorization header requires existence of a 'X-Amz-Date' header.")
    return _claim(
        credential=fields["Credential"],
        signed_headers=fields["SignedHeaders"],
        signature=fields["Signature"],
        instant=headers["x-amz-date"],
        life=None,
    )


def _presigned_parameters(query: str) -> dict[str, str]:
    """The X-Amz-… parameters of the query. Raises IncompleteSignature for one given twice."""
    if "X-Amz-" not in query:
        return {}
    found: dict[str, str] = {}
    for raw_name, raw_value in form.pairs(query):
        name = raw_name.decode("utf-8", "replace")
        if name.startswith("X-Amz-"):
            if name in found:
                raise _incomplete(f"AWS query-string parameter '{name[:40]}' is given twice.")
            found[name] = raw_value.decode("utf-8", "replace")
    return found


def _read_query(parameters: Mapping[str, str]) -> Claim:
    for name in sorted(PRESIGNED_PARAMETERS):
        if not parameters.get(name):
            raise _incomplete(f"AWS query-string parameters must include '{name}'.")
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm'. Use {ALGORITHM}.")
    expires = parameters["X-Amz-Expires"]
    if re.fullmatch(r"[0-9]{1,6}", expires) is None or not 0 < int(expires) <= PRESIGNED_LIFE_MAX_S:
        raise _incomplete(f"X-Amz-Expires must be a number from 1 to {PRESIGNED_LIFE_MAX_S}.")
    return _claim(
        credential=parameters["X-Amz-Credential"],
        signed_headers=parameters["X-Amz-SignedHeaders"],
        signature=parameters["X-Amz-Signature"],
        instant=parameters["X-Amz-Date"],
        life=timedelta(seconds=int(expires)),
    )


def _claim(
    *, credential: str, signed_headers: str, signature: str, instant: str, life: timedelta | None
) -> Claim:
    scope = credential.split("/")
    if len(scope) != 5 or not all(scope) or scope[4] != "aws4_request":
        raise _incomplete(
            "Credential must have exactly 5 slash-delimited elements, "
            f"e.g. keyid/date/region/service/aws4_request, got '{credential[:200]}'."
        )
    if _DIGEST.fullmatch(signature) is None:
        raise _incomplete("Signature must be 64 hexadecimal digits.")
    signed_at = _instant(instant)
    if instant[:8] != scope[1]:
        raise mismatch(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{scope[1][:16]}' != '{instant[:8]}'."
        )
    return Claim(
        access_key_id=scope[0],
        date=scope[1],
        region=scope[2],
        service=scope[3],
        signed_at=signed_at,
        life=life,
        signed_headers=tuple(signed_headers.split(";")),
        signature=signature,
    )


def _instant(text: str) -> datetime:
    # By hand: strptime takes single digits too, and as long as all the rest of a claim.
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got '{text[:40]}'.")
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as bad:
        raise _incomplete(f"Date is no instant: '{text}'.") from bad


def refuse_expired(claim: Claim, now: datetime, skew: timedelta) -> None:
    oldest = now - (skew if claim.life is None else claim.life)
    if not oldest <= claim.signed_at <= now + skew:
        raise WireRefusal("RequestExpired", "Request has expired.")


def _canonical(request: SignedRequest, claim: Claim, payload: str, path: str) -> str:
    headers = "".join(f"{name}:{_header(request, name)}\n" for name in claim.signed_headers)
    return "\n".join(
        (
            request.method,
            path,
            canonical_query(request.query),
            headers,
            ";".join(claim.signed_headers),
            payload,
        )
    )


def _header(request: SignedRequest, name: str) -> str:
    value = request.headers.get(name)
    if value is None:
        raise mismatch(f"The signed header '{name[:40]}' is not in the request.")
    return " ".join(value.split())


def _canonical_path(path: str) -> str:
    """Every service but S3 removes `.`, `..` and empty segments and encodes a second time."""
    if path in ("", "/"):
        return "/"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    trailing = "/" if kept and path.endswith("/") else ""
    return quote(_raw("/" + "/".join(kept) + trailing), safe="/~")


def canonical_query(query: str) -> str:
    """The decoded pairs, encoded one way and sorted: what is signed is what `form` reads."""
    if not query:
        return ""
    encoded = [
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in form.pairs(query)
        if name != b"X-Amz-Signature"
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _raw(text: str) -> bytes:
    """The bytes as they came off the socket, where they were read as Latin-1."""
    return text.encode("latin-1", "backslashreplace")


@lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _incomplete(message: str) -> WireRefusal:
    return WireRefusal("IncompleteSignature", message)


def mismatch(detail: str = "") -> WireRefusal:
    sentence = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. "
        "Consult the service documentation for details."
    )
    return WireRefusal("SignatureDoesNotMatch", detail or sentence, 403)
