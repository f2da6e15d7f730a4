"""What S3 does otherwise than every other service when it checks a signature.

The path is signed as it is sent, and the body's digest is declared in a header, so that a
request is judged before its body is here; `Payload` then holds the body to what was declared.
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import quote, unquote_to_bytes

from openami.wire import aws_chunked, sigv4
from openami.wire.refusal import WireRefusal
from openami.wire.sigv4 import Claim, SignedRequest

UNSIGNED: Final = sigv4.UNSIGNED_PAYLOAD
UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_STREAMED: Final = {
    UNSIGNED_TRAILER: (False, True),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
}
"""The word in place of the body's digest: whether chunks are signed, whether a trailer follows."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Payload(Protocol):
    """A body on its way: what `take` and `end` give may be passed on; what is held back, not."""

    def take(self, data: bytes) -> Iterator[bytes]:
        """Raises WireRefusal as soon as the body is not what was declared."""
        ...

    def end(self) -> Iterator[bytes]:
        """The rest, when the body has ended and is what was declared. Raises WireRefusal."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A request whose signature holds; `trailer` says that its body ends with checksums."""

    payload: Payload
    streamed: bool = False
    trailer: bool = False


def verify(
    request: SignedRequest, claim: Claim, secret: str, now: datetime, skew: timedelta
) -> Verified:
    """The check of the body that has to follow.

    Raises WireRefusal: RequestTimeTooSkewed, AccessDenied for a presigned request whose life is
    over, SignatureDoesNotMatch, and what S3 says to a payload it cannot check.
    """
    _refuse_expired(claim, now, skew)
    declared = _declared(request, claim)
    paths = dict.fromkeys((request.path or "/", _encoded_once(request.path)))
    expected = [sigv4.signature_of(request, claim, secret, declared, path) for path in paths]
    if not any(hmac.compare_digest(each, claim.signature) for each in expected):
        raise sigv4.mismatch()
    if declared in _STREAMED:
        signed, trailer = _STREAMED[declared]
        seed = aws_chunked.Seed.of(secret, claim) if signed else None
        payload = aws_chunked.Decoder(seed=seed, trailer=trailer)
        return Verified(payload=payload, streamed=True, trailer=trailer)
    return Verified(payload=Plain() if declared == UNSIGNED else Hashed(declared))


def _refuse_expired(claim: Claim, now: datetime, skew: timedelta) -> None:
    try:
        sigv4.refuse_expired(claim, now, skew)
    except WireRefusal as expired:
        if claim.presigned:
            raise WireRefusal("AccessDenied", "Request has expired", 403) from expired
        raise WireRefusal(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            403,
        ) from expired


def _declared(request: SignedRequest, claim: Claim) -> str:
    given = request.headers.get("x-amz-content-sha256")
    if claim.presigned:
        return given or UNSIGNED
    if given is None:
        raise WireRefusal("InvalidRequest", "Missing required header: x-amz-content-sha256")
    if given != UNSIGNED and given not in _STREAMED and _DIGEST.fullmatch(given) is None:
        raise WireRefusal(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, one of the STREAMING forms, or a"
            " valid sha256 value.",
        )
    return given


def _encoded_once(path: str) -> str:
    return quote(unquote_to_bytes(path.encode("latin-1")), safe="/-_.~") or "/"


class Plain:
    """A body of which nothing was declared."""

    def take(self, data: bytes) -> Iterator[bytes]:
        yield data

    def end(self) -> Iterator[bytes]:
        yield from ()


class Hashed:
    """A body with a digest. Its last part is held back until the digest is right."""

    def __init__(self, digest: str) -> None:
        self._digest, self._hash, self._held = digest, hashlib.sha256(), b""

    def take(self, data: bytes) -> Iterator[bytes]:
        if data:
            self._hash.update(data)
            held, self._held = self._held, data
            if held:
                yield held

    def end(self) -> Iterator[bytes]:
        if self._hash.hexdigest() != self._digest:
            raise WireRefusal(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        if self._held:
            yield self._held
