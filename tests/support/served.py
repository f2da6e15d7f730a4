"""Servers in processes of their own, whose program is loaded once for all of them.

Loading it takes two seconds of a core, and tests start hundreds of servers. So one process loads
it and does nothing more; each server is a fork of it, with the environment, the arguments and the
log that it is given, and may be killed as any process.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

from openami.cli import serve
from support import checked_server


class Served:
    """A server's process."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        target, given = _serve, (list(arguments), dict(environment), str(log))
        self._process = _context().Process(target=target, args=given, daemon=True)
        self._process.start()
        self._asking = threading.Lock()  # how a process ended is told to one who asks

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        with self._asking:
            return self._process.exitcode

    def wait(self, timeout_s: float) -> None:
        connection.wait([self._process.sentinel], timeout_s)
        if self.poll() is None:
            raise TimeoutError(f"the server {self.pid} has not ended within {timeout_s} s")

    def send_signal(self, sign: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_LOADED_IN = os.getpid()
_VERB = serve  # loaded here, and not in each server when it is asked for


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    # It finds its modules by the environment alone: what of `sys.path` it is told it forgets.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return context


def _serve(arguments: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
    assert os.getpid() != _LOADED_IN, "the program was loaded anew"
    sys.argv[1:] = arguments
    sys.exit(checked_server.run())
