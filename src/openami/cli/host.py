"""What of a state directory runs on this host, found without asking the server that started it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from openami.compute.driver import Port
from openami.compute.network import leftover, shell
from openami.compute.network.plan import VpcPlan, planned, tap_name
from openami.compute.qemu.files import MachineFiles
from openami.domain.network import Vpc

FROZEN_S: Final = 60.0
_NAME: Final = b"guest="


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineProcess:
    """A process that runs as the machine `instance_id`."""

    pid: int
    instance_id: str


def processes(state_dir: Path) -> Iterator[MachineProcess]:
    """Those that were named as a machine and have files of this state directory open.

    Another openami's machines, and those of users whom we may not look at, are not among them.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            instance_id = _machine_of(entry)
            if instance_id is not None and _holds(entry, f"{state_dir.absolute()}/"):
                yield MachineProcess(pid=int(entry.name), instance_id=instance_id)


def stalls(state_dir: Path, instance_id: str) -> Sequence[str]:
    """What keeps a machine that has a process from its disks, as the server last noted it."""
    try:
        noted = MachineFiles(directory=state_dir / "instances" / instance_id).stalled.read_text()
    except FileNotFoundError:
        return []
    return noted.splitlines() or ["the host's disk has no room to say which"]


def is_frozen(state_dir: Path, instance_id: str, now: datetime) -> bool:
    """Whether a guest was asked to hold its files still and was not heard to let go of them since.

    A copy asks for that, too, but for a moment only.
    """
    mark = MachineFiles(directory=state_dir / "instances" / instance_id).frozen
    try:
        return now.timestamp() - mark.stat().st_mtime >= FROZEN_S
    except FileNotFoundError:
        return False


def _machine_of(entry: Path) -> str | None:
    for argument in (entry / "cmdline").read_bytes().split(b"\0")[:8]:
        if argument.startswith(_NAME):
            name = argument.removeprefix(_NAME).partition(b",")[0]
            return name.decode(errors="replace")
    return None


def _holds(entry: Path, prefix: str) -> bool:
    return any(str(each.readlink()).startswith(prefix) for each in (entry / "fd").iterdir())


def network_leftovers(vpcs: Sequence[Vpc], ports: Sequence[Port]) -> Sequence[str]:
    """Commands that remove what the VPCs have on this host beyond `ports`. Raises MachineFailed."""
    shell.require_root()
    return leftover.of_vpcs(
        [VpcPlan(vpc_id=vpc.id, cidr=IPv4Network(vpc.cidr)) for vpc in vpcs],
        {tap_name(port.number): planned(port) for port in ports},
        {port.private_ip for port in ports},
    )
