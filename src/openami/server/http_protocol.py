"""HTTP on one connection: uvicorn's reader over llhttp, with bounds on what it holds for a client.

Whoever connects is heard before anybody knows who it is. uvicorn's other reader, over h11, has the
first of these bounds and no need of the second, and costs 0.1 ms more for each request.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a head, or of what follows a body, before it ends. h11 has the same bound.
HEAD_BYTES_MAX: Final = 64 * 1024
# From the first byte of a head, or the beginning of the connection, to the head's end.
HEAD_TIMEOUT_S: Final = 60.0
# Requests that a client sent without waiting for the answer to the one before. No SDK does that.
WAITING_MAX: Final = 16


class _TooManyAtOnce(Exception):
    """More requests wait for their turn than anybody needs."""


class HttpProtocol(HttpToolsProtocol):
    """What is refused here is answered by 400 and the end of the connection."""

    _held_bytes = 0  # that came since the last of which something was made
    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] uvicorn's own
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_has_come()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # Before the first request there is no cycle.
        if self._head_due is None and getattr(self.cycle, "response_complete", True):
            self._await_head()
        self._held_bytes += len(data)
        super().data_received(data)
        if self._held_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= WAITING_MAX:
            raise _TooManyAtOnce  # the parser stops, and tells uvicorn that it did
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._held_bytes = 0
        self._head_has_come()
        super().on_headers_complete()
        # uvicorn has given its list away with the request, and would add a body's trailers to it.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        self._held_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._held_bytes = 0
        super().on_message_complete()

    def _await_head(self) -> None:
        self._head_due = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _head_has_come(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None
