"""The guest's own agent, where one runs: it holds the guest's file systems still for a moment.

The other end is the guest. It may say anything, at any length, or nothing: whatever it does costs
a bounded time and memory, and a copy that is only as consistent as after a power cut. Protocol:
QEMU's manual, "QEMU Guest Agent Protocol Reference".
"""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NotInTime
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, Self, TypeVar, cast

from openami.compute.driver import MachineFailed
from openami.compute.qemu.command_line import AGENT
from openami.compute.qemu.files import MachineFiles
from openami.compute.qemu.qmp import EventLoop, Monitor

ANSWER_BYTES_MAX: Final = 64 << 10
# An agent that nobody spoke with for a while looks every 100 ms, and the guest may be busy.
_GREETING_TIMEOUT_S: Final = 2.0
# What is dirty is written meanwhile, and whoever writes in the guest waits.
_FREEZE_TIMEOUT_S: Final = 5.0
_THAW_TIMEOUT_S: Final = 5.0
_THAW_AGAIN_S: Final = 2.0  # at first; twice as long after each vain attempt
_THAW_PAUSE_MAX_S: Final = 30.0
_THAWS_TOLD: Final = 5  # of those in vain in a row: then the pause is as long as it gets
_SPARE_S: Final = 5.0  # for a loop that is busy; each step has its own limit
_DELIMITER: Final = b"\xff"
_log = logging.getLogger(__name__)
T = TypeVar("T")


class _Unheard(Exception):
    """The agent refused, broke off, said too much or what it cannot mean, or nothing in time."""


class GuestAgent:
    """Of one running machine. `waits` tells whether the machine stands still by itself."""

    def __init__(
        self, loop: EventLoop, files: MachineFiles, monitor: Monitor, waits: Callable[[], bool]
    ) -> None:
        self._loop, self._files, self._monitor, self._waits = loop, files, monitor, waits
        self._name = files.directory.name
        self._one_at_a_time = threading.Lock()
        # A server may have died between freeze and thaw: the mark is in the machine's directory.
        self._owes_thaw = files.frozen.exists()
        self._next_thaw = 0.0
        self._vain_thaws = 0
        self._thawing: asyncio.Task[None] | None = None

    @contextmanager
    def still(self) -> Generator[None]:
        """The guest's file systems are whole on its disks within the block, if its agent can.

        Without an agent that costs a question to QEMU. Nothing that the guest does raises.
        """
        if not self._is_there():
            yield
            return
        with self._one_at_a_time:
            channel, began = None, time.monotonic()
            try:
                channel = self._run(self._freeze(), _GREETING_TIMEOUT_S + _FREEZE_TIMEOUT_S)
                yield
            finally:
                if self._owes_thaw:
                    self._run(self._thaw(channel), _GREETING_TIMEOUT_S + _THAW_TIMEOUT_S)
                    took_ms = 1000 * (time.monotonic() - began)
                    _log.info("freeze, copy, thaw of %s took %d ms", self._name, took_ms)

    def tend(self) -> None:
        """Called every second in the loop's thread: a thaw that is owed is tried again."""
        due = self._owes_thaw and time.monotonic() >= self._next_thaw
        if due and self._one_at_a_time.acquire(blocking=False):
            self._thawing = asyncio.create_task(self._thaw_late())

    def was_reset(self) -> None:
        """Called in the loop's thread: the guest begins anew, and none of its files are frozen.

        What is being asked of it now may still reach who comes after the reset: that is thawed.
        """
        if self._owes_thaw and self._one_at_a_time.acquire(blocking=False):
            try:
                self._forget_debt()
            finally:
                self._one_at_a_time.release()

    def _is_there(self) -> bool:
        """Whether a program of the guest has the channel open."""
        if self._waits() or not self._files.agent.exists():
            return False  # machines that were started before there were channels have none
        try:
            return self._monitor.read(
                "query-chardev",
                lambda told: any(one["label"] == AGENT and one["frontend-open"] for one in told),
            )
        except MachineFailed:
            return False  # whatever is asked of it next will say so

    def _run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T | None:
        pending = self._loop.submit(work)
        try:
            return pending.result(timeout_s + _SPARE_S)
        except (NotInTime, CancelledError):
            pending.cancel()
            return None

    async def _freeze(self) -> "_Channel | None":
        """The channel, if there is something to thaw on it."""
        channel = None
        try:
            channel = _Channel.opened(self._files)
            await channel.greet(_GREETING_TIMEOUT_S)
            self._note_debt()
            await channel.ask("guest-fsfreeze-freeze", _FREEZE_TIMEOUT_S)
        except _Unheard as unheard:
            _log.warning("the agent of %s does not freeze its files: %s", self._name, unheard)
            if channel is not None and not self._owes_thaw:
                channel.close()
                return None
        return channel

    async def _thaw(self, channel: "_Channel | None") -> None:
        """Also where the freeze was not answered: it may come to pass all the same."""
        try:
            channel = channel or _Channel.opened(self._files)
            if not channel.in_step:
                await channel.greet(_GREETING_TIMEOUT_S)
            await channel.ask("guest-fsfreeze-thaw", _THAW_TIMEOUT_S)
            self._forget_debt()
        except _Unheard as unheard:
            pause_s = min(_THAW_AGAIN_S * 2**self._vain_thaws, _THAW_PAUSE_MAX_S)
            self._next_thaw = time.monotonic() + pause_s
            if self._vain_thaws < _THAWS_TOLD:
                self._vain_thaws += 1
                _log.warning("the files of %s may still be frozen: %s", self._name, unheard)
        finally:
            if channel is not None:
                channel.close()

    def _note_debt(self) -> None:
        """Before the guest is asked to freeze. Raises _Unheard if that cannot be noted."""
        try:
            self._files.frozen.touch(mode=0o600)
        except OSError as wrong:
            raise _Unheard(f"no thaw could be promised: {wrong}") from wrong
        self._owes_thaw = True

    def _forget_debt(self) -> None:
        self._owes_thaw, self._vain_thaws = False, 0
        with suppress(OSError):  # then the next server thaws once more
            self._files.frozen.unlink(missing_ok=True)

    async def _thaw_late(self) -> None:
        try:
            await self._thaw(None)
        finally:
            self._one_at_a_time.release()


class _Channel:
    """A connection with the agent. `in_step` while each question has had its own answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._loop = connection, asyncio.get_running_loop()
        self._heard = b""
        self.in_step = False

    @classmethod
    def opened(cls, files: MachineFiles) -> Self:
        """Raises _Unheard."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.setblocking(False)
            with files.short_name(files.agent) as name:
                connection.connect(name)
        except OSError as wrong:
            connection.close()
            raise _Unheard(f"it has no channel: {wrong}") from wrong
        return cls(connection)

    def close(self) -> None:
        self._connection.close()

    async def greet(self, timeout_s: float) -> None:
        """Find where its answers to us begin: what others were answered may come before."""
        number = time.monotonic_ns() // 1000 % (1 << 31)
        async with _in_time(timeout_s):
            await self._say(_DELIMITER, "guest-sync-delimited", {"id": number})
            left = ANSWER_BYTES_MAX
            while not self.in_step:
                left -= len(await self._until(_DELIMITER, left))
                line = await self._until(b"\n", left)
                left -= len(line)
                self.in_step = _answer(line) == number

    async def ask(self, command: str, timeout_s: float) -> None:
        self.in_step = False
        async with _in_time(timeout_s):
            await self._say(b"", command, {})
            answer = _answer(await self._until(b"\n", ANSWER_BYTES_MAX))
        self.in_step = True
        if answer is None:
            raise _Unheard(f"it refuses {command}")

    async def _say(self, before: bytes, command: str, arguments: dict[str, object]) -> None:
        text = json.dumps({"execute": command} | ({"arguments": arguments} if arguments else {}))
        await self._loop.sock_sendall(self._connection, before + text.encode() + b"\n")

    async def _until(self, mark: bytes, bytes_max: int) -> bytes:
        while mark not in self._heard[:bytes_max]:
            if len(self._heard) >= bytes_max:
                raise _Unheard("it says too much")
            more = await self._loop.sock_recv(self._connection, 4096)
            if not more:
                raise _Unheard("it broke off")
            self._heard += more
        said, _, self._heard = self._heard.partition(mark)
        return said + mark


@asynccontextmanager
async def _in_time(timeout_s: float) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as late:
        raise _Unheard(f"no answer in {timeout_s:g} s") from late
    except (OSError, ValueError, RecursionError) as wrong:
        raise _Unheard(f"{wrong!r}"[:200]) from wrong


def _answer(line: bytes) -> object:
    """What is returned, or None for a refusal. Raises ValueError for what is no answer."""
    told = json.loads(line)
    if not isinstance(told, dict):
        raise ValueError("no answer")  # noqa: TRY004
    return cast("dict[str, object]", told).get("return")
