"""A sparse file's copy that shares its extents or, where it cannot, leaves the page cache alone."""

import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

from openami.blockstore.disk_sync import copy_pages, past_the_page_cache, write_all
from openami.blockstore.ingest import SourceChanged, data_ranges
from openami.blockstore.parallel import for_each
from openami.diskimage.reading import ReadOnce
from openami.domain.block import BLOCK_BYTES

_FICLONE: Final = 0x40049409  # linux/fs.h: share the other file's extents
_CANNOT_CLONE: Final = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS)
_THREADS: Final = 4  # each has one write under way, which keeps a disk busy


def copy_file(source: Path, target: Path, needs: Callable[[int], None]) -> None:
    """Make `target` of what `source` holds; syncing it is the caller's.

    `needs` is told how many bytes it takes before it takes them, and may refuse. Raises
    FileExistsError, OSError, SourceChanged.
    """
    # Readable, too: the C library reads where a filesystem cannot allocate and it writes instead.
    with source.open("rb") as reader, target.open("x+b") as writer:
        size_bytes = os.fstat(reader.fileno()).st_size
        os.ftruncate(writer.fileno(), size_bytes)
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError as error:
            if error.errno not in _CANNOT_CLONE:
                raise
            spans = list(data_ranges(reader.fileno(), size_bytes))
            needs(sum(map(len, spans)) * BLOCK_BYTES)
            _copy_spans(reader.fileno(), writer.fileno(), spans, size_bytes)


def _copy_spans(source: int, target: int, spans: Sequence[range], size_bytes: int) -> None:
    whole_bytes = size_bytes // PAGESIZE * PAGESIZE

    def copy(index: int) -> None:
        start = index * BLOCK_BYTES
        length = min(BLOCK_BYTES, whole_bytes - start)
        if copy_pages(once, target, start, length) < length:
            raise SourceChanged(f"the file has less than {size_bytes} bytes now")

    for span in spans:  # writers of what is allocated do not wait for each other
        start, end = span.start * BLOCK_BYTES, min(span.stop * BLOCK_BYTES, size_bytes)
        os.posix_fallocate(target, start, end - start)
    with ReadOnce(source) as once, past_the_page_cache(target):
        for_each((index for span in spans for index in span), copy, _THREADS)
    os.lseek(target, whole_bytes, os.SEEK_SET)
    write_all(target, os.pread(source, PAGESIZE, whole_bytes))
