"""openami store: is every byte there, and hand one disk out as a file."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openami.actions import collection
from openami.blockstore import restore, verify
from openami.blockstore.store import ChunkLost, ChunkStore, Kind
from openami.catalog import snapshots
from openami.cli import store_du
from openami.cli.command import (
    CommandFailed,
    open_catalog,
    open_stores,
    progress_to_stderr,
    volume_host,
)
from openami.cli.operator_call import call
from openami.domain.block import Digest
from openami.domain.errors import EC2Error
from openami.domain.ids import Region, parse_snapshot_id
from openami.domain.manifest import Root
from openami.settings import Settings
from openami.workflows import region_stores


def add_to(verbs: Any) -> None:
    parser = verbs.add_parser(
        "store",
        help="verify the stored bytes, tell whose they are, free those that nobody needs, export",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser(
        "verify", help="read every chunk that a snapshot or volume relies on; 1 if one is lost"
    )
    check.set_defaults(run=run_verify)
    collect = actions.add_parser(
        "gc", help="delete what no snapshot and no volume relies on, now and beside all else"
    )
    collect.add_argument(
        "--wait",
        type=float,
        default=collection.WAIT_S,
        metavar="SECONDS",
        help="how long to wait for snapshots that are being made (default: %(default)s)",
    )
    collect.set_defaults(run=run_gc)
    usage = actions.add_parser(
        "du", help="whose bytes they are, and what deleting images and snapshots would free"
    )
    usage.add_argument("ids", nargs="*", metavar="ID", help="images and snapshots that would go")
    usage.set_defaults(run=store_du.run)
    export = actions.add_parser("export", help="write a snapshot to a sparse raw disk file")
    export.add_argument("snapshot_id")
    export.add_argument("file", type=Path)
    export.set_defaults(run=run_export)


def run_verify(settings: Settings, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Say what was read and what is wrong with it; 1 if anything is."""
    catalog = open_catalog(settings)
    host = volume_host(settings)
    whole = [
        _verified(
            *(region, store),
            lambda region=region, store=store: region_stores.relied_on(
                catalog, host, region, store
            ),
        )
        for region, store in open_stores(settings, catalog).items()
    ]
    return 0 if all(whole) else 1


def _verified(region: Region, store: ChunkStore, relied_on: Callable[[], set[Root]]) -> bool:
    report = verify.verify(store, relied_on(), progress_to_stderr(f"verifying {region}"))
    report = verify.still_lost(store, report, relied_on)
    for verdict, found in (("missing", report.missing), ("corrupt", report.corrupt)):
        for kind, digest in found:
            print(f"{region}: {verdict} {kind} {digest.hex()}")
    spare = sum(_stored_bytes(store, digest, kind) for kind, digest in report.orphans)
    print(
        f"{region}: {report.chunks} chunks and {report.pages} manifest pages verified,"
        f" {len(report.missing)} missing, {len(report.corrupt)} corrupt;"
        f" {len(report.orphans)} objects ({spare} bytes) belong to no snapshot or volume"
    )
    return report.intact


def _stored_bytes(store: ChunkStore, digest: Digest, kind: Kind) -> int:
    try:
        return store.stored_bytes(digest, kind)
    except ChunkLost:
        return 0  # a server has collected it meanwhile


def run_gc(settings: Settings, arguments: argparse.Namespace) -> int:
    """Say what became free; 1 if the round has to wait for something still."""
    with call(settings, {"verb": "collect", "wait_s": arguments.wait}) as answer:
        for each in answer["regions"]:
            if "not_whole" in each:
                print(
                    f"{each['region']}: nothing goes while a disk is not whole:"
                    f" {each['not_whole']}; see 'openami store verify'"
                )
                continue
            if "away" in each:
                print(
                    f"{each['region']}: the store is away, its round goes on later: {each['away']}"
                )
                continue
            print(
                f"{each['region']}: {each['freed_objects']} objects ({each['freed_bytes']} bytes)"
                " are gone"
            )
            for resource_id in each["waits_for"]:
                print(f"{each['region']}: the rest waits until {resource_id} is there")
        return 1 if any(each.get("waits_for", ["?"]) for each in answer["regions"]) else 0


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
            open_stores(settings, catalog)[snapshot.region],
            Root.from_text(snapshot.root),
            arguments.file,
            progress=progress_to_stderr("writing"),
        )
    except (ChunkLost, OSError) as failed:
        raise CommandFailed(f"cannot export {snapshot.id}: {failed}") from failed
    return 0
