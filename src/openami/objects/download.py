"""An object as a file: what imports and restores read, never in memory as a whole."""

import os
from collections.abc import Callable
from pathlib import Path

from openami.objects.store import ObjectInfo, Reader, stream


def download(
    store: Reader,
    bucket: str,
    key: str,
    info: ObjectInfo,
    target: Path,
    progress: Callable[[int, int], None],
) -> None:
    """Write the object to `target`, which is whole and durable or not there.

    `progress` is told (done_bytes, total_bytes) before each part; what it raises ends the work.
    Raises as `ObjectStore.read`, and OSError.
    """
    draft = target.with_name(f".{target.name}")
    done_bytes = 0
    with draft.open("wb") as file:
        for part in stream(store, bucket, key, info):
            progress(done_bytes, info.size_bytes)
            file.write(part)
            done_bytes += len(part)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(target)
