"""How the record of jobs is kept in a SQLite file: docs/adr/0002-durable-workflows-on-dbos.md."""

import sqlite3
from pathlib import Path
from typing import Any


class QuickConnection(sqlite3.Connection):
    """No fsync per commit: SIGKILL loses nothing, a power cut the last moments.

    Losing those is harmless: steps run again, and pending rows without a job get one.
    https://www.sqlite.org/pragma.html#pragma_synchronous
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.execute("PRAGMA synchronous=NORMAL").close()


def make_wal(database: Path) -> None:
    """The journal mode is kept in the file: readers no longer wait for the writer."""
    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA journal_mode=WAL").close()
    finally:
        connection.close()
