"""What is answered to a request, as bytes in the protocol's order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from openami.domain.block import BLOCK_BYTES
from openami.nbd import wire
from openami.nbd.disk import NotAtHand
from openami.nbd.wire import CommandFlag, Extent, Request

_ZERO: Final = bytes(BLOCK_BYTES)


class Unreadable(Exception):
    """Bytes of the disk cannot be had. Its cause is why."""


def blocks_of(request: Request) -> tuple[int, int]:
    """The first and the last that it touches."""
    return request.offset // BLOCK_BYTES, (request.end - 1) // BLOCK_BYTES


def is_whole(request: Request, structured: bool) -> bool:
    """Whether what has been begun as an answer to a READ cannot become a refusal."""
    return not structured or bool(request.flags & CommandFlag.DF)


def read_parts(
    request: Request, structured: bool, piece_of: Callable[[int, int, int], bytes | None]
) -> Iterator[bytes]:
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
