"""A disk as its readers see it: a block that is not here is fetched once, however many wait.

Whatever a store says is verified by the store; what cannot be had is an error to those who read
it now, is told, and is tried again when somebody reads it later.
"""

import logging
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeVar

from openami.blockstore.manifest import Manifests
from openami.blockstore.store import ChunkCorrupt, ChunkLost, ChunkStore, StoreFull
from openami.domain.block import BLOCK_BYTES, HOLE, Digest
from openami.nbd.demand import Demand
from openami.nbd.kept import Kept, KeptElsewhere, State
from openami.nbd.profile import Profiles, Recording

RETRY_S: Final = 2.0
"""How long a block that could not be had is refused without being asked for again."""
SLOW_S: Final = 10.0
"""How long a store may take for a block before that is told; its readers wait."""
FULL_RETRY_S: Final = 5.0
"""How long nothing is fetched in the background after there was no room."""
UNKEPT_MAX: Final = 64
"""Blocks that are in memory because the host's disk is full: 32 MiB, a whole READ. Those that are
just being written are there, too."""
HINTS_MAX: Final = 1024
_FAILURES_MAX: Final = 65536
_log = logging.getLogger(__name__)

T = TypeVar("T")

Bytes = bytes | memoryview
"""A view is of the host's file, and for the kernel alone: `Kept`."""


class Wanted(Enum):
    HERE = auto()
    COMING = auto()
    FAILS = auto()


Done = Callable[[bool], None]
"""Told once, by any thread, whether everything came. It must not block."""


class NotAtHand(Exception):
    """The block would have to be fetched."""


@dataclass(frozen=True, slots=True)
class Source:
    """A store that has the disk, its manifests, and the threads that fetch from it: of a store
    that is away, they wait, and the guests of other stores do not."""

    store: ChunkStore
    manifests: Manifests
    demand: Demand


class _Pending:
    """A reader who waits for some blocks."""

    __slots__ = ("_done", "_left", "_well")

    def __init__(self, left: int, done: Done) -> None:
        self._left, self._done, self._well = left, done, True

    def one_came(self, *, well: bool) -> Callable[[], None] | None:
        """The disk's lock is held. What is returned is to be called when it no longer is."""
        self._left -= 1
        self._well = self._well and well
        return self._tell if self._left == 0 else None

    def _tell(self) -> None:
        self._done(self._well)


class Disk:
    """Thread-safe. Whoever uses it is between `enter` and `leave`; the last to leave closes it."""

    def __init__(self, source: Source, kept: Kept, profiles: Profiles) -> None:
        self.kept, self.states = kept, kept.states
        self.root = kept.root
        self._sources = [source]
        self._profiles = profiles
        self._lock = threading.Lock()
        self._reading_manifest = threading.Lock()  # so that a page is read once, too
        self._waiting: dict[int, list[_Pending]] = {}
        self._failed: dict[int, float] = {}
        self._fetching: dict[int, float] = {}
        self._unkept: OrderedDict[int, bytes] = OrderedDict()
        self._hints: deque[int] = deque(maxlen=HINTS_MAX)
        self._trouble_of_block = self._trouble_of_host = ""
        self._users = 0
        self.closed = False
        profile = () if kept.complete else profiles.load(self.root) or ()
        self._first = deque(profile)
        self.recording = None if kept.complete else Recording(profile)
        self._position = 0
        self._full_until = 0.0

    def enter(self) -> bool:
        """False if it has been closed: another has to be made."""
        with self._lock:
            self._users += not self.closed
            return not self.closed

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self.closed = True
                recording, self.recording = self.recording, None
                self._save(recording)
                self.kept.close()

    def profile(self) -> Sequence[int]:
        """What was read first, as far as that is known."""
        recording = self.recording
        return self._profiles.load(self.root) or () if recording is None else recording.order()

    def also_from(self, source: Source) -> None:
        """Another store that has the same disk."""
        if source not in self._sources:
            self._sources = [*self._sources, source]

    def trouble(self) -> str:
        with self._lock:
            found = [self._trouble_of_host, self._trouble_of_block if self._failed else ""]
            if len(self._failed) > 1:
                found.append(f"{len(self._failed)} blocks cannot be had")
            waited_s = time.monotonic() - min(self._fetching.values(), default=math.inf)
            if waited_s >= SLOW_S:
                found.append(f"the store has not answered for {waited_s:.0f} s")
        return "; ".join(filter(None, found))

    def want(self, first: int, last: int, done: Done) -> Wanted:
        """See that these blocks can be read. `done` is called if they are COMING, only then."""
        now = time.monotonic()
        with self._lock:
            missing = [i for i in range(first, last + 1) if not self._is_here(i)]
            if not missing:
                return Wanted.HERE
            if any(self._failed.get(index, 0.0) > now for index in missing):
                return Wanted.FAILS
            pending = _Pending(len(missing), done)
            asked: list[int] = []
            for index in missing:
                waiting = self._waiting.get(index)
                if waiting is None:
                    self._waiting[index] = [pending]
                    asked.append(index)
                else:
                    waiting.append(pending)
        if asked:
            self._sources[0].demand.ask(self, asked)
        return Wanted.COMING

    def hint(self, first: int, last: int) -> None:
        """A guest will read these: they are brought here before others, if there is time."""
        self._hints.extend(range(first, min(last, first + HINTS_MAX - 1) + 1))

    def piece(self, index: int, start: int, length: int) -> Bytes | None:
        """Bytes of a block that was wanted; None if it is a hole. Raises OSError, ChunkLost and
        what a store raises: a block that could not be kept may have to be fetched once more."""
        try:
            return self._piece(index, start, length, self._in_file)
        except NotAtHand:
            digest = self._run(index)[0]
            return None if digest == HOLE else self._block(digest)[start : start + length]

    def piece_at_hand(self, index: int, start: int, length: int) -> Bytes | None:
        """As `piece`, but of what is in memory: neither a store nor the host's disk is waited for.
        Raises OSError, NotAtHand."""
        return self._piece(index, start, length, self._in_memory)

    def _in_file(self, offset: int, length: int) -> Bytes:
        mapped, is_durable = self.kept.mapped, self.states[offset // BLOCK_BYTES] == State.DURABLE
        if is_durable and mapped is not None and offset + length <= len(mapped):
            return mapped[offset : offset + length]
        return self.kept.read(offset, length)

    def _in_memory(self, offset: int, length: int) -> bytes:
        data = self.kept.read_at_once(offset, length)
        if data is None:
            raise NotAtHand
        return data

    def _piece(
        self, index: int, start: int, length: int, read: Callable[[int, int], Bytes]
    ) -> Bytes | None:
        block = None
        if self.states[index] == State.ABSENT:
            with self._lock:
                block = self._unkept.get(index)
        if block is not None:
            return block[start : start + length]
        match self.states[index]:  # it may have been kept since
            case State.ABSENT:
                raise NotAtHand
            case State.HOLE:
                return None
            case _:
                return read(index * BLOCK_BYTES + start, length)

    def run(self, index: int) -> tuple[bool, int]:
        """Whether there is data, and where that changes, at the earliest. Raises as `piece`."""
        if self.kept.complete:
            return self.kept.run(index)
        digest, end = self._run(index)
        return digest != HOLE, end

    def fetch(self, index: int) -> int:
        """Bring a claimed block here and tell those who wait; how many bytes the store gave.

        They are told before it is kept, for which they need not wait: it was verified.
        """
        if not self.enter():
            self._tell(index, well=False)
            return 0
        block = None
        with self._lock:
            self._fetching[index] = time.monotonic()
        try:
            try:
                block = self._brought(index)
            finally:
                self._tell(index, well=block is not None)
            if block:
                self._keep(index, block)
        finally:
            with self._lock:
                self._fetching.pop(index, None)  # another fetches it, if it was soon evicted
            self.leave()
        return len(block or b"")

    def next_wanted(self) -> int | None:
        """Claims a block that nobody waits for: `fetch` has to follow. None if there is none now:
        all are here, under way, or have failed a moment ago, or there is no room for them."""
        now = time.monotonic()
        with self._lock:
            if now < self._full_until:
                return None
            for early in (self._hints, self._first):
                while early:
                    index = early.popleft()
                    if self._claim(index, now):
                        return index
            while (index := self.states.find(State.ABSENT, self._position)) >= 0:
                self._position = index + 1
                if self._claim(index, now):
                    return index
            self._position = 0
        return None

    def checkpoint(self) -> None:
        """Make durable what is here. Called from time to time."""
        try:
            self.kept.checkpoint()
        except OSError as failed:
            self._tell_host(f"{self.kept.path} cannot be synced: {failed}")
        self.kept.let_go_of_pages()
        if self.recording is not None and (self.recording.is_done() or self.kept.complete):
            with self._lock:
                recording, self.recording = self.recording, None
            self._save(recording)  # readers need not wait for it

    def finish(self) -> bool:
        """Whether the disk is the host's base now."""
        try:
            return self.kept.finish()
        except OSError as failed:
            self._tell_host(f"{self.kept.path} cannot be made: {failed}")
            return False

    def _claim(self, index: int, now: float) -> bool:
        """Whether nobody has it and nobody fetches it; then we do. The lock is held."""
        there = self.states[index] != State.ABSENT or index in self._waiting
        if there or index in self._fetching or self._failed.get(index, 0.0) > now:
            return False
        self._waiting[index] = []
        return True

    def _is_here(self, index: int) -> bool:
        return self.states[index] != State.ABSENT or index in self._unkept

    def _brought(self, index: int) -> bytes | None:
        """What is to be kept of it, and can be read already; None if it could not be had."""
        try:
            block = self._bring(index)
        except Exception as failed:  # noqa: BLE001, whatever a store meets is its reader's EIO
            self._failure(index, failed)
            return None
        with self._lock:
            if block:
                self._unkept[index] = block
            if self._failed.pop(index, None) is not None:
                _log.info("block %s of %s is here after all", index, self.root.to_text())
        return block

    def _bring(self, index: int) -> bytes:
        if self.kept.complete:
            is_data, end = self.kept.run(index)
            if is_data:
                self.kept.know_data(index)
            else:
                self.kept.keep_hole(index, end)
            return b""
        with self._lock:
            block = self._unkept.get(index)  # there may be room by now
        if block is not None:
            return block
        digest, end = self._run(index)
        if digest == HOLE:
            self.kept.keep_hole(index, end)
            return b""
        return self._block(digest)

    def _keep(self, index: int, block: bytes) -> None:
        try:
            self.kept.keep(index, block)
        except (StoreFull, KeptElsewhere, OSError) as failed:
            self._tell_host(f"blocks cannot be kept: {failed}")
            with self._lock:
                self._full_until = time.monotonic() + FULL_RETRY_S
                self._unkept[index] = block
                self._unkept.move_to_end(index)
                while len(self._unkept) > UNKEPT_MAX:
                    self._unkept.popitem(last=False)
        else:
            with self._lock:
                self._unkept.pop(index, None)
            self._tell_host("")

    def _run(self, index: int) -> tuple[Digest, int]:
        with self._reading_manifest:
            return self._from_any(lambda source: source.manifests.run(self.root, index))

    def _block(self, digest: Digest) -> bytes:
        block = self._from_any(lambda source: source.store.get(digest))
        if len(block) != BLOCK_BYTES:
            raise ChunkCorrupt(digest, reason=f"has {len(block)} bytes")
        return block

    def _from_any(self, ask: Callable[[Source], T]) -> T:
        """What the first store says that has it."""
        *others, last = self._sources
        for source in others:
            try:
                return ask(source)
            except ChunkLost:
                continue
        return ask(last)

    def _failure(self, index: int, failed: Exception) -> None:
        with self._lock:
            if len(self._failed) >= _FAILURES_MAX:
                self._failed.clear()
            is_news = index not in self._failed
            self._failed[index] = time.monotonic() + RETRY_S
            self._trouble_of_block = f"block {index}: {failed or type(failed).__name__}"
        if is_news:
            _log.warning("%s: %s", self.root.to_text(), self._trouble_of_block)

    def _tell_host(self, trouble: str) -> None:
        with self._lock:
            is_news, self._trouble_of_host = self._trouble_of_host != trouble, trouble
        if is_news:
            _log.warning("%s: %s", self.root.to_text(), trouble or "it goes on")

    def _tell(self, index: int, *, well: bool) -> None:
        with self._lock:
            told = [each.one_came(well=well) for each in self._waiting.pop(index, ())]
        for answer in filter(None, told):
            answer()

    def _save(self, recording: Recording | None) -> None:
        if recording is None or not recording.is_news():
            return
        try:
            self._profiles.save(self.root, recording.order())
        except OSError as failed:
            _log.warning("the boot profile of %s is not kept: %s", self.root.to_text(), failed)
