"""The catalog: the one database, and the only way to open a transaction on it."""

from collections.abc import Callable, Generator, Hashable
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from openami.catalog.memory import Memory
from openami.catalog.schema import metadata
from openami.domain.errors import DryRunOperation

Transaction = Connection

BUSY_TIMEOUT_MS = 30_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Catalog:
    """Opens transactions: `begin` to write, `read` to look.

    Nothing but SQL belongs inside one. Bytes, processes and the network are slow, and a
    lock that waits for them stops every other request.
    """

    def __init__(
        self, engine: Engine, memory: Memory | None = None, *, dry_run: bool = False
    ) -> None:
        self._engine = engine
        self._memory = memory
        self._writer = engine.execution_options(openami_writes=True)
        self._dry_run = dry_run

    @classmethod
    def in_memory(cls) -> "Catalog":
        """An empty one, as a copy: to make each table and compile each statement takes long."""
        like, empty = _empty()
        engine = Engine(
            like.pool.recreate(),
            like.dialect,
            like.url,
            execution_options=like.get_execution_options(),
        )
        event.listen(engine, "begin", _begun)
        with closing(engine.raw_connection()) as made:
            empty.backup(made.driver_connection)
        return cls(engine)

    @classmethod
    def open(cls, url_or_file: str | Path) -> "Catalog":
        """The catalog in a SQLite file, or at a SQLAlchemy URL; its schema must be current."""
        if isinstance(url_or_file, Path):
            engine = create_engine(f"sqlite:///{url_or_file}", pool_size=40, max_overflow=20)
            _prepare_sqlite(engine)
            return cls(engine, Memory(url_or_file, BUSY_TIMEOUT_MS / 1000))
        return cls(create_engine(url_or_file, pool_size=40, max_overflow=20))

    @property
    def engine(self) -> Engine:
        """For migrations, and for nothing else."""
        return self._engine

    @contextmanager
    def begin(self) -> Generator[Transaction]:
        """One writing transaction: committed when the block ends, rolled back if it raises."""
        with self._writer.begin() as tx:
            yield tx
            if self._dry_run:
                raise DryRunOperation

    @contextmanager
    def read(self) -> Generator[Transaction]:
        """One reading transaction: all that it sees is of one moment."""
        with self._engine.connect() as tx, tx.begin():
            yield tx

    def recall(self, read: Callable[[Transaction, K], V | None], key: K) -> V | None:
        """What `read` finds for `key` now, often without asking: it is remembered while it holds.

        For what nearly every request needs and hardly anybody changes. None is not remembered:
        there is no end of what does not exist.
        """
        known = {} if self._memory is None else self._memory.now()
        question = (read, key)
        if question in known:
            return known[question]
        with self.read() as tx:
            found = read(tx, key)
        if found is not None:
            known[question] = found
        return found

    def dry_run(self) -> "Catalog":
        """The same catalog, on which the first write that would succeed says so and is undone."""
        return Catalog(self._engine, self._memory, dry_run=True)

    def close(self) -> None:
        if self._memory is not None:
            self._memory.close()
        self._engine.dispose()


@cache
def _empty() -> tuple[Engine, Any]:
    """An engine whose one database has all tables and no rows, and SQLite's connection to it."""
    engine = create_engine(
        "sqlite://",
        poolclass=StaticPool,
        connect_args={"check_same_thread": False},
        execution_options={"compiled_cache": {}},
    )
    _prepare_sqlite(engine)
    metadata.create_all(engine)
    with closing(engine.raw_connection()) as made:
        return engine, made.driver_connection


def _prepare_sqlite(engine: Engine) -> None:
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: sqlite3 would say it too late
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            # A commit that was told must survive a power cut: snapshots rely on it.
            "synchronous=FULL",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
            "case_sensitive_like=ON",  # EC2's filters heed case
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", _begun)


def _begun(connection: Connection) -> None:
    # A reader that turns writer may find that it read the past; so writers say so first.
    writes = connection.get_execution_options().get("openami_writes", False)
    sqlite: Any = connection.connection.driver_connection  # past SQLAlchemy, at a tenth of the cost
    sqlite.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
