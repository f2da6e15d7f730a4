"""One request on to the S3 store and its answer back, both as streams. h11 speaks the HTTP.

A connection per request: on loopback that costs less than keeping one alive safely.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import h11

READ_BYTES: Final = 256 * 1024
IDLE_TIMEOUT_S: Final = 120.0


class UpstreamFailed(Exception):
    """The store cannot be reached, or does not speak as it should; the text is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`body` is to be read within the `async with` that gave it. Raises UpstreamFailed."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: AsyncIterator[bytes]


@asynccontextmanager
async def exchanged(
    base_url: str,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: AsyncIterator[bytes],
) -> AsyncGenerator[Reply]:
    """Send a request and hear the answer. Raises UpstreamFailed, and whatever `body` raises."""
    url = urlsplit(base_url)
    secure = ssl.create_default_context() if url.scheme == "https" else None
    port = url.port or (443 if secure else 80)
    try:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(url.hostname, port, ssl=secure)
    except (OSError, TimeoutError) as failure:
        raise UpstreamFailed(f"{base_url}: {failure}") from failure
    try:
        wire = h11.Connection(h11.CLIENT)
        await _send(wire, writer, method, target, headers, body)
        yield await _heard(wire, reader)
    finally:
        writer.close()
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


async def _send(
    wire: h11.Connection,
    writer: asyncio.StreamWriter,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: AsyncIterator[bytes],
) -> None:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    # The head goes with the first of the body: SeaweedFS takes an upload of which it saw nothing
    # for an empty object.
    head = wire.send(h11.Request(method=method, target=target, headers=raw)) or b""
    try:
        async for part in body:
            await _write(writer, head + (wire.send(h11.Data(data=part)) or b""))
            head = b""
        await _write(writer, head + (wire.send(h11.EndOfMessage()) or b""))
    except ConnectionError:
        return  # it may have answered before it heard all
    except (h11.LocalProtocolError, TimeoutError) as failure:
        raise UpstreamFailed(str(failure)) from failure


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    async with asyncio.timeout(IDLE_TIMEOUT_S):
        await writer.drain()


async def _heard(wire: h11.Connection, reader: asyncio.StreamReader) -> Reply:
    while True:
        event = await _next(wire, reader)
        if isinstance(event, h11.Response):
            headers = [(bytes(name), bytes(value)) for name, value in event.headers]
            return Reply(status=event.status_code, headers=headers, body=_body(wire, reader))
        if not isinstance(event, h11.InformationalResponse):
            raise UpstreamFailed("the store ended the connection without an answer")


async def _body(wire: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        event = await _next(wire, reader)
        if isinstance(event, h11.EndOfMessage):
            return
        if not isinstance(event, h11.Data):
            raise UpstreamFailed("the store's answer ended in its middle")
        yield bytes(event.data)


async def _next(wire: h11.Connection, reader: asyncio.StreamReader) -> object:
    try:
        while (event := wire.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                wire.receive_data(await reader.read(READ_BYTES))
    except (h11.RemoteProtocolError, OSError, TimeoutError) as failure:
        raise UpstreamFailed(str(failure)) from failure
    return event
