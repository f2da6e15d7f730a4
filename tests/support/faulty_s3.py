"""A little S3 in this process that does its work well, or as badly as a test wants it to.

It knows what a chunk store asks: objects put (also only if they are not there), read, headed,
listed, copied and deleted. Signatures are not looked at.
"""

import hashlib
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from openami.domain.store_place import BucketPlace

BUCKET: Final = "chunks"
_DATE: Final = "Mon, 05 Jan 2026 00:00:00 GMT"


class Fault(Enum):
    """What may go wrong with one request."""

    ERROR = auto()  # 500, and nothing is done
    SLOW_DOWN = auto()  # 503, as S3 throttles
    RESET = auto()  # the connection breaks before anything is done
    RESET_AFTER = auto()  # it is done, and the connection breaks before the answer
    SILENCE = auto()  # no answer comes, and nothing is done
    HALF = auto()  # the answer ends in the middle
    SHORT = auto()  # half of an object, told as if that were all of it
    LOST = auto()  # a write is acknowledged and not done
    TORN = auto()  # half of a write is done, and all of it acknowledged
    UNDEAD = auto()  # a listing names what was deleted
    UNBORN = auto()  # a listing does not name what is there


_REFUSALS: Final = {Fault.ERROR: (500, "InternalError"), Fault.SLOW_DOWN: (503, "SlowDown")}

Plan = Callable[[str, str, int], Fault | None]
"""Asked with the method (LIST and COPY are ones), the key and how often it came before."""


def _well(method: str, key: str, before: int) -> None: ...


@dataclass
class FaultyS3:
    """`plan` says what goes wrong; `objects` is what is there by key, `asked` what was asked."""

    plan: Plan = _well
    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])
    deleted: set[str] = field(default_factory=set[str])
    asked: Counter[str] = field(default_factory=Counter[str])
    met: Counter[Fault] = field(default_factory=Counter[Fault])
    headers: dict[str, str] = field(default_factory=dict[str, str])  # of the last request
    refusal: tuple[int, str] | None = None  # the status and the code that all requests get
    listed_at_once: int = 7  # so that few objects are several pages
    port: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    _before: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def place(self) -> BucketPlace:
        return BucketPlace(
            bucket=BUCKET,
            prefix="store",
            endpoint=f"http://127.0.0.1:{self.port}",
            region="us-east-1",
            access_key_id="key",
            secret_access_key="secret",
        )

    def fault(self, method: str, key: str) -> Fault | None:
        with self._lock:
            self.asked[method] += 1
            before = self._before[method, key]
            self._before[method, key] += 1
            found = self.plan(method, key, before)
            if found is not None:
                self.met[found] += 1
            return found

    def forget(self) -> None:
        """Every request is one that never came before."""
        with self._lock:
            self._before.clear()

    def put(self, key: str, body: bytes, *, only_new: bool = False) -> bool:
        with self._lock:
            if only_new and key in self.objects:
                return False
            self.objects[key] = body
            return True

    def delete(self, key: str) -> None:
        with self._lock:
            if self.objects.pop(key, None) is not None:
                self.deleted.add(key)

    def listed(self, prefix: str, fault: Fault | None) -> list[str]:
        with self._lock:
            there = set(self.objects)
            if fault is Fault.UNDEAD:
                there |= self.deleted
            found = sorted(key for key in there if key.startswith(prefix))
            return found[::2] if fault is Fault.UNBORN else found


@contextmanager
def faulty_s3(plan: Plan = _well) -> Generator[FaultyS3]:
    s3 = FaultyS3(plan)

    class Handler(_Handler):
        store = s3

    server = _Server(("127.0.0.1", 0), Handler)
    s3.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield s3
    finally:
        s3.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """Without looking up our own name, as HTTPServer does: a host without DNS waits for it."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own business."""


class _Broken(Exception):
    """The connection is cut, as the plan wanted it."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    disable_nagle_algorithm = True
    store: FaultyS3

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing is logged."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (_Broken, OSError):
            self.close_connection = True

    def _begun(self, method: str) -> tuple[str, bytes, Fault | None]:
        """The key, the body, and what is to go wrong; what ends the request raises."""
        path = urlsplit(self.path)
        key = unquote(path.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        if method == "LIST":
            key = parse_qs(path.query).get("prefix", [""])[0]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.store.headers = {name.lower(): text for name, text in self.headers.items()}
        fault = self.store.fault(method, key)
        if fault is Fault.SILENCE:
            self.store.closing.wait(30)
            raise _Broken
        if fault is Fault.RESET:
            self._reset()
        refusal = self.store.refusal if fault is None else _REFUSALS.get(fault)
        if refusal is not None:
            self._tell(*refusal)
            raise _Broken
        return key, body, fault

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        raise _Broken

    def do_PUT(self) -> None:
        source = self.headers.get("x-amz-copy-source")
        key, body, fault = self._begun("PUT" if source is None else "COPY")
        if source is not None:
            copied = unquote(source).removeprefix("/").removeprefix(f"{BUCKET}/")
            if copied not in self.store.objects:
                return self._tell(404, "NoSuchKey")
            body = self.store.objects[copied]
        if fault is Fault.TORN:
            body = body[: len(body) // 2]
        is_new = self.headers.get("If-None-Match") == "*"
        if fault is not Fault.LOST and not self.store.put(key, body, only_new=is_new):
            return self._tell(412, "PreconditionFailed")
        if fault is Fault.RESET_AFTER:
            self._reset()
        if source is None:
            return self._answer(200, b"", {"ETag": _etag(body)})
        text = f"<CopyObjectResult><ETag>{escape(_etag(body))}</ETag></CopyObjectResult>"
        return self._answer(200, text.encode(), fault=fault)

    def do_GET(self) -> None:
        if "list-type=2" in self.path:
            return self._list()
        key, _, fault = self._begun("GET")
        body = self.store.objects.get(key)
        if body is None:
            return self._tell(404, "NoSuchKey")
        headers = {"ETag": _etag(body), "Last-Modified": _DATE}
        asked, status = self.headers.get("Range"), 200
        if asked is not None:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(body)
            headers["Content-Range"] = f"bytes {first}-{min(end, len(body)) - 1}/{len(body)}"
            body, status = body[int(first) : end], 206
        if fault is Fault.SHORT:
            body = body[: len(body) // 2]
        return self._answer(status, body, headers, fault=fault)

    def do_HEAD(self) -> None:
        key, _, _ = self._begun("HEAD")
        body = self.store.objects.get(key)
        if body is None:
            return self._tell(404, "NoSuchKey")
        return self._answer(200, body, {"ETag": _etag(body), "Last-Modified": _DATE})

    def do_POST(self) -> None:
        """DeleteObjects: a plan is told the whole request's list of keys."""
        _, body, fault = self._begun("DELETE")
        keys = [unescape(each) for each in re.findall(r"<Key>(.*?)</Key>", body.decode())]
        for key in keys if fault is not Fault.LOST else ():
            self.store.delete(key)
        if fault is Fault.RESET_AFTER:
            self._reset()
        told = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{told}</DeleteResult>".encode(), fault=fault)

    def _list(self) -> None:
        prefix, _, fault = self._begun("LIST")
        asked = parse_qs(urlsplit(self.path).query)
        after = max(asked.get("continuation-token", [""])[0], asked.get("start-after", [""])[0])
        most = self.store.listed_at_once
        keys = [key for key in self.store.listed(prefix, fault) if key > after]
        part, more = keys[:most], len(keys) > most
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-05T00:00:00.000Z"
            f"</LastModified><ETag>&quot;e&quot;</ETag><Size>"
            f"{len(self.store.objects.get(key, b''))}</Size></Contents>"
            for key in part
        )
        token = f"<NextContinuationToken>{escape(part[-1])}</NextContinuationToken>" if more else ""
        self._answer(
            200,
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
            "</ListBucketResult>".encode(),
            fault=fault,
        )

    def _tell(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>-</Message></Error>".encode())

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        fault: Fault | None = None,
    ) -> None:
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if fault is Fault.HALF else body)
        self.wfile.flush()
        if fault is Fault.HALF:
            raise _Broken


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
