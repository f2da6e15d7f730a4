"""What is answered to a request, as bytes in the protocol's order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from openami.domain.block import BLOCK_BYTES
from openami.nbd import wire
from openami.nbd.disk import Bytes, Disk, NotAtHand
from openami.nbd.kept import State
from openami.nbd.wire import Command, CommandFlag, Extent, Request

HOT_MAX: Final = 256
"""Requests that are answered with one system call, of two buffers each: it takes 1024."""
_ZERO: Final = memoryview(bytes(BLOCK_BYTES))
_READ: Final = Command.READ.value
_HOLE: Final = State.HOLE.value
_TO_STAY: Final = (State.DURABLE.value, State.HOLE.value)


class Unreadable(Exception):
    """Bytes of the disk cannot be had. Its cause is why."""


def blocks_of(request: Request) -> tuple[int, int]:
    """The first and the last that it touches."""
    return request.offset // BLOCK_BYTES, (request.end - 1) // BLOCK_BYTES


def is_whole(request: Request, structured: bool) -> bool:
    """Whether what has been begun as an answer to a READ cannot become a refusal."""
    return not structured or bool(request.flags & CommandFlag.DF)


def read_parts(
    request: Request, structured: bool, piece_of: Callable[[int, int, int], Bytes | None]
) -> Iterator[Bytes]:
    """The answer to a READ, of what `piece_of` says as `Disk.piece` does. Raises Unreadable, and
    NotAtHand if that does."""
    whole, cookie = is_whole(request, structured), request.cookie
    if not structured:
        yield wire.simple(cookie)
    elif whole:
        yield wire.data_header(cookie, request.offset, request.length, last=True)
    offset = request.offset
    while offset < request.end:
        index, start = divmod(offset, BLOCK_BYTES)
        length = min(BLOCK_BYTES - start, request.end - offset)
        try:
            piece = piece_of(index, start, length)
        except NotAtHand:
            raise
        except Exception as wrong:
            raise Unreadable(f"block {index}") from wrong
        last = offset + length == request.end
        if whole:
            yield _ZERO[:length] if piece is None else piece
        elif piece is None:
            yield wire.hole(cookie, offset, length, last=last)
        else:
            yield wire.data_header(cookie, offset, length, last=last)
            yield piece
        offset += length


def hot_answers(
    data: bytes, position: int, disk: Disk, structured: bool
) -> tuple[list[Bytes], int]:
    """The answers to the requests from `position` on, and where the first is that is none of those:
    plain READs within one block that is here to stay. They are sent as one.

    These come by the hundred thousand, and so in one loop: nothing is read, nothing is locked.
    """
    found: list[Bytes] = []
    mapped, states, recording = disk.kept.mapped, disk.states, disk.recording
    if mapped is None:
        return found, position
    size_bytes, size = min(len(mapped), disk.root.size_bytes), wire.REQUEST.size
    end = position + min((len(data) - position) // size, HOT_MAX) * size
    requests = wire.REQUEST.iter_unpack(memoryview(data)[position:end])
    for magic, flags, command, cookie, offset, length in requests:
        index: int = offset // BLOCK_BYTES
        until: int = offset + length
        is_plain = magic == wire.REQUEST_MAGIC and not flags and command == _READ
        is_there = offset < until <= size_bytes and until <= (index + 1) * BLOCK_BYTES
        if not (is_plain and is_there and states[index] in _TO_STAY):
            break
        is_hole = states[index] == _HOLE
        if recording is not None:
            recording.note(index, index)
        if structured and is_hole:
            found.append(wire.hole(cookie, offset, length, last=True))
        else:
            found.append(
                wire.data_header(cookie, offset, length, last=True)
                if structured
                else wire.simple(cookie)
            )
            found.append(_ZERO[:length] if is_hole else mapped[offset:until])
        position += size
    return found, position


def extents_of(
    run: Callable[[int], tuple[bool, int]], offset: int, end: int, extents_max: int
) -> Sequence[Extent]:
    """What is data and what is a hole from `offset` on: at least one extent, of `end` at most."""
    found: list[Extent] = []
    while offset < end:
        is_data, until = run(offset // BLOCK_BYTES)
        length = min(until * BLOCK_BYTES, end) - offset
        if found and found[-1].is_hole != is_data:
            found[-1] = Extent(length=found[-1].length + length, is_hole=not is_data)
        elif len(found) == extents_max:
            break
        else:
            found.append(Extent(length=length, is_hole=not is_data))
        offset += length
    return found
