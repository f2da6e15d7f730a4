"""What docs/storage.md tells an operator to do when something is lost, as far as it needs no host.

The drills themselves are run with the command; here is what each of them rests on.
"""

import argparse
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from openami.blockstore.ingest import ingest_file
from openami.blockstore.ownership import ForeignStore
from openami.blockstore.store import Kind
from openami.catalog import snapshots
from openami.catalog.catalog import Catalog
from openami.catalog.storage import losses
from openami.cli import init, store_verify
from openami.cli.command import open_catalog, require_sound_jobs
from openami.cli.failed import CommandFailed
from openami.domain.block import GIB
from openami.domain.ids import SnapshotId
from openami.services import Services
from openami.settings import Settings
from openami.workflows import collect, region_stores, tenure
from openami.workflows.tenure import Contested
from support.blocks import a_block, a_disk
from support.builders import HERE, SNAPSHOT, THERE, a_snapshot
from support.fakes import CountingIds, services

LATER = SnapshotId("snap-00000000000000002")
IDS = CountingIds()  # one for all: no epoch is written twice


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A state directory with one disk, which both regions have."""
    settings = Settings(state_dir=tmp_path / "state", compute_driver="record")
    disk = a_disk(tmp_path / "disk", {i: a_block(str(i)) for i in (0, 7, 300)}, GIB)
    with closing(init.make_state_directory(settings)) as catalog:
        stores = region_stores.ready(settings, catalog, IDS)
        (root,) = {ingest_file(store, disk) for store in stores.values()}
        with catalog.begin() as tx:
            snapshots.add(tx, a_snapshot(root=root.to_text()))
        started(settings, catalog)
    return settings


def started(settings: Settings, catalog: Catalog) -> Services:
    """A server on these stores, which has written its epoch where it may."""
    stores = region_stores.ready(settings, catalog, IDS)
    claims = region_stores.claims(settings, catalog, IDS)

    def here(svc: Services) -> Services:
        return replace(svc, catalog=catalog, stores=stores, claims=claims, ids=IDS)

    svc = services(settings.state_dir, disturbed=here)
    for region in (HERE, THERE):
        tenure.begin(svc, region)
    return svc


def collects_once_it_is_settled(settings: Settings, catalog: Catalog, garbage: Path) -> None:
    """The store has another epoch than the catalog: first an operator has to say that it is his."""
    svc = started(settings, catalog)
    root = ingest_file(svc.stores[HERE], a_disk(garbage, {9: a_block("garbage")}, GIB))
    with pytest.raises(Contested):
        collect.advance(svc, HERE)
    assert svc.stores[HERE].has(root.digest, Kind.PAGE)
    tenure.settle(svc, HERE)
    collect.advance(svc, HERE)
    assert not svc.stores[HERE].has(root.digest, Kind.PAGE)
    svc = started(settings, catalog)
    collect.advance(svc, HERE)


def verified(settings: Settings, *, repair: bool) -> int:
    return store_verify.run(settings, argparse.Namespace(repair=repair))


def test_a_store_that_is_lost_comes_back_from_another_region_s(
    settings: Settings, tmp_path: Path
) -> None:
    """Nobody works on it before the operator says, by its `owner`, that there is no other one."""
    state = settings.state_dir
    shutil.rmtree(state / "chunks")
    with closing(open_catalog(settings)) as catalog, pytest.raises(ForeignStore, match="Mount"):
        region_stores.ready(settings, catalog, IDS)
    with pytest.raises(CommandFailed, match="Mount"):
        verified(settings, repair=True)
    for part in ("owner", "archive/owner"):
        (state / "chunks" / part).parent.mkdir(exist_ok=True)
        text = (state / "regions" / THERE / "chunks" / part).read_text()
        (state / "chunks" / part).write_text(text.replace(THERE, HERE))
    assert verified(settings, repair=True) == 0
    with closing(open_catalog(settings)) as catalog:
        region_stores.ready(settings, catalog, IDS)
        with catalog.read() as tx:
            assert not losses.known(tx, HERE), "what is back is no loss any more"
        collects_once_it_is_settled(settings, catalog, tmp_path / "garbage")
    assert verified(settings, repair=False) == 0


def test_a_catalog_from_a_backup_has_all_that_it_had(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, backup = settings.state_dir / "catalog.sqlite", tmp_path / "backup.sqlite"
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    later = a_disk(tmp_path / "later", {5: a_block("later")}, GIB)
    with closing(open_catalog(settings)) as catalog:
        store = started(settings, catalog).stores[HERE]
        root = ingest_file(store, later)
        with catalog.begin() as tx:
            snapshots.add(tx, a_snapshot(id=LATER, root=root.to_text()))
    for each in settings.state_dir.glob("catalog.sqlite*"):
        each.unlink()
    shutil.copy(backup, file)
    assert verified(settings, repair=False) == 0
    assert "belong to no snapshot or volume" in capsys.readouterr().out
    with closing(open_catalog(settings)) as catalog, catalog.read() as tx:
        assert snapshots.fetch_any(tx, SNAPSHOT) is not None
        assert snapshots.fetch_any(tx, LATER) is None
    with closing(open_catalog(settings)) as catalog:
        collects_once_it_is_settled(settings, catalog, tmp_path / "garbage")
    assert verified(settings, repair=False) == 0


def test_a_damaged_catalog_is_told_with_what_to_do(settings: Settings) -> None:
    for each in settings.state_dir.glob("catalog.sqlite-*"):
        each.unlink()
    (settings.state_dir / "catalog.sqlite").write_bytes(b"rubbish" * 10_000)
    with pytest.raises(CommandFailed, match=r"catalog\.sqlite cannot be read: .* backup"):
        open_catalog(settings)


def test_a_damaged_record_of_the_jobs_is_told_with_what_to_do(settings: Settings) -> None:
    require_sound_jobs(settings)
    (settings.state_dir / "jobs.sqlite").write_bytes(b"rubbish" * 10_000)
    with pytest.raises(CommandFailed, match=r"jobs\.sqlite cannot be read: .* Move it away"):
        require_sound_jobs(settings)
