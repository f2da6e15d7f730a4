"""openami store: is every byte there, and hand one disk out as a file."""

import argparse
from pathlib import Path
from typing import Any

from openami.blockstore import restore, verify
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.store import ChunkLost
from openami.catalog import snapshots, volumes
from openami.catalog.catalog import Catalog
from openami.cli.command import CommandFailed, open_catalog, progress_to_stderr
from openami.domain.errors import EC2Error
from openami.domain.ids import parse_snapshot_id
from openami.domain.manifest import Root
from openami.settings import Settings


def add_to(verbs: Any) -> None:
    parser = verbs.add_parser("store", help="verify the stored bytes, export a snapshot")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser(
        "verify", help="read every chunk that a snapshot or volume relies on; 1 if one is lost"
    )
    check.set_defaults(run=run_verify)
    export = actions.add_parser("export", help="write a snapshot to a sparse raw disk file")
    export.add_argument("snapshot_id")
    export.add_argument("file", type=Path)
    export.set_defaults(run=run_export)


def run_verify(settings: Settings, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Say what was read and what is wrong with it; 1 if anything is."""
    store = _store(settings)
    report = verify.verify(store, roots(open_catalog(settings)), progress_to_stderr("verifying"))
    for verdict, found in (("missing", report.missing), ("corrupt", report.corrupt)):
        for kind, digest in found:
            print(f"{verdict} {kind} {digest.hex()}")
    spare = sum(store.stored_bytes(digest, kind) for kind, digest in report.orphans)
    print(
        f"{report.chunks} chunks and {report.pages} manifest pages verified,"
        f" {len(report.missing)} missing, {len(report.corrupt)} corrupt;"
        f" {len(report.orphans)} objects ({spare} bytes) belong to no snapshot or volume"
    )
    return 0 if report.intact else 1


def run_export(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the snapshot's disk; every block is verified on the way."""
    catalog = open_catalog(settings)
    try:
        with catalog.read() as tx:
            snapshot = snapshots.fetch_any(tx, parse_snapshot_id(arguments.snapshot_id))
    except EC2Error as refused:
        raise CommandFailed(str(refused)) from refused
    if snapshot is None:
        raise CommandFailed(f"there is no snapshot {arguments.snapshot_id}")
    if snapshot.root is None:
        raise CommandFailed(f"{snapshot.id} is {snapshot.state}: it has no content to export")
    if arguments.file.exists():
        raise CommandFailed(f"{arguments.file} exists; name a file that does not")
    try:
        restore.restore(
            _store(settings),
            Root.from_text(snapshot.root),
            arguments.file,
            progress=progress_to_stderr("writing"),
        )
    except (ChunkLost, OSError) as failed:
        raise CommandFailed(f"cannot export {snapshot.id}: {failed}") from failed
    return 0


def roots(catalog: Catalog) -> set[Root]:
    """Everything that must be readable: the snapshots' disks, and the volumes' bases."""
    with catalog.read() as tx:
        texts = {*snapshots.all_roots(tx), *volumes.all_roots(tx)}
    return {Root.from_text(text) for text in texts}


def _store(settings: Settings) -> LocalDirChunkStore:
    return LocalDirChunkStore(settings.state_dir / "chunks")
