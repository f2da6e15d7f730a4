"""A tiny NBD client that says what it is told to, and block daemons of a test's own."""

import os
import socket
import struct
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from openami.blockstore.ingest import ingest_blocks
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import ChunkLost, ChunkStore, Kind
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.nbd.daemon import BlockDaemon, Host

HERE = Region("us-east-1")
READ, WRITE, DISC, FLUSH, CACHE, BLOCK_STATUS = 0, 1, 2, 3, 5, 7
EXPORT_NAME, ABORT, LIST, INFO, GO, STRUCTURED, LIST_META, SET_META = 1, 2, 3, 6, 7, 8, 9, 10
ACK, SERVER, INFO_REPLY, META = 1, 2, 3, 4
UNSUPPORTED, INVALID, UNKNOWN = 0x80000001, 0x80000003, 0x80000006


class CountingStore(MemoryChunkStore):
    """Counts what is asked of it; `gate`, when it is cleared, lets no chunk through."""

    def __init__(self) -> None:
        super().__init__()
        self.fetches: dict[Digest, int] = {}
        self.pages: dict[Digest, int] = {}
        self.order: list[Digest] = []
        self.lost: set[Digest] = set()
        self.gate = threading.Event()
        self.gate.set()
        self._counting = threading.Lock()

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        with self._counting:
            counts = self.fetches if kind is Kind.CHUNK else self.pages
            counts[digest] = counts.get(digest, 0) + 1
            if kind is Kind.CHUNK:
                self.order.append(digest)
        if digest in self.lost:
            raise ChunkLost(digest, kind)
        if kind is Kind.CHUNK:
            assert self.gate.wait(60)
        return super().get(digest, kind)


def stored(store: ChunkStore, blocks: Mapping[int, bytes], size_blocks: int) -> Root:
    """The disk with these blocks and holes elsewhere."""
    return ingest_blocks(store, Root.empty(size_blocks), iter(sorted(blocks.items())))


def content(blocks: Mapping[int, bytes], size_blocks: int) -> bytes:
    return b"".join(blocks.get(index, bytes(BLOCK_BYTES)) for index in range(size_blocks))


@contextmanager
def a_daemon(
    tmp_path: Path, stores: Mapping[Region, ChunkStore], hydrate_mib_per_s: float = 0.0
) -> Generator[BlockDaemon]:
    """One that serves in this process while the block runs."""
    daemon = BlockDaemon(a_host(tmp_path, hydrate_mib_per_s), stores)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.close()


def a_host(tmp_path: Path, hydrate_mib_per_s: float = 0.0) -> Host:
    return Host(
        directory=tmp_path / "blocks",
        cache=tmp_path / "cache",
        hydrate_mib_per_s=hydrate_mib_per_s,
    )


class Gone(Exception):
    """The server has ended the connection."""


class Client:
    """Blocking. What it receives is held against the protocol as it comes."""

    def __init__(self, path: Path, *, greet: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # a name has 107 bytes at most, unix(7), and directories of tests have long ones
            self.socket.connect(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
        self.structured = False
        if greet:
            assert self.receive(18) == b"NBDMAGICIHAVEOPT\0\3"
            self.send(struct.pack(">I", 3))

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as gone:
            raise Gone from gone

    def receive(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            try:
                part = self.socket.recv(length - len(data))
            except ConnectionResetError as gone:
                raise Gone from gone
            if not part:
                raise Gone
            data += part
        return bytes(data)

    def is_gone(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def option(self, option: int, data: bytes = b"") -> list[tuple[int, bytes]]:
        """The replies to an option, up to the one that ends them."""
        self.send(struct.pack(">8sII", b"IHAVEOPT", option, len(data)) + data)
        replies: list[tuple[int, bytes]] = []
        while True:
            magic, of, kind, length = struct.unpack(">QIII", self.receive(20))
            assert (magic, of) == (0x3E889045565A9, option)
            replies.append((kind, self.receive(length)))
            if kind == ACK or kind & 0x80000000:
                return replies

    def go(self, *, structured: bool = True, allocation: bool = True, name: bytes = b"") -> int:
        """Negotiate as QEMU does; how long the disk is."""
        if structured:
            assert self.option(STRUCTURED) == [(ACK, b"")]
            self.structured = True
        if structured and allocation:
            assert self.option(SET_META, meta(name, b"base:allocation")) == [
                (META, b"\0\0\0\1base:allocation"),
                (ACK, b""),
            ]
        replies = self.option(GO, named(name))
        assert replies[-1] == (ACK, b""), replies
        sizes = [data for kind, data in replies if kind == INFO_REPLY and data[:2] == b"\0\0"]
        return int.from_bytes(sizes[0][2:10], "big")

    def ask(
        self, command: int, offset: int, length: int, *, cookie: int = 7, flags: int = 0
    ) -> None:
        self.send(struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length))

    def read(self, offset: int, length: int, *, flags: int = 0) -> bytes:
        """Raises OSError with the number that the server gives."""
        self.ask(READ, offset, length, flags=flags)
        return self.answer(7, offset, length)

    def answer(self, cookie: int, offset: int = 0, length: int = 0) -> bytes:
        """The whole answer to the request with that cookie; no other may be under way."""
        if not self.structured:
            magic, error, told = struct.unpack(">IIQ", self.receive(16))
            assert (magic, told) == (0x67446698, cookie)
            if error:
                raise OSError(error, "told by the server")
            return self.receive(length)
        found = bytearray(b"\xff" * length)
        covered = 0
        while True:
            flags, kind, told, body = self.chunk()
            assert told == cookie
            if kind == 32769:
                assert flags == 1
                raise OSError(struct.unpack(">I", body[:4])[0], "told by the server")
            if kind in (1, 2):
                at = int.from_bytes(body[:8], "big") - offset
                size = len(body) - 8 if kind == 1 else int.from_bytes(body[8:], "big")
                assert 0 <= at <= at + size <= length
                found[at : at + size] = body[8:] if kind == 1 else bytes(size)
                covered += size
            if flags & 1:
                assert covered == length
                return bytes(found)

    def chunk(self) -> tuple[int, int, int, bytes]:
        """Of a structured answer: flags, type, cookie, content."""
        magic, flags, kind, cookie, length = struct.unpack(">IHHQI", self.receive(20))
        assert magic == 0x668E33EF
        return flags, kind, cookie, self.receive(length)

    def extents(self, offset: int, length: int, *, flags: int = 0) -> list[tuple[int, int]]:
        self.ask(BLOCK_STATUS, offset, length, flags=flags)
        done, kind, _, body = self.chunk()
        if kind == 32769:
            raise OSError(struct.unpack(">I", body[:4])[0], "told by the server")
        assert (done, kind, body[:4]) == (1, 5, b"\0\0\0\1")
        return [struct.unpack(">II", body[at : at + 8]) for at in range(4, len(body), 8)]


def named(name: bytes) -> bytes:
    return struct.pack(">I", len(name)) + name + struct.pack(">H", 0)


def meta(name: bytes, *queries: bytes) -> bytes:
    text = struct.pack(">I", len(name)) + name + struct.pack(">I", len(queries))
    return text + b"".join(struct.pack(">I", len(query)) + query for query in queries)
