"""The server's door: the questions of nbd/client.py, answered on `control.sock`."""

import json
import os
import socketserver
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from openami.blockstore.cache import BaseCache
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.nbd.client import CONTROL, ExportRefused
from openami.nbd.exports import Exports
from openami.nbd.kept import KeptElsewhere

_QUESTION_BYTES_MAX: Final = 64 * 1024
Question = Mapping[str, Any]


class Control:
    """What may be asked. Who may open the socket (mode 0600) is the operator."""

    def __init__(self, exports: Exports, cache: BaseCache) -> None:
        self._exports, self._cache = exports, cache
        self._verbs: Mapping[str, Callable[[Question], Mapping[str, Any]]] = {
            "open": self._open,
            "close": self._close,
            "exports": self._told,
            "hydration": self._hydration,
            "profile": self._profile,
        }

    def answer(self, question: Question) -> Mapping[str, Any]:
        try:
            return self._verbs[str(question["verb"])](question)
        except (ExportRefused, KeptElsewhere) as refused:
            return {"refused": str(refused)}
        except (KeyError, TypeError, ValueError) as wrong:
            return {"refused": f"no question of ours: {wrong!r}"}
        except OSError as failed:
            return {"refused": str(failed)}

    def _open(self, question: Question) -> Mapping[str, Any]:
        region, root = Region(question["region"]), Root.from_text(question["root"])
        uid, profile = int(question["uid"]), [int(index) for index in question["profile"]]
        path = self._exports.open(question["export"], region, root, uid, profile)
        return {"path": str(path)}

    def _close(self, question: Question) -> Mapping[str, Any]:
        self._exports.close(str(question["export"]))
        return {}

    def _told(self, _: Question) -> Mapping[str, Any]:
        return {
            "exports": {name: export.to_json() for name, export in self._exports.told().items()}
        }

    def _hydration(self, question: Question) -> Mapping[str, Any]:
        root = Root.from_text(question["root"])
        path = self._cache.path(root)
        disk = self._exports.disk(root)
        complete = path.exists()
        here = 0 if disk is None else disk.kept.blocks_here
        return {
            "blocks_here": root.blocks if complete else here,
            "blocks": root.blocks,
            "complete": complete,
            "path": str(path),
            "trouble": "" if complete else self._exports.trouble(root),
        }

    def _profile(self, question: Question) -> Mapping[str, Any]:
        return {"blocks": list(self._exports.profile(Root.from_text(question["root"])))}


@contextmanager
def listening(control: Control, directory: Path) -> Generator[None]:
    """Answer while the block runs. A socket left by a crash is replaced."""

    class Answering(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                question = json.loads(self.rfile.readline(_QUESTION_BYTES_MAX))
            except ValueError:
                return  # a client that went away, or not one of ours
            try:
                self.wfile.write(json.dumps(control.answer(question)).encode() + b"\n")
            except OSError:
                return  # it has stopped waiting, and asks again

    (directory / CONTROL).unlink(missing_ok=True)
    home = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        # By way of a descriptor: the name fits however deep the directory is (unix(7)).
        server = socketserver.ThreadingUnixStreamServer(
            f"/proc/self/fd/{home}/{CONTROL}", Answering
        )
    finally:
        os.close(home)
    with server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, name="control", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
