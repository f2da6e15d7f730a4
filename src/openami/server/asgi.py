"""The ASGI edge: bytes in, one hop to a thread, bytes out.

Everything below is synchronous (SQL, fsync and QMP block), so a request leaves the event
loop once, with its whole body, and comes back with its whole answer.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from openami.server import pipeline, s3
from openami.server.pipeline import Answer
from openami.server.s3_edge import S3Edge
from openami.services import Services
from openami.wire.sigv4 import SignedRequest

THREADS: Final = 40
HEALTH_PATH: Final = "/openami/health"
# Requests are a few kilobytes; who takes longer holds a connection for nothing.
BODY_TIMEOUT_S: Final = 30.0
# What is read and thrown away of a body that is too long: a client that is cut off while it
# sends sees a broken connection instead of the refusal.
DISCARDED_BYTES_MAX: Final = 16 * 1024 * 1024


_WITHOUT_LENGTH: Final = (204, 304)  # RFC 9110, 8.6


class _TooLong(Exception):
    """The body exceeds what the settings allow."""


def create_app(svc: Services) -> ASGIApp:
    """The whole service as an ASGI application; its threads end with its lifespan."""
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
    # Whoever watches our health must not stand in line behind those who make us busy.
    watch = ThreadPoolExecutor(1, thread_name_prefix="health")

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncGenerator[None]:
        await asyncio.get_running_loop().run_in_executor(threads, pipeline.warm)
        try:
            yield
        finally:
            # No request is left by now: the server drains them first.
            threads.shutdown()
            watch.shutdown()

    # A router would answer unknown paths and methods in plain text, and every client of EC2
    # expects XML: it sees to the lifespan and to nothing else.
    whole_life, edge = Router(lifespan=lifespan), _Edge(svc, threads, watch)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (edge if scope["type"] == "http" else whole_life)(scope, receive, send)

    return app


class _Edge:
    def __init__(
        self, svc: Services, threads: ThreadPoolExecutor, watch: ThreadPoolExecutor
    ) -> None:
        self._svc = svc
        self._threads, self._watch = threads, watch
        self._s3 = S3Edge(svc, threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = _head(scope)
        if s3.is_meant(head.headers, head.query):
            await self._s3(head, scope, receive, send)
            return
        try:
            answer = await self._answer(head, scope, receive)
        except ClientDisconnect:
            return
        await _send(answer, send)

    async def _answer(self, head: SignedRequest, scope: Scope, receive: Receive) -> Answer:
        if scope["path"] == HEALTH_PATH and head.method in ("GET", "HEAD"):
            return await _in_a_thread(self._watch, lambda: pipeline.health(self._svc))
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _body(Request(scope, receive), self._svc.settings.request_bytes_max)
        except _TooLong:
            return self._refused(413, "RequestEntityTooLarge", "The request is too long.")
        except TimeoutError:
            return self._refused(408, "RequestTimeout", "The request's body did not arrive.")
        signed = replace(head, body=body)
        return await _in_a_thread(self._threads, lambda: pipeline.answer(self._svc, signed))

    def _refused(self, status: int, code: str, message: str) -> Answer:
        answer = pipeline.refuse(self._svc, status, code, message)
        # Some of the body may still be on its way: the connection cannot be used again.
        return Answer(
            status=status, body=answer.body, headers={**answer.headers, "connection": "close"}
        )


async def _in_a_thread(threads: ThreadPoolExecutor, work: Callable[[], Answer]) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


async def _body(request: Request, bytes_max: int) -> bytes:
    received, length = bytearray(), 0
    async for part in request.stream():
        length += len(part)
        if length <= bytes_max:
            received += part
        elif length > bytes_max + DISCARDED_BYTES_MAX:
            break
    if length > bytes_max:
        raise _TooLong
    return bytes(received)


def _head(scope: Scope) -> SignedRequest:
    """The request without its body."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return SignedRequest(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=b"",
    )


async def _send(answer: Answer, send: Send) -> None:
    headers = dict(answer.headers)
    if answer.status not in _WITHOUT_LENGTH:
        headers.setdefault("content-length", str(len(answer.body)))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})
