"""openami serve: answer the API until SIGTERM or Ctrl-C; machines outlive it."""

import argparse
import logging
import os
import sys
from dataclasses import replace
from typing import NoReturn

from openami.app import App, StateDirectoryBusy
from openami.blockstore.ownership import ForeignStore
from openami.cli.command import open_catalog, require_sound_jobs, say
from openami.cli.failed import CommandFailed
from openami.server import admin, serve
from openami.server.asgi import create_app
from openami.settings import Settings


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: the setting host)")
    parser.add_argument("--port", type=int, help="port to listen on (default: the setting port)")
    parser.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> NoReturn:
    """Serve until told to stop. Prints one line when requests are answered."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    open_catalog(settings).close()
    require_sound_jobs(settings)
    settings = _with_address(settings, arguments)
    try:
        app = App(settings)
    except (StateDirectoryBusy, ForeignStore) as refused:
        raise CommandFailed(str(refused)) from refused
    try:
        app.start()
        with admin.listening(app.services, settings.state_dir / "admin.sock"):
            serve.serve(
                create_app(app.services),
                settings,
                lambda: say(f"openami answers on http://{settings.host}:{settings.port}"),
            )
    finally:
        app.close()
        logging.shutdown()
    # Not a return: Python would wait for the thread of a step that waits for a guest.
    os._exit(0)


def _with_address(settings: Settings, arguments: argparse.Namespace) -> Settings:
    return replace(
        settings,
        host=arguments.host or settings.host,
        port=settings.port if arguments.port is None else arguments.port,
    )
