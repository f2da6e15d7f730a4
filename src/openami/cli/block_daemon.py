"""openami block-daemon: serve disks that are not here yet; `openami serve` starts it by itself."""

import argparse
import logging
import os
import sys

from openami.cli.command import open_catalog, say
from openami.cli.failed import CommandFailed
from openami.nbd import process
from openami.nbd.client import Daemon, DaemonAway
from openami.nbd.daemon import AnotherServes, opened, run
from openami.settings import Settings
from openami.workflows import region_stores


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs in the foreground until SIGTERM. Machines wait for it and do not end:"
        " the next one serves what this one did."
    )
    does = parser.add_mutually_exclusive_group()
    does.add_argument(
        "--status", action="store_true", help="print what the one that runs serves; 1 if none does"
    )
    does.add_argument("--stop", action="store_true", help="end the one that runs; 1 if none does")
    parser.set_defaults(run=perform)


def perform(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.status:
        return _status(settings)
    if arguments.stop:
        return 0 if process.stop(settings) else 1
    return _serve(settings)


def _status(settings: Settings) -> int:
    if not process.is_running(settings):
        print("no block daemon runs")
        return 1
    daemon = Daemon(process.directory_of(settings))
    try:
        exports = daemon.exports()
        for name, export in sorted(exports.items()):
            told = daemon.hydration(export.region, export.root)
            trouble = f"; {told.trouble}" if told.trouble else ""
            print(f"{name}: {told.blocks_here} of {told.blocks} blocks are here{trouble}")
    except DaemonAway as away:
        raise CommandFailed(str(away)) from away
    print(f"{len(exports)} disks are served")
    return 0


def _serve(settings: Settings) -> int:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    catalog = open_catalog(settings)
    places = region_stores.places(settings, catalog)
    catalog.close()
    os.umask(0o077)
    host, mark = process.host_of(settings), process.mark_of(settings, places)
    try:
        run(
            host,
            opened(places),
            lambda: process.note(host.directory, mark),
            lambda: say(f"the block daemon serves from {host.directory}"),
        )
    except AnotherServes as refused:
        raise CommandFailed(str(refused)) from refused
    logging.shutdown()
    # Not a return: a fetch out of a store that does not answer may still be under way.
    os._exit(0)
