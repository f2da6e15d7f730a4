"""A guest's agent for tests: real on the wire, and as hostile as a test wants it."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from openami.compute.qemu.files import MachineFiles

Answers = Callable[[str, Any], bytes | None]


class FakeAgent:
    """Listens where QEMU would. `behaves` may answer a command in the agent's place.

    Its answers are bytes, b"" for silence, or None for what an agent answers.
    """

    def __init__(self, files: MachineFiles, behaves: Answers = lambda _command, _given: None):
        self.behaves, self.frozen, self.asked = behaves, False, list[str]()
        self._listener = files.listen(files.agent)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # Whoever asks may be gone before the answer.
            with connection, suppress(ConnectionError), connection.makefile("rb") as lines:
                for line in lines:
                    self._heed(connection, json.loads(line.removeprefix(b"\xff")))

    def _heed(self, connection: socket.socket, told: dict[str, Any]) -> None:
        command, given = told["execute"], told.get("arguments", {})
        self.asked.append(command)
        answer = self.behaves(command, given)
        connection.sendall(self.answer(command, given) if answer is None else answer)

    def answer(self, command: str, given: dict[str, Any]) -> bytes:
        """What an agent does and says."""
        if command == "guest-sync-delimited":
            return b"\xff" + _line({"return": given["id"]})
        was = self.frozen
        self.frozen = command == "guest-fsfreeze-freeze"
        return _line({"return": int(was != self.frozen)})


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"
