"""HTTP on one connection: uvicorn's reader over llhttp, with bounds on what it holds for a client.

Whoever connects is heard before anybody knows who it is. uvicorn's other reader, over h11, has the
first of these bounds and no need of the second, and costs 0.1 ms more for each request.
"""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a head, or of what follows a body, before it ends. h11 has the same bound.
HEAD_BYTES_MAX: Final = 64 * 1024
# Requests that a client sent without waiting for the answer to the one before. No SDK does that.
WAITING_MAX: Final = 16


class _TooManyAtOnce(Exception):
    """More requests wait for their turn than anybody needs."""


class HttpProtocol(HttpToolsProtocol):
    """What is refused here is answered by 400 and the end of the connection."""

    _held_bytes = 0  # that came since the last of which something was made

    def data_received(self, data: bytes) -> None:
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
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._held_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._held_bytes = 0
        super().on_message_complete()
