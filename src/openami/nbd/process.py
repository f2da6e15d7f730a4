"""The daemon as a process: started by a server, known again by the next, replaced when it is of
other settings or another version. It outlives them all.

`blocks/daemon.json` says which process it is (a pid alone may be another one by now) and what it
was started for.
"""

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from openami import __version__
from openami.blockstore import codec, regional
from openami.blockstore.regional import Place
from openami.compute.qemu.process import Process, has_ended, kill, opened
from openami.domain.ids import Region
from openami.nbd.client import Daemon, DaemonAway
from openami.nbd.daemon import Host
from openami.settings import Settings

START_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 15.0
LOG: Final = "daemon.log"
_PROCESS: Final = "daemon.json"
_LOOK_EVERY_S: Final = 0.02
_log = logging.getLogger(__name__)


def directory_of(settings: Settings) -> Path:
    """Where the daemon of a state directory is found."""
    return settings.state_dir.absolute() / "blocks"


def host_of(settings: Settings) -> Host:
    return Host(
        directory=directory_of(settings),
        cache=settings.state_dir.absolute() / "cache",
        hydrate_mib_per_s=settings.hydrate_mib_per_s,
    )


def ensure(settings: Settings, places: Mapping[Region, Place]) -> Daemon:
    """The daemon that serves disks of the stores at `places`: the one that runs, or a new one.

    Cheap where it runs already. Raises DaemonAway if none can be started; its log says why.
    """
    directory = directory_of(settings)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    daemon = Daemon(directory)
    mark = mark_of(settings, places)
    with _alone(directory / "starting"):
        running = _running(directory, mark)
        if running is not None:
            os.close(running)
        else:
            stop(settings)
            _start(settings, places)
            _await_answer(daemon)
    return daemon


def stop(settings: Settings) -> bool:
    """End the daemon, if one runs; whether it did. Its exports wait for the next one."""
    pidfd = opened(directory_of(settings) / _PROCESS)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not has_ended(pidfd, END_TIMEOUT_S):
            _log.warning("the block daemon does not end; it is killed")
            kill(pidfd)
            has_ended(pidfd, END_TIMEOUT_S)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)
    return True


def is_running(settings: Settings) -> bool:
    pidfd = opened(directory_of(settings) / _PROCESS)
    if pidfd is not None:
        os.close(pidfd)
    return pidfd is not None


def note(directory: Path, mark: str) -> None:
    """Written by the daemon, which holds the lock: it is this process, started for that."""
    draft = directory / f".{_PROCESS}"
    draft.write_text(json.dumps({**asdict(Process.of(os.getpid())), "mark": mark}))
    draft.rename(directory / _PROCESS)


def mark_of(settings: Settings, places: Mapping[Region, Place]) -> str:
    """What tells a daemon of the same version and settings from others."""
    return codec.digest_of(f"{__version__} {_told(settings, places)}".encode()).hex()


def _told(settings: Settings, places: Mapping[Region, Place]) -> str:
    """What `python -m openami.nbd` reads from its standard input, where nobody else reads it."""
    return json.dumps(
        {
            "state_dir": str(settings.state_dir.absolute()),
            "hydrate_mib_per_s": float(settings.hydrate_mib_per_s),
            "stores": {region: regional.told(place) for region, place in places.items()},
        },
        sort_keys=True,
    )


def understood(text: str) -> tuple[Settings, Mapping[Region, Place]]:
    """The settings, those that matter here, and the places of which `_told` has told."""
    told = json.loads(text)
    settings = Settings(
        state_dir=Path(told["state_dir"]), hydrate_mib_per_s=told["hydrate_mib_per_s"]
    )
    stores = {Region(each): regional.understood(place) for each, place in told["stores"].items()}
    return settings, stores


def _running(directory: Path, mark: str) -> int | None:
    """A pidfd of the daemon that was started for the same, if it lives."""
    told = Process.load(directory / _PROCESS)
    if told is None:
        return None
    try:
        its_mark = json.loads((directory / _PROCESS).read_bytes()).get("mark")
    except (OSError, ValueError):
        return None
    return told.open() if its_mark == mark else None


def _start(settings: Settings, places: Mapping[Region, Place]) -> None:
    """In a session of its own and nobody's child, so that it outlives us and leaves no zombie."""
    with (directory_of(settings) / LOG).open("ab") as log:
        try:
            subprocess.run(
                ["setsid", "--fork", sys.executable, "-m", "openami.nbd"],
                check=True,
                cwd="/",
                input=_told(settings, places).encode(),
                stdout=log,
                stderr=log,
            )
        except (OSError, subprocess.SubprocessError) as failed:
            raise DaemonAway(f"the block daemon cannot be started: {failed}") from failed


def _await_answer(daemon: Daemon) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not daemon.is_there():
        if time.monotonic() >= deadline:
            raise DaemonAway(f"the block daemon does not start: see {LOG} in its directory")
        time.sleep(_LOOK_EVERY_S)


@contextmanager
def _alone(file: Path) -> Generator[None]:
    """One starts it at a time, whatever process it is of."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
