"""The ASGI side of S3 (server/s3.py): streams in, streams out, and the answers that are ours."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from openami.actions import buckets
from openami.domain.bucket import Bucket
from openami.domain.ids import Region
from openami.objects.in_use import BucketInUse
from openami.objects.store import Endpoint, ObjectStoreError
from openami.server import s3, s3_uploads, upstream
from openami.server.bucket_turns import BucketTurns, aborted
from openami.server.s3 import Admitted
from openami.server.upstream import UpstreamFailed
from openami.services import Services
from openami.wire import aws_chunked, s3_xml
from openami.wire.aws_chunked import Decoder
from openami.wire.refusal import WireRefusal
from openami.wire.sigv4 import SignedRequest

T = TypeVar("T")

IDLE_TIMEOUT_S: Final = 60.0
_SMALL_BODY_BYTES_MAX: Final = 64 * 1024
_CONSTRAINT: Final = re.compile(rb"<LocationConstraint[^>]*>\s*([A-Za-z0-9-]+)\s*<")
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"date", b"server", b"upgrade"}
)
log = logging.getLogger(__name__)


class S3Edge:
    """Answers the requests that are signed for S3."""

    def __init__(self, svc: Services, threads: ThreadPoolExecutor) -> None:
        self._svc, self._threads, self._turns = svc, threads, BucketTurns()

    async def __call__(
        self, signed: SignedRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        request_id = self._svc.ids.request_id()
        try:
            await self._answer(signed, request_id, scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as failure:  # noqa: BLE001, every failure has an answer; _told logs
            code, message, status = self._told(failure, request_id)
            body = s3_xml.error(code, message, signed.path, request_id)
            # Some of the request may still be on its way: the connection cannot be used again.
            await _reply(signed, status, body, request_id, close=True)(scope, receive, send)

    def _told(self, failure: Exception, request_id: str) -> tuple[str, str, int]:
        refusal = s3.refusal_of(failure)
        if refusal is not None:
            return refusal
        if isinstance(failure, ObjectStoreError | UpstreamFailed):
            log.warning("request %s: the S3 store does not answer: %s", request_id, failure)
            return "ServiceUnavailable", "The object store does not answer. Try again.", 503
        if isinstance(failure, TimeoutError):
            return "RequestTimeout", "The request's body did not arrive in time.", 400
        log.error("request %s failed", request_id, exc_info=failure)
        return "InternalError", "An internal error has occurred", 500

    async def _answer(
        self, signed: SignedRequest, request_id: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        svc = self._svc
        asked = await self._thread(lambda: s3.admit(svc, signed, request_id))
        request = Request(scope, receive)
        if asked.lists_buckets:
            found = await self._thread(lambda: buckets.list_buckets(svc, asked.caller))
            listed = s3_xml.buckets(asked.caller.account, ((b.name, b.created_at) for b in found))
            await _reply(signed, 200, listed, request_id)(scope, receive, send)
        elif asked.asks_location:
            bucket = await self._thread(
                lambda: buckets.head_bucket(svc, asked.caller, asked.bucket)
            )
            told = s3_xml.location(bucket.region)
            await _reply(signed, 200, told, request_id)(scope, receive, send)
        elif asked.creates_bucket:
            async with self._turns.shared(asked.bucket):
                await self._create_bucket(asked, request, scope, receive, send)
        elif asked.deletes_bucket:
            async with self._turns.alone(asked.bucket):
                await self._delete_bucket(asked, request, send)
        else:
            async with self._turns.shared(*s3.buckets_of(asked)):
                # One of them may have changed hands since it was looked at.
                await self._thread(lambda: s3.check_buckets(svc, asked))
                await self._relay(asked, request, send)

    async def _delete_bucket(self, asked: Admitted, request: Request, send: Send) -> None:
        svc = self._svc
        try:
            with svc.buckets.deletion(asked.bucket):
                going = await self._thread(
                    lambda: buckets.head_bucket(svc, asked.caller, asked.bucket)
                )
                await self._relay(asked, request, send, going)
        except BucketInUse:
            raise aborted() from None

    async def _create_bucket(
        self, asked: Admitted, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        svc = self._svc
        body = b"".join([part async for part in _small(_checked(asked, request))])
        region = _constraint(body, svc.settings.regions) or asked.caller.region
        endpoint = await self._thread(svc.objects.endpoint)
        claimed = await self._thread(
            lambda: buckets.claim_bucket(svc, asked.caller, asked.bucket, Region(region))
        )
        fresh = claimed is not None
        try:
            status = await self._store_bucket(asked, endpoint, body, fresh=fresh)
        except BaseException:
            if claimed is not None:
                await self._thread(lambda: buckets.release_bucket(svc, claimed))
            raise
        if status == 200 and not fresh and region != "us-east-1":
            raise WireRefusal(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded.",
                409,
            )
        response = _reply(asked.request, status, b"", asked.caller.request_id)
        response.headers["location"] = f"/{asked.bucket}"
        await response(scope, receive, send)

    async def _store_bucket(
        self, asked: Admitted, endpoint: Endpoint, body: bytes, *, fresh: bool
    ) -> int:
        """Make the bucket in the store. One that nobody owns here is not given away."""
        there = await self._status(asked, endpoint, "HEAD", b"") == 200
        if there and fresh:
            raise WireRefusal(
                "BucketAlreadyExists", "The requested bucket name is not available.", 409
            )
        if there:
            return 200
        status = await self._status(asked, endpoint, "PUT", body)
        if status != 200:
            raise UpstreamFailed(f"the store answered {status} to a new bucket")
        return status

    async def _status(self, asked: Admitted, endpoint: Endpoint, method: str, body: bytes) -> int:
        bare = SignedRequest(
            method=method,
            path=asked.path,
            query="",
            headers={"content-length": str(len(body))},
            body=b"",
        )
        plain = Admitted(
            caller=asked.caller,
            request=bare,
            verified=s3.PLAIN,
            path=f"/{asked.bucket}",
            bucket=asked.bucket,
            key="",
            parameters={},
        )
        headers = s3.headers_for(self._svc, plain, endpoint, _host(endpoint))
        path = f"/{asked.bucket}"
        async with upstream.exchanged(endpoint.url, method, path, headers, _once(body)) as reply:
            return reply.status

    async def _relay(
        self, asked: Admitted, request: Request, send: Send, going: Bucket | None = None
    ) -> None:
        """`going` is the bucket that the request deletes."""
        svc = self._svc
        endpoint = await self._thread(svc.objects.endpoint)
        headers = s3.headers_for(svc, asked, endpoint, _host(endpoint))
        query = s3.query_of(asked)
        target = f"{asked.path}?{query}" if query else asked.path
        method, body = asked.request.method, _upstream_body(asked, request)
        if going is not None:
            self._turns.doubt(going.name)
        async with upstream.exchanged(endpoint.url, method, target, headers, body) as reply:
            if going is not None:
                await self._gone(going, reply.status)
            kept = [each for each in reply.headers if each[0].lower() not in _OF_THE_CONNECTION]
            if asked.heads_bucket:
                bucket = await self._thread(
                    lambda: buckets.head_bucket(svc, asked.caller, asked.bucket)
                )
                kept.append((b"x-amz-bucket-region", bucket.region.encode()))
            parts = reply.body
            if reply.status in (200, 204) and s3_uploads.is_of_upload(asked):
                kept, parts = await self._overheard(asked, kept, parts)
            await send({"type": "http.response.start", "status": reply.status, "headers": kept})
            try:
                async for part in parts:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            except UpstreamFailed as failure:
                # The status is told already: the client sees a connection that ends too early.
                log.warning("request %s broke off: %s", asked.caller.request_id, failure)
                return
            await send({"type": "http.response.body", "body": b""})

    async def _gone(self, bucket: Bucket, status: int) -> None:
        """The store has answered whether it deleted the bucket."""
        self._turns.settle(bucket.name)
        if status in (204, 404):
            await self._thread(lambda: buckets.release_bucket(self._svc, bucket))

    async def _overheard(
        self, asked: Admitted, headers: list[tuple[bytes, bytes]], parts: AsyncIterator[bytes]
    ) -> tuple[list[tuple[bytes, bytes]], AsyncIterator[bytes]]:
        """A good answer about an upload in parts, with what it lacks."""
        told = {name.lower().decode(): value.decode("latin-1") for name, value in headers}
        whole = await _whole(parts, s3_uploads.ANSWER_BYTES_MAX)
        body = await self._thread(lambda: s3_uploads.heard(self._svc, asked, told, whole))
        if len(body) != len(whole):
            headers = [each for each in headers if each[0].lower() != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
        return headers, _once(body)

    async def _thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


async def _checked(asked: Admitted, request: Request) -> AsyncIterator[bytes]:
    """The plain body, held to what was declared of it. Raises WireRefusal, TimeoutError."""
    payload = asked.verified.payload
    parts = aiter(request.stream())
    while True:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            part = await anext(parts, None)
        if part is None:
            break
        for each in payload.take(part):
            yield each
    for each in payload.end():
        yield each


async def _upstream_body(asked: Admitted, request: Request) -> AsyncIterator[bytes]:
    """The body as the store is to see it: its checksums go on where the client sent some."""
    payload = asked.verified.payload
    async for part in _checked(asked, request):
        yield aws_chunked.encoded(part) if asked.verified.trailer else part
    if asked.verified.trailer and isinstance(payload, Decoder):
        yield aws_chunked.last(payload.trailers)


async def _small(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    length = 0
    async for part in parts:
        length += len(part)
        if length > _SMALL_BODY_BYTES_MAX:
            raise WireRefusal("MalformedXML", "The XML you provided was not well-formed.")
        yield part


async def _whole(parts: AsyncIterator[bytes], bytes_max: int) -> bytes:
    """A body that is to be read before it is sent on. Raises UpstreamFailed."""
    whole = bytearray()
    async for part in parts:
        whole += part
        if len(whole) > bytes_max:
            raise UpstreamFailed(f"the store's answer has over {bytes_max} bytes")
    return bytes(whole)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


def _constraint(body: bytes, regions: tuple[str, ...]) -> str:
    """The region that CreateBucket names, or "". Raises InvalidLocationConstraint."""
    found = _CONSTRAINT.search(body)
    named = found[1].decode() if found else ""
    if named and named not in regions:
        raise WireRefusal(
            "InvalidLocationConstraint", "The specified location-constraint is not valid"
        )
    return named


def _host(endpoint: Endpoint) -> str:
    return urlsplit(endpoint.url).netloc


def _reply(
    signed: SignedRequest, status: int, body: bytes, request_id: str, *, close: bool = False
) -> Response:
    headers: Mapping[str, str] = {
        "x-amz-request-id": request_id,
        "content-type": "application/xml",
        **({"connection": "close"} if close else {}),
    }
    return Response(b"" if signed.method == "HEAD" else body, status, dict(headers))
