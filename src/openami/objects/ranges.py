"""An object as an open file, of which only what is read is fetched: to look at heads and tails."""

import io
from typing import TYPE_CHECKING, BinaryIO, Final

from openami.objects.store import ObjectInfo, Reader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_AT_ONCE_BYTES: Final = 64 << 10


def as_file(store: Reader, bucket: str, key: str, info: ObjectInfo) -> BinaryIO:
    """Its `read` raises as `ObjectStore.read`."""
    return io.BufferedReader(_Ranges(store, bucket, key, info), _AT_ONCE_BYTES)


class _Ranges(io.RawIOBase):
    def __init__(self, store: Reader, bucket: str, key: str, info: ObjectInfo) -> None:
        self._store, self._place, self._info = store, (bucket, key), info
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size_bytes}
        self._at = max(0, origin[whence] + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        with memoryview(buffer) as target:
            length = max(0, min(len(target), self._info.size_bytes - self._at))
            if length:
                data = self._store.read(*self._place, self._info.etag, self._at, length)
                target[:length] = data
        self._at += length
        return length
