"""openami store: is every byte there, and hand one disk out as a file."""

import argparse
from pathlib import Path

from openami.actions import collection
from openami.blockstore import restore
from openami.blockstore.store import ChunkLost
from openami.catalog import snapshots
from openami.cli import store_du, store_verify
from openami.cli.command import open_catalog, open_stores, progress_to_stderr
from openami.cli.failed import CommandFailed
from openami.cli.operator_call import call
from openami.domain.errors import EC2Error
from openami.domain.ids import parse_snapshot_id
from openami.domain.manifest import Root
from openami.settings import Settings


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser(
        "verify", help="read every chunk that a snapshot or volume relies on; 1 if one is lost"
    )
    check.add_argument(
        "--repair",
        action="store_true",
        help="bring what is lost back from another region's store or the host's cache",
    )
    check.set_defaults(run=store_verify.run)
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
    settled = actions.add_parser(
        "settle",
        help="say that no other catalog relies on the stores, after a backup was restored or a copy"
        " of this server is gone: they are collected again",
    )
    settled.set_defaults(run=run_settle)
    usage = actions.add_parser(
        "du", help="whose bytes they are, and what deleting images and snapshots would free"
    )
    usage.add_argument("ids", nargs="*", metavar="ID", help="images and snapshots that would go")
    usage.set_defaults(run=store_du.run)
    export = actions.add_parser("export", help="write a snapshot to a sparse raw disk file")
    export.add_argument("snapshot_id")
    export.add_argument("file", type=Path)
    export.set_defaults(run=run_export)


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
            if "held_up" in each:
                print(f"{each['region']}: nothing goes: {each['held_up']}")
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


def run_settle(settings: Settings, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    with call(settings, {"verb": "settle"}) as answer:
        print(f"{', '.join(answer['regions'])}: nobody else's, and collected again")
    return 0


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
