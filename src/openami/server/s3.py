"""S3 on openami's own port: who asks is proven here, the store behind does the rest.

A request is judged before its body is read: the signature, whose bucket it is, and whether it
asks for what is passed on. Then it goes to the store under our own signature, a stream in both
directions; what the client declared of its body is checked on the way, and the last of it is
not let through before it is right. Buckets are ours to list, make and give up: the catalog says
whose they are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

from openami.actions import buckets
from openami.catalog import accounts
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.ids import Region
from openami.objects.store import Endpoint
from openami.services import Services
from openami.wire import form, s3_auth, sign, sigv4
from openami.wire.refusal import WireRefusal
from openami.wire.s3_auth import Verified
from openami.wire.sigv4 import SignedRequest

_SCOPE: Final = re.compile(r"(?:Credential=|X-Amz-Credential=)[^,&\s]*(?:/|%2[Ff])s3(?:/|%2[Ff])")
_PASSED_ON: Final = frozenset(
    {"list-type", "prefix", "delimiter", "marker", "max-keys", "encoding-type", "start-after"}
    | {"continuation-token", "fetch-owner", "uploads", "uploadid", "partnumber", "key-marker"}
    | {"upload-id-marker", "max-uploads", "max-parts", "part-number-marker", "delete", "tagging"}
    | {"versioning", "versions", "versionid", "version-id-marker", "location", "x-id"}
    | {"response-content-type", "response-content-language", "response-expires"}
    | {"response-cache-control", "response-content-disposition", "response-content-encoding"}
    | {"x-amz-checksum-mode", "x-amz-sdk-checksum-algorithm"}
)
"""Parameters by which a request is one of those that are passed on, in lower case."""
_NOT_PASSED_ON: Final = frozenset(
    {"authorization", "host", "date", "x-amz-date", "x-amz-content-sha256", "content-length"}
    | {"transfer-encoding", "connection", "keep-alive", "expect", "te", "upgrade", "forwarded"}
    | {"content-encoding", "x-amz-expected-bucket-owner", "x-amz-copy-source", "trailer"}
)
PLAIN: Final = Verified(payload=s3_auth.Plain())
_OPEN_ACLS: Final = frozenset({"", "private", "bucket-owner-full-control"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A request whose sender is known. `path` is encoded once, as the store is to see it."""

    caller: Caller
    request: SignedRequest
    verified: Verified
    path: str
    bucket: str
    key: str
    parameters: Mapping[str, str]

    @property
    def creates_bucket(self) -> bool:
        return self.request.method == "PUT" and self._is_bare_bucket

    @property
    def deletes_bucket(self) -> bool:
        return self.request.method == "DELETE" and self._is_bare_bucket

    @property
    def heads_bucket(self) -> bool:
        return self.request.method == "HEAD" and self._is_bare_bucket

    @property
    def lists_buckets(self) -> bool:
        return self.request.method == "GET" and not self.bucket and not self.key

    @property
    def asks_location(self) -> bool:
        return self.request.method == "GET" and not self.key and "location" in self.parameters

    @property
    def _is_bare_bucket(self) -> bool:
        return bool(self.bucket) and not self.key and not set(self.parameters) - {"x-id"}


def is_meant(headers: Mapping[str, str], query: str) -> bool:
    """Whether a request is signed for S3, rightly or not."""
    return _SCOPE.search(headers.get("authorization") or query) is not None


def admit(svc: Services, request: SignedRequest, request_id: str) -> Admitted:
    """Who asks, proven, for what. Raises WireRefusal and EC2Error with S3's codes."""
    claim = sigv4.read(request)
    key = svc.catalog.recall(accounts.find_key, claim.access_key_id)
    if key is None:
        raise WireRefusal(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            403,
        )
    skew = timedelta(seconds=svc.settings.clock_skew_s)
    verified = s3_auth.verify(request, claim, key.secret, svc.clock.now(), skew)
    if claim.region not in svc.settings.regions:
        raise WireRefusal(
            "AuthorizationHeaderMalformed",
            f"The authorization header is malformed; there is no region '{claim.region[:40]}'.",
        )
    decoded = unquote_to_bytes(request.path.encode("latin-1"))
    bucket, _, object_key = decoded.decode("utf-8", "replace").removeprefix("/").partition("/")
    admitted = Admitted(
        caller=Caller(
            account=key.account,
            region=Region(claim.region),
            request_id=request_id,
            access_key_id=key.id,
        ),
        request=request,
        verified=verified,
        path=quote(decoded, safe="/-_.~"),
        bucket=bucket,
        key=object_key,
        parameters=_parameters(request.query),
    )
    _check(svc, admitted)
    return admitted


def _parameters(query: str) -> dict[str, str]:
    """Without those that sign it. Raises NotImplemented for what is not passed on."""
    found: dict[str, str] = {}
    for raw_name, raw_value in form.pairs(query) if query else ():
        name = raw_name.decode("utf-8", "replace")
        if name in sigv4.PRESIGNED_PARAMETERS:
            continue
        if name.lower() not in _PASSED_ON:
            raise WireRefusal(
                "NotImplemented", f"openami does not pass on requests with '{name[:40]}'.", 501
            )
        found[name] = raw_value.decode("utf-8", "replace")
    return found


def _check(svc: Services, asked: Admitted) -> None:
    """Raises EC2Error for a bucket that is not the caller's, WireRefusal for what is not done."""
    headers = asked.request.headers
    if any(part in (".", "..") for part in asked.path.split("/")):
        raise WireRefusal("InvalidURI", "Couldn't parse the specified URI.")
    if headers.get("x-amz-acl", "") not in _OPEN_ACLS or any(
        name.startswith("x-amz-grant-") for name in headers
    ):
        raise WireRefusal(
            "AccessControlListNotSupported", "The bucket does not allow ACLs: it is its owner's."
        )
    if headers.get("x-amz-expected-bucket-owner", asked.caller.account) != asked.caller.account:
        raise WireRefusal("AccessDenied", "Access Denied", 403)
    if asked.lists_buckets or asked.creates_bucket:
        return
    if not asked.bucket:
        raise WireRefusal(
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            405,
        )
    check_buckets(svc, asked)


def buckets_of(asked: Admitted) -> frozenset[str]:
    """Those that the request reaches: its own, and the one that it copies from."""
    source = asked.request.headers.get("x-amz-copy-source")
    if source is None:
        return frozenset({asked.bucket})
    return frozenset({asked.bucket, _copy_source(source).partition("/")[0]})


def check_buckets(svc: Services, asked: Admitted) -> None:
    """Whether they are the caller's. Raises NoSuchBucket, AccessDenied, InvalidArgument."""
    for name in (asked.bucket, *(buckets_of(asked) - {asked.bucket})):
        buckets.head_bucket(svc, asked.caller, name)


def _copy_source(header: str) -> str:
    """The bucket and key that are copied, decoded. Raises InvalidArgument."""
    decoded = unquote(header.partition("?")[0]).removeprefix("/")
    if decoded.startswith("arn:") or any(part in (".", "..") for part in decoded.split("/")):
        raise WireRefusal("InvalidArgument", "Copy Source must be a bucket and a key.")
    return decoded


def query_of(asked: Admitted) -> str:
    """The parameters as they are passed on."""
    pairs = ((quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in asked.parameters.items())
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def headers_for(svc: Services, asked: Admitted, endpoint: Endpoint, host: str) -> dict[str, str]:
    """The request's headers as the store is to see them, under our signature."""
    given = asked.request.headers
    passed = {
        name: value
        for name, value in given.items()
        if name not in _NOT_PASSED_ON and not name.startswith(("x-forwarded-", "proxy-"))
    }
    payload = sign.UNSIGNED_PAYLOAD
    encodings = [each.strip() for each in given.get("content-encoding", "").split(",")]
    if asked.verified.trailer:
        payload = s3_auth.UNSIGNED_TRAILER
        passed["transfer-encoding"] = "chunked"
    else:
        encodings = [each for each in encodings if each != "aws-chunked"]
        if asked.verified.streamed:
            passed["content-length"] = passed.pop("x-amz-decoded-content-length", "0")
        elif "content-length" in given:
            passed["content-length"] = given["content-length"]
        elif "transfer-encoding" in given:
            raise WireRefusal(
                "MissingContentLength", "You must provide the Content-Length HTTP header.", 411
            )
    if any(encodings):
        passed["content-encoding"] = ",".join(filter(None, encodings))
    if "x-amz-copy-source" in given:
        _, mark, version = given["x-amz-copy-source"].partition("?")
        source = quote(_copy_source(given["x-amz-copy-source"]), safe="/-_.~")
        passed["x-amz-copy-source"] = f"{source}{mark}{version}"
    return sign.signed_headers(
        *(asked.request.method, asked.path, query_of(asked), {**passed, "host": host}),
        payload=payload,
        access_key_id=endpoint.access_key_id,
        secret=endpoint.secret_access_key,
        region=endpoint.region,
        now=svc.clock.now(),
    )


def refusal_of(failure: Exception) -> tuple[str, str, int] | None:
    """Code, sentence and status of what is the client's to know."""
    if isinstance(failure, EC2Error | WireRefusal):
        return failure.code, str(failure), failure.status
    return None
