"""The line between a host and a store that is far: it counts what goes over it, and may be slow.

`python -m bench.wire PORT` is a process of its own, so that what it costs disturbs nobody's
latency in Python: it passes on what comes to its port to PORT of this machine. Each line of its
standard input sets how slow it is, or asks what it has counted; it ends where that ends.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

GET: Final = re.compile(rb"GET /(\S+) HTTP/1")
_HEAD_BYTES_MAX: Final = 4096
_PART_BYTES: Final = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Since the wire was made."""

    chunks: int
    """How many times a chunk was asked for."""
    pages: int
    repeated: int
    """How many of all these had been asked for before."""
    received_mb: float
    """What the store has answered, in 10^6 bytes, HTTP included."""


class Wire:
    """One that runs."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process, self.port = process, port

    def be(self, *, megabits_per_s: float = 0.0, round_trip_s: float = 0.0) -> None:
        """So slow from now on, for all connections together; 0 is as fast as the machine."""
        self._ask({"megabits_per_s": megabits_per_s, "round_trip_s": round_trip_s})

    def counted(self) -> Counted:
        return Counted(**self._ask({}))

    def forget(self) -> None:
        """Count from 0."""
        self._ask({"forget": True})

    def _ask(self, question: dict[str, float]) -> dict[str, int]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        return json.loads(stdout.readline())


@contextmanager
def wire_to(port: int) -> Generator[Wire]:
    command = [sys.executable, "-m", "bench.wire", str(port)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us: who reads over the wire ends before it
    ) as process:
        try:
            assert process.stdout is not None
            yield Wire(process, int(process.stdout.readline()))
        finally:
            process.kill()


class _Direction:
    """What all connections send one way shares one line: bytes leave one after another."""

    def __init__(self) -> None:
        self.bytes_per_s = 0.0
        self.delay_s = 0.0
        self._free_at = 0.0

    def send(self, size: int) -> tuple[float, float]:
        """When the last of so many bytes leaves, and when it arrives."""
        if not self.bytes_per_s:
            return 0.0, 0.0
        self._free_at = max(self._free_at, time.monotonic()) + size / self.bytes_per_s
        return self._free_at, self._free_at + self.delay_s


class _Passing:
    def __init__(self, port: int) -> None:
        self._port = port
        self._up, self._down = _Direction(), _Direction()
        self._asked: Counter[bytes] = Counter()
        self._received = 0

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(self._answer(json.loads(line))), flush=True)

    def _answer(self, question: dict[str, float]) -> dict[str, float]:
        if "megabits_per_s" in question:
            for each in (self._up, self._down):
                each.bytes_per_s = question["megabits_per_s"] * 1e6 / 8
                each.delay_s = question["round_trip_s"] / 2
        if "forget" in question:
            self._asked.clear()
            self._received = 0
        chunks, pages = (
            sum(count for key, count in self._asked.items() if kind in key)
            for kind in (b"/c/", b"/n/")
        )
        return {
            "chunks": chunks,
            "pages": pages,
            "repeated": chunks + pages - len(self._asked),
            "received_mb": self._received / 1e6,
        }

    async def _connected(self, far: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * self._up.delay_s)  # what TCP takes to connect
        near, on = await asyncio.open_connection("127.0.0.1", self._port)
        there = self._passed(far, on, self._up, self._count_requests())
        here = self._passed(near, back, self._down, self._count_answers())
        ways = [asyncio.create_task(each) for each in (there, here)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for each in ways:
                each.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            on.close()
            back.close()

    async def _passed(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        way: _Direction,
        count: Generator[None, bytes],
    ) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        next(count)

        async def arrive() -> None:
            while True:
                at, part = await under_way.get()
                await _until(at)
                if not part:
                    target.write_eof()
                    return
                target.write(part)
                await target.drain()

        async def leave() -> None:
            while part := await source.read(_PART_BYTES):
                count.send(part)
                leaves_at, arrives_at = way.send(len(part))
                under_way.put_nowait((arrives_at, part))
                await _until(leaves_at)
            under_way.put_nowait((way.send(0)[1], b""))

        async with asyncio.TaskGroup() as both:
            both.create_task(leave())
            both.create_task(arrive())

    def _count_requests(self) -> Generator[None, bytes]:
        """Heads may come in parts; what begins like one in a body is none of ours."""
        seen = b""
        while True:
            seen += yield
            end = 0
            for found in GET.finditer(seen):
                if b"?" not in found[1]:
                    self._asked[found[1]] += 1
                end = found.end()
            seen = seen[end:][-_HEAD_BYTES_MAX:]

    def _count_answers(self) -> Generator[None, bytes]:
        while True:
            part = yield  # not within the sum: others add to it meanwhile
            self._received += len(part)


async def _until(moment: float) -> None:
    wait_s = moment - time.monotonic() if moment else 0.0
    if wait_s > 0:
        await asyncio.sleep(wait_s)


if __name__ == "__main__":
    asyncio.run(_Passing(int(sys.argv[1])).serve())
