"""What the verbs share: how one fails, how one opens the catalog, how one shows progress."""

import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from openami.blockstore.cache import BaseCache
from openami.blockstore.ownership import ForeignStore
from openami.blockstore.tiered import TieredStore
from openami.blockstore.volumes import VolumeHost
from openami.catalog import migrate
from openami.catalog.catalog import Catalog
from openami.cli.failed import CommandFailed
from openami.domain.ids import Region
from openami.settings import Settings
from openami.workflows import region_stores


def open_catalog(settings: Settings) -> Catalog:
    """The catalog of the state directory. Raises CommandFailed if `openami init` never ran."""
    catalog = catalog_as_it_is(settings)
    migrate.upgrade(catalog)
    return catalog


def catalog_as_it_is(settings: Settings) -> Catalog:
    """The same without bringing its schema up to date."""
    file = settings.state_dir / "catalog.sqlite"
    if not file.exists():
        raise CommandFailed(
            f"{settings.state_dir} is not a state directory yet: run 'openami init' first"
        )
    _require_sound(file, "Bring back a backup of it (docs/storage.md, recovery)")
    return Catalog.open(file)


def require_sound_jobs(settings: Settings) -> None:
    """Raises CommandFailed where the record of the jobs is damaged: nobody else would say how to
    go on without it."""
    file = settings.state_dir / "jobs.sqlite"
    if file.exists():
        advice = "Move it away, and its -wal and -shm: what was on its way is begun anew"
        _require_sound(file, advice)


def _require_sound(database: Path, advice: str) -> None:
    """As far as its first pages tell."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as wrong:
        raise CommandFailed(f"{database} cannot be read: {wrong}. {advice}") from wrong


def open_stores(settings: Settings, catalog: Catalog) -> Mapping[Region, TieredStore]:
    """The regions' stores with their archives. Raises CommandFailed for those of others."""
    try:
        return region_stores.opened(settings, catalog)
    except ForeignStore as foreign:
        raise CommandFailed(str(foreign)) from foreign


def volume_host(settings: Settings) -> VolumeHost:
    """The volumes on this host, to see what they lie on."""
    return VolumeHost(settings.state_dir / "volumes", BaseCache(settings.state_dir / "cache"), {})


def progress_to_stderr(what: str) -> Callable[[int, int], None]:
    """A callback (done, total) that keeps one line of a terminal up to date."""
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 if total == 0 else done * 100 // total
        if percent == shown or not sys.stderr.isatty():
            return
        shown = percent
        end = "\n" if percent == 100 else ""
        print(f"\r{what}: {percent:3d} %", end=end, file=sys.stderr, flush=True)

    return show


def say(text: str) -> None:
    """One line for the person who waits, apart from the verb's output."""
    print(text, file=sys.stderr, flush=True)
