"""A machine's process: started confined, known again after a restart, ended by descriptor.

It runs as a user of its own with no capability, in a session of its own and in a network
namespace with nothing in it, and keeps running when the server ends. A pid alone may be
another process by now: the file that names it also holds its start time and the host's boot.
"""

import ctypes
import json
import os
import select
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from openami.compute.driver import MachineFailed
from openami.domain.ids import InstanceId

_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_START_TIME: Final = 22 - 3  # field of proc(5) /proc/pid/stat, counted from behind the name
_PIDFILE_BYTES_MAX: Final = 4096
_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process among all that this host ever ran: `started` is in ticks since its boot."""

    pid: int
    started: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """Raises FileNotFoundError or ProcessLookupError if there is no such process."""
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        fields = stat[stat.rindex(b")") + 2 :].split()
        return cls(pid=pid, started=int(fields[_START_TIME]), boot_id=boot_id())

    def save(self, path: Path) -> None:
        """No sync: after a crash of the host there is no such process."""
        staged = path.with_name(f"{path.name}.new")
        staged.write_text(json.dumps(asdict(self)))
        staged.rename(path)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        try:
            with path.open("rb") as file:
                told = json.loads(file.read(_PIDFILE_BYTES_MAX))
            return cls(pid=told["pid"], started=told["started"], boot_id=told["boot_id"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def open(self) -> int | None:
        """A pidfd of this very process, or None if it is gone. The caller closes it."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        with suppress(FileNotFoundError, ProcessLookupError):
            # Looked at after opening: the number cannot go to another process in between.
            if Process.of(self.pid) == self and not has_ended(pidfd):
                return pidfd
        os.close(pidfd)
        return None


def opened(path: Path) -> int | None:
    """A pidfd of the process noted there, or None if there is none. The caller closes it."""
    noted = Process.load(path)
    return None if noted is None else noted.open()


def number_of(pid: int, directory: Path) -> int | None:
    """Under which number a process has this very directory open, if it does."""
    wanted = directory.stat()
    with suppress(FileNotFoundError, ProcessLookupError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                if os.path.samestat(entry.stat(), wanted):
                    return int(entry.name)
    return None


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def has_ended(pidfd: int, timeout_s: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def kill(pidfd: int) -> None:
    """SIGKILL; that it has gone already is fine."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def exit_status(pidfd: int) -> str:
    """How an ended process ended. Only a parent is told: for an adopted one it is "ended"."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return "ended"
    if result is None:
        return "ended"
    if result.si_code == os.CLD_EXITED:
        return f"exited with code {result.si_status}"
    return f"killed by {signal.Signals(result.si_status).name}"


def spawn(
    argv: Sequence[str], uid: int, groups: Sequence[int], keep: Iterable[int], log: int
) -> int:
    """The pid of a new, confined process that inherits `keep` and writes its errors to `log`.

    Raises MachineFailed if it cannot be made; a program that is not there ends with code 127.
    """
    setpriv = (
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", _groups(groups), "--no-new-privs"),
        *("--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"),
    )
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn") as thread:
        return thread.submit(_spawn, [*setpriv, *argv], list(keep), log).result()


def named(instance_ids: set[InstanceId]) -> Iterator[tuple[InstanceId, int]]:
    """Processes that were started as one of these machines: (whose, pid), by their arguments.

    For those whose server died between starting them and noting their pid.
    """
    marks = {f"guest={one},debug-threads=on".encode(): one for one in instance_ids}
    for entry in Path("/proc").iterdir() if marks else ():
        if not entry.name.isdigit():
            continue
        with suppress(FileNotFoundError, ProcessLookupError):
            for argument in (entry / "cmdline").read_bytes().split(b"\0")[:8]:
                if argument in marks:
                    yield marks[argument], int(entry.name)


def _groups(groups: Sequence[int]) -> str:
    return f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"


def _leaking(keep: list[int]) -> list[int]:
    """Descriptors that the new process would get by an accident of whoever started us."""
    leaking: list[int] = []
    for one in (int(path.name) for path in Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # the listing's own, or closed by another thread
            if one > 2 and one not in keep and os.get_inheritable(one):
                leaking.append(one)
    return leaking


def _spawn(argv: list[str], keep: list[int], log: int) -> int:
    # A thread's children have its network namespace, and this thread does nothing else.
    if _libc.unshare(_CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise MachineFailed(f"no network namespace for a machine's process: {reason}; needs root")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        return os.posix_spawnp(
            argv[0],
            argv,
            {"PATH": os.defpath, "LC_ALL": "C"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, null, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                # Onto itself: the descriptor then stays open in the new program.
                *((os.POSIX_SPAWN_DUP2, one, one) for one in keep),
                *((os.POSIX_SPAWN_CLOSE, one) for one in _leaking(keep)),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
        )
    except OSError as wrong:
        raise MachineFailed(f"{argv[0]} cannot be started: {wrong}") from wrong
    finally:
        os.close(null)
