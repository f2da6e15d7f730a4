"""One openami operation in a process of its own, which tells how long the operation took."""

import json
import sys
import time
from pathlib import Path

from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.restore import restore
from openami.domain.manifest import Root


def main(what: str, store_directory: str, first: str, second: str = "") -> None:
    store = LocalDirChunkStore(Path(store_directory))
    started = time.perf_counter()
    if what == "ingest":
        root = ingest_file(store, Path(first))
    else:
        root = Root.from_text(first)
        restore(store, root, Path(second))
    print(json.dumps({"wall_s": time.perf_counter() - started, "root": root.to_text()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
