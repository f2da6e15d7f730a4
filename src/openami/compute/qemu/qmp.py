"""QMP, QEMU's monitor protocol, for threads: one event loop speaks with all machines.

What a machine says is not believed blindly: QEMU may be in the hands of its guest. Replies are
limited in size and in time. Commands: QEMU's manual, "QEMU QMP Reference Manual".
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar, cast

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError, Runstate

from openami.compute.driver import MachineFailed

REPLY_BYTES_MAX: Final = 4 << 20
TIMEOUT_S: Final = 10.0
# What the library raises when a machine breaks off, or says what is no QMP: too long a line,
# no text, no JSON, JSON nested too deep.
BROKEN: Final = (QMPError, OSError, EOFError, ValueError, RecursionError)
T = TypeVar("T")
R = TypeVar("R")

OnEvent = Callable[[str, Mapping[str, Any]], None]
Matches = Callable[[str, Mapping[str, Any]], bool]

# The library tells of every message, and warns of what we raise as MachineFailed anyhow.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class EventLoop:
    """A thread with an asyncio loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="qmp", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Callable[[], None]) -> None:
        """Have the loop's thread do it, soon."""
        self.loop.call_soon_threadsafe(work)

    def close(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
                with suppress(asyncio.CancelledError, *BROKEN):
                    self.loop.run_until_complete(task)
        finally:
            self.loop.close()


class Expected:
    """One event that is still to come. Made before the command that brings it about."""

    def __init__(self, matches: Matches) -> None:
        self.matches = matches
        self._over = threading.Event()
        self._broken = ""

    def come(self) -> None:
        self._over.set()

    def broken_off(self, why: str) -> None:
        """It cannot come any more: events are not kept for who is not connected."""
        self._broken = why
        self._over.set()

    def wait(self, timeout_s: float) -> bool:
        """False if it has not come in time. MachineFailed as soon as it no longer can."""
        if self._over.wait(timeout_s) and self._broken:
            raise MachineFailed(self._broken)
        return self._over.is_set()


class Monitor:
    """The QMP connection of one machine. Methods may be called from any thread but the loop's."""

    def __init__(self, loop: EventLoop, name: str, on_event: OnEvent) -> None:
        self._loop, self._name, self._on_event = loop, name, on_event
        self._client = QMPClient(name, REPLY_BYTES_MAX)
        self._listener = EventListener()
        self._client.register_listener(self._listener)
        self._listening: asyncio.Task[None] | None = None
        self._expected: list[Expected] = []
        self._expected_guard = threading.Lock()
        self._one_descriptor_at_a_time = asyncio.Lock()
        # The library breaks when it is told to disconnect twice at once, or while it connects.
        self._one_change_at_a_time = asyncio.Lock()

    def connect(self, connection: socket.socket, timeout_s: float = TIMEOUT_S) -> None:
        """Greet the machine on a connected socket, which is ours from here. MachineFailed."""
        self._wait("connect", self._connect(connection), timeout_s)

    def ask(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:  # pyright: ignore[reportExplicitAny] JSON, which each caller reads
        """What QEMU answers. Raises MachineFailed with its words, or if it does not in time."""
        return self._wait(command, self._execute(command, arguments), timeout_s)

    def read(
        self,
        command: str,
        reader: Callable[[Any], R],
        arguments: Mapping[str, object] | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> R:
        """What `reader` makes of the answer. MachineFailed too if it is not what we know.

        A QEMU in the hands of its guest answers what it likes; that must end here.
        """
        return self._made(command, reader, self.ask(command, arguments, timeout_s=timeout_s))

    def give(self, descriptor: int, opaque: str) -> int:
        """Give QEMU a copy of a descriptor; the number of the fd set that holds it."""
        added = self._wait("add-fd", self._give(descriptor, opaque), TIMEOUT_S)
        return self._made("add-fd", lambda told: int(told["fdset-id"]), added)

    def take_back(self, opaque: str) -> None:
        """Have QEMU close the descriptors it was given under this name, if it has them still."""

        def ours(told: Any) -> list[int]:  # pyright: ignore[reportExplicitAny]
            return [
                int(one["fdset-id"])
                for one in told
                if any(held.get("opaque") == opaque for held in one["fds"])
            ]

        for number in self.read("query-fdsets", ours):
            self.ask("remove-fd", {"fdset-id": number})

    @contextmanager
    def expect(self, matches: Matches) -> Generator[Expected]:
        """An event to be waited for within the block."""
        expected = Expected(matches)
        with self._expected_guard:
            self._expected.append(expected)
        try:
            yield expected
        finally:
            with self._expected_guard:
                self._expected = [one for one in self._expected if one is not expected]

    @property
    def connected(self) -> bool:
        return self._client.runstate is Runstate.RUNNING

    async def drained(self, timeout_s: float) -> None:
        """From the loop's own thread: when all that an ended machine said has been heard."""
        async with asyncio.timeout(timeout_s):
            while self.connected or not self._listener.empty():
                await asyncio.sleep(0.002)

    async def order(self, command: str) -> None:
        """From the loop's own thread: say it, and let the outcome show in events."""
        with suppress(TimeoutError, *BROKEN):
            await asyncio.wait_for(self._client.execute(command), TIMEOUT_S)

    def close(self) -> None:
        with suppress(MachineFailed):
            self._wait("disconnect", self.disconnect(), TIMEOUT_S)

    async def disconnect(self) -> None:
        """From the loop's own thread."""
        async with self._one_change_at_a_time:
            await self._disconnect()

    def _made(self, command: str, reader: Callable[[Any], R], answer: object) -> R:
        try:
            return reader(answer)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as wrong:
            told = f"{self._name}: {command}: an answer that cannot be: {wrong!r}"
            raise MachineFailed(told[:1000]) from wrong

    def _wait(self, what: str, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        pending = self._loop.submit(work)
        try:
            return pending.result(timeout_s)
        except NotInTime as late:
            pending.cancel()
            raise MachineFailed(f"{self._name}: no answer to {what} in {timeout_s:g} s") from late
        except ExecuteError as refused:
            raise MachineFailed(f"{self._name}: {what}: {str(refused)[:1000]}") from refused
        except BROKEN as broken:
            raise MachineFailed(
                f"{self._name}: {what}: the monitor is gone: {broken!r}"
            ) from broken

    async def _connect(self, connection: socket.socket) -> None:
        async with self._one_change_at_a_time:
            await self._disconnect()
            await self._client.connect(connection)
            self._listening = asyncio.create_task(self._listen())

    async def _disconnect(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        with self._expected_guard:
            for one in self._expected:
                one.broken_off(f"{self._name}: the monitor is gone")
        # The connection may have broken in any way the machine liked; it is over now.
        with suppress(*BROKEN):
            await self._client.disconnect()

    async def _execute(self, command: str, arguments: Mapping[str, object] | None) -> object:
        return await self._client.execute(command, arguments)

    async def _give(self, descriptor: int, opaque: str) -> object:
        async with self._one_descriptor_at_a_time:
            self._client.send_fd_scm(descriptor)
            return await self._client.execute("add-fd", {"opaque": opaque})

    async def _listen(self) -> None:
        async for event in self._listener:
            name, told = str(event["event"]), event.get("data")
            data = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
            with self._expected_guard:
                come = [one for one in self._expected if one.matches(name, data)]
            for one in come:
                one.come()
            self._on_event(name, data)
