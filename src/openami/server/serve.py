"""The HTTP server: uvicorn, started and stopped by us.

uvicorn's own `run` exits the process when it cannot bind and dies of the signal that
stopped it; openami still has machines and workflows to leave in order, so here both are
ordinary control flow: OSError, and returning.
"""

import asyncio
import resource
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from openami.server.http_protocol import HttpProtocol
from openami.settings import Settings

# Requests that still run after this are cut off: their transactions roll back.
DRAIN_TIMEOUT_S: Final = 30
IDLE_CONNECTION_S: Final = 75
BACKLOG: Final = 2048


def listen(settings: Settings) -> socket.socket:
    """A socket bound to the settings' host and port. Raises OSError, e.g. address in use."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    address = (settings.host, settings.port)
    listening = socket.create_server(address, family=family, backlog=BACKLOG)
    # Connections inherit it. Without it an answer's body waits until the client acknowledges its
    # head, which it delays by 40 ms: asyncio sets this only where `proto` says TCP, here it is 0.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def serve(
    app: ASGIApp,
    settings: Settings,
    on_ready: Callable[[], None],
    *,
    listener: socket.socket | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; then finish what is under way and return.

    `on_ready` is called once, when connections are accepted. A second signal does not wait
    for requests. Signals are heeded only in the main thread. Raises OSError when the
    address cannot be bound; `listener`, when given, is used instead, and closed.
    """
    listening = listener if listener is not None else listen(settings)
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_CONNECTION_S,
        timeout_graceful_shutdown=DRAIN_TIMEOUT_S,
    )
    _allow_descriptors()
    server = _Server(config, on_ready, stop if stop is not None else threading.Event())
    with listening:
        asyncio.run(server.serve(sockets=[listening]))


def _allow_descriptors() -> None:
    """As many as the host lets us have: connections must not take those that machines need."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], stop: threading.Event
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.is_set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self._signalled) for each in _STOPPING}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _signalled(self, _signal: int, _frame: FrameType | None) -> None:
        self.force_exit = self._stop.is_set()
        self._stop.set()


_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
