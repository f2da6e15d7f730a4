"""The metadata service's sockets: one listening socket per instance, one thread for all.

The peer is a guest, so hostile: connections are counted per instance and in total, a head has
a size and a time, a response that is not read is given up, and who asks too often waits.
"""

import asyncio
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from openami.domain.ids import Clock, Ids, InstanceId
from openami.domain.metadata import Metadata
from openami.imds.answers import answer
from openami.imds.http import (
    HEAD_BYTES_MAX,
    BadRequest,
    Request,
    Response,
    parse_head,
    refusal,
    write,
)
from openami.imds.rate import NEVER, reserve
from openami.imds.tokens import Tokens

CONNECTIONS_PER_INSTANCE_MAX: Final = 32
CONNECTIONS_MAX: Final = 2048
REQUESTS_REMEMBERED: Final = 256
IDLE_TIMEOUT_S: Final = 20.0
_WRITE_TIMEOUT_S: Final = 10.0
_LOOKUP_THREADS: Final = 4
_ACCEPT_PAUSE_S: Final = 1.0
_ORDINARY_TTL: Final = 64  # hops

Lookup = Callable[[InstanceId], Metadata | None]
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request of a guest, for whoever wonders what it did at boot."""

    at: datetime
    method: str
    path: str
    status: int


@dataclass(slots=True)
class _Served:
    """What the loop holds for one instance. Only the loop touches it, but for reading `seen`."""

    instance_id: InstanceId
    listening: socket.socket | None = None
    connections: set[asyncio.Task[None]] = field(default_factory=set)
    free_at_s: float = NEVER
    # One look-up at a time: the threads for them are few, and other guests' too.
    looking_up: asyncio.Lock = field(default_factory=asyncio.Lock)
    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=REQUESTS_REMEMBERED))


class MetadataService:
    """Answers metadata requests with what `lookup` says at that moment (it may block)."""

    def __init__(self, lookup: Lookup, clock: Clock, ids: Ids) -> None:
        self._lookup, self._clock = lookup, clock
        self._tokens = Tokens(clock, ids)
        self._served: dict[InstanceId, _Served] = {}
        self._connections = 0
        self._lookups = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="metadata-lookup")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="metadata", daemon=True)
        self._thread.start()

    def serve(self, instance_id: InstanceId, listening: socket.socket) -> Callable[[], None]:
        """Answer on this socket, for this instance, until the returned function is called.

        The socket is the service's from now. Requests already seen are remembered when the
        same instance is served again.
        """
        served = _Served(instance_id)
        if earlier := self._served.get(instance_id):
            served.seen.extend(earlier.seen)
        self._served[instance_id] = served
        self._do(self._listen(served, listening))
        return lambda: self._stop(served)

    def requests(self, instance_id: InstanceId) -> tuple[Seen, ...]:
        """The last requests of an instance, oldest first, as long as it is served."""
        served = self._served.get(instance_id)
        return tuple(served.seen) if served is not None else ()

    def close(self) -> None:
        if self._loop.is_closed():
            return
        for served in list(self._served.values()):
            self._stop(served)
        self._do(_quiet())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._lookups.shutdown()

    def _do(self, order: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(order, self._loop).result(timeout=10)

    def _stop(self, served: _Served) -> None:
        if self._served.get(served.instance_id) is served:
            del self._served[served.instance_id]
        if not self._loop.is_closed():
            self._do(_ended(served))

    async def _listen(self, served: _Served, listening: socket.socket) -> None:
        """(asyncio's own server loses a connection that is accepted while it is closed.)"""
        served.listening = listening
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept, served, listening)

    def _accept(self, served: _Served, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except BlockingIOError:
            return
        except OSError as wrong:  # out of descriptors: the next try is in a second
            _log.warning("%s: no connection to its metadata: %s", served.instance_id, wrong)
            self._loop.remove_reader(listening)
            self._loop.call_later(_ACCEPT_PAUSE_S, self._accept_again, served, listening)
            return
        full = len(served.connections) >= CONNECTIONS_PER_INSTANCE_MAX
        if full or self._connections >= CONNECTIONS_MAX:
            connection.close()
            return
        task = self._loop.create_task(self._serve_one(served, connection))
        served.connections.add(task)
        task.add_done_callback(partial(_finished, served))

    def _accept_again(self, served: _Served, listening: socket.socket) -> None:
        if served.listening is listening:
            self._loop.add_reader(listening, self._accept, served, listening)

    async def _serve_one(self, served: _Served, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=HEAD_BYTES_MAX)
        self._connections += 1
        try:
            await self._converse(served, reader, writer)
        except (OSError, asyncio.CancelledError):  # gone, too slow, or we are stopping
            writer.transport.abort()
        finally:
            self._connections -= 1
            writer.close()

    async def _converse(
        self, served: _Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        keep_alive = True
        while keep_alive:
            await self._turn(served)
            try:
                request = await _request(reader)
            except BadRequest:
                await self._send(writer, refusal(400), to_head=False, keep_alive=False)
                return
            if request is None:
                return
            keep_alive = request.keep_alive
            response = await self._answered(served, request)
            _limit_hops(writer, response[1] if request.method == "PUT" else _ORDINARY_TTL)
            to_head = request.method == "HEAD"
            await self._send(writer, response[0], to_head=to_head, keep_alive=keep_alive)

    async def _turn(self, served: _Served) -> None:
        """Wait until this instance may ask again."""
        served.free_at_s, wait_s = reserve(served.free_at_s, self._loop.time())
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _answered(self, served: _Served, request: Request) -> tuple[Response, int]:
        """The response, and the hop limit of one to a PUT."""
        async with served.looking_up:
            metadata = await self._loop.run_in_executor(
                self._lookups, self._lookup, served.instance_id
            )
        response = answer(request, metadata, self._tokens)
        served.seen.append(
            Seen(
                at=self._clock.now(),
                method=request.method,
                path=request.path[:256],
                status=response.status,
            )
        )
        hops = _ORDINARY_TTL if metadata is None else metadata.options.http_put_response_hop_limit
        return response, hops

    async def _send(
        self, writer: asyncio.StreamWriter, response: Response, *, to_head: bool, keep_alive: bool
    ) -> None:
        writer.write(write(response, to_head=to_head, keep_alive=keep_alive))
        async with asyncio.timeout(_WRITE_TIMEOUT_S):
            await writer.drain()


async def _request(reader: asyncio.StreamReader) -> Request | None:
    """The next request with its body read, None at the end. Raises BadRequest, TimeoutError."""
    try:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
            request = parse_head(head)
            await reader.readexactly(request.body_bytes)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as wrong:
        raise BadRequest("a head too long") from wrong
    return request


def _limit_hops(writer: asyncio.StreamWriter, hops: int) -> None:
    """HttpPutResponseHopLimit: a token goes no further into a guest's own networks than this."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, min(max(hops, 1), 64))


def _finished(served: _Served, connection: asyncio.Task[None]) -> None:
    served.connections.discard(connection)
    if not connection.cancelled() and (failed := connection.exception()):
        _log.error("metadata of %s cannot be told", served.instance_id, exc_info=failed)


async def _ended(served: _Served) -> None:
    if served.listening is not None:
        asyncio.get_running_loop().remove_reader(served.listening)
        served.listening.close()
        served.listening = None
    await asyncio.sleep(0)  # a connection accepted in this turn begins, so that it can be ended
    for connection in served.connections:
        connection.cancel()
    await asyncio.gather(*served.connections, return_exceptions=True)


async def _quiet() -> None:
    """Let everything that was cancelled or closed come to its end, transports included."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.gather(*others, return_exceptions=True)
    for _ in range(3):  # a transport closes in the turn after it is aborted
        await asyncio.sleep(0)
