"""Requests of ours to an S3 endpoint, signed as its clients sign them (Signature Version 4).

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from openami.wire import sigv4
from openami.wire.sigv4 import UNSIGNED_PAYLOAD as UNSIGNED_PAYLOAD
from openami.wire.sigv4 import Claim, SignedRequest

_SIGNED_TOO: Final = frozenset({"host", "content-md5"})


def signed_headers(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    payload: str,
    access_key_id: str,
    secret: str,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """`headers` (names in lower case, with `host`) and those that prove who sends them.

    `payload` is the SHA-256 of the body in hexadecimal, or one of S3's words in its place.
    """
    instant = now.strftime(sigv4.ISO_BASIC)
    full = {**headers, "x-amz-date": instant, "x-amz-content-sha256": payload}
    names = sorted(name for name in full if name in _SIGNED_TOO or name.startswith("x-amz-"))
    claim = Claim(
        access_key_id=access_key_id,
        date=instant[:8],
        region=region,
        service="s3",
        signed_at=now,
        life=None,
        signed_headers=tuple(names),
        signature="",
    )
    request = SignedRequest(method=method, path=path, query=query, headers=full, body=b"")
    signature = sigv4.signature_of(request, claim, secret, payload, path)
    full["authorization"] = (
        f"{sigv4.ALGORITHM} Credential={access_key_id}/{claim.scope},"
        f"SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return full
