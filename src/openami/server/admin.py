"""The operator's door: a Unix socket in the state directory, for the verbs of the openami command.

One JSON object in a line each way. Who may open the socket (mode 0600) is the operator;
there is no other check and no other way in.
"""

import json
import socketserver
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from openami.actions import collection, public_catalogue
from openami.actions.transfers import import_image
from openami.domain.errors import EC2Error
from openami.services import Services

LINE_BYTES_MAX: Final = 64 * 1024

Verb = Callable[[Services, Mapping[str, Any]], Mapping[str, Any]]

VERBS: Final[Mapping[str, Verb]] = {
    "collect": collection.from_operator,
    "settle": collection.settled_by_operator,
    "import-image": import_image.from_operator,
    "publish-image": public_catalogue.from_operator,
}


def perform(svc: Services, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a verb answers, or its refusal as {"error": code, "message": sentence}."""
    verb = VERBS.get(str(request.get("verb")))
    if verb is None:
        return {"error": "InvalidAction", "message": f"there is no verb {request.get('verb')!r}"}
    try:
        return verb(svc, request)
    except EC2Error as refused:
        return {"error": refused.code, "message": str(refused)}


@contextmanager
def listening(svc: Services, socket_file: Path) -> Generator[None]:
    """Answer on `socket_file` while the block runs. A socket left by a crash is replaced."""

    class Answering(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline(LINE_BYTES_MAX)
            try:
                request = json.loads(line)
            except ValueError:
                return  # a client that went away, or not one of ours
            self.wfile.write(json.dumps(perform(svc, request)).encode() + b"\n")

    socket_file.unlink(missing_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(socket_file), Answering) as server:
        socket_file.chmod(0o600)
        thread = threading.Thread(target=server.serve_forever, name="admin", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            socket_file.unlink(missing_ok=True)
