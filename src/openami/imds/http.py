"""Just enough HTTP/1.1 for metadata, strictly: one head in, one response out. Pure.

The peer is a guest, so hostile. What is not plainly a request (RFC 9112) is refused; there is
no chunking, no pipelining of bodies, no continuation lines.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

HEAD_BYTES_MAX: Final = 8 * 1024
BODY_BYTES_MAX: Final = 1024  # of a PUT, whose body means nothing
HEADERS_MAX: Final = 64

_REQUEST: Final = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.([01])")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


class BadRequest(Exception):
    """The peer does not speak HTTP as we do; the connection cannot go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`headers` have lower-case names; `body_bytes` follow the head."""

    method: str
    path: str
    headers: Mapping[str, str]
    keep_alive: bool
    body_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()


def parse_head(head: bytes) -> Request:
    """The request whose head, up to and with the empty line, these bytes are.

    Raises BadRequest.
    """
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    parsed = _REQUEST.fullmatch(first)
    if parsed is None or len(lines) > HEADERS_MAX:
        raise BadRequest("no request line, or too many headers")
    method, path, minor = parsed.groups()
    headers: dict[str, str] = {}
    for line in lines:
        field = _HEADER.fullmatch(line)
        name = field[1].decode().lower() if field else ""
        if field is None or (name in headers and name in ("content-length", "host")):
            raise BadRequest("a header that is none, or told twice")
        headers[name] = field[2].decode("latin-1")
    if "transfer-encoding" in headers:
        raise BadRequest("a body of unknown length")
    told = headers.get("connection", "").lower()
    return Request(
        method=method.decode(),
        path=path.decode(),
        headers=headers,
        keep_alive=told != "close" if minor == b"1" else told == "keep-alive",
        body_bytes=_length(headers.get("content-length", "0")),
    )


def _length(text: str) -> int:
    if _DIGITS.fullmatch(text) is None or int(text) > BODY_BYTES_MAX:
        raise BadRequest("a body too long")
    return int(text)


def write(response: Response, *, to_head: bool, keep_alive: bool) -> bytes:
    """The response's bytes; without its body if it answers a HEAD."""
    status = HTTPStatus(response.status)
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        *(f"{name}: {value}" for name, value in response.headers),
        "Server: EC2ws",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if to_head else head + response.body


def refusal(status: int) -> Response:
    """An error as EC2's service words it: a small page, which scripts print as it is."""
    phrase = HTTPStatus(status).phrase
    page = (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n'
        f" <head>\n  <title>{status} - {phrase}</title>\n </head>\n"
        f" <body>\n  <h1>{status} - {phrase}</h1>\n </body>\n</html>\n"
    )
    return Response(status=status, body=page.encode(), content_type="text/html")
