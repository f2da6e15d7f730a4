"""Ask the server of this state directory for a verb; be that server where none runs."""

import json
import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from openami.app import App, StateDirectoryBusy
from openami.blockstore.ownership import ForeignStore
from openami.cli.failed import CommandFailed
from openami.server import admin
from openami.settings import Settings


@contextmanager
def call(settings: Settings, request: Mapping[str, Any]) -> Generator[Mapping[str, Any]]:
    """The verb's answer; while the block runs, somebody works on what it began.

    Raises CommandFailed with the refusal's sentence.
    """
    try:
        app = App(settings)
    except StateDirectoryBusy:
        yield _unrefused(_ask(settings, request))
        return
    except ForeignStore as foreign:
        raise CommandFailed(str(foreign)) from foreign
    try:
        app.start()
        yield _unrefused(admin.perform(app.services, request))
    finally:
        app.close()


def _ask(settings: Settings, request: Mapping[str, Any]) -> Mapping[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(settings.state_dir / "admin.sock"))
        except OSError as failed:
            raise CommandFailed(
                f"a server holds {settings.state_dir} but does not listen: {failed.strerror}"
            ) from failed
        with connection.makefile("rwb") as stream:
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            line = stream.readline()
    if not line:
        raise CommandFailed("the server went away without an answer; see its log")
    return json.loads(line)


def _unrefused(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if "error" in answer:
        raise CommandFailed(str(answer["message"]))
    return answer
