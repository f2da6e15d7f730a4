"""The network as a real machine finds it, with the network's own code and a bare QEMU."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from openami.compute.driver import Port
from openami.compute.network.host import HostNetwork
from openami.imds.service import MetadataService
from openami.settings import Settings
from support.disks import tiny_disk
from support.metadata import CountingIds, StoppedClock, a_metadata
from support.net import VPC_CIDR, a_port, a_rule, an_id, plug

pytestmark = [
    pytest.mark.boot,
    pytest.mark.skipif(os.geteuid() != 0, reason="networks need root"),
]

USER_DATA = b"""#!/bin/sh
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }
probe() {
  begun=$(now)
  if nc -w 9 "$1" "$2" </dev/null >/dev/null 2>&1; then is=open; else is=refused; fi
  echo "probe: $1:$2 $is at $((($(now) - begun) / 100)) s"
}
probe 169.254.169.254 80
probe 10.113.240.3 22
probe 198.51.100.1 53
probe 169.254.1.1 80
begun=$(now)
nslookup deb.debian.org >/dev/null 2>&1 || is=unknown
echo "probe: name $is at $((($(now) - begun) / 100)) s"
nc -ll -p 22 -e /bin/busybox hostname &
echo "probe: done"
"""
BOOT_TIMEOUT_S = 90.0


@dataclass
class Booted:
    network: HostNetwork
    metadata: MetadataService
    port: Port
    serial: Path

    def console(self) -> str:
        return self.serial.read_text(errors="replace") if self.serial.exists() else ""

    def waits_for(self, text: str) -> bool:
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while text not in self.console():
            if time.monotonic() > deadline:
                return False
            threading.Event().wait(0.05)
        return True


@pytest.fixture(name="guest", scope="module")
def _guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    folder = tmp_path_factory.mktemp("guest")
    port = a_port(an_id("vpc"), 1, ingress=(a_rule("tcp", 22, 22),), public_ip="127.100.7.8")
    known = a_metadata(
        instance_id=port.instance_id,
        hostname=port.hostname,
        private_ip=port.private_ip,
        mac=port.mac,
        user_data=USER_DATA,
    )
    metadata = MetadataService(lambda _: known, StoppedClock(), CountingIds())
    network = HostNetwork(Settings(), metadata.serve)
    tap = plug(network, port)
    overlay = folder / "disk.qcow2"
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(tiny_disk())]
    subprocess.run([*create, str(overlay)], check=True)
    process = subprocess.Popen(
        [
            *("qemu-system-x86_64", "-nodefaults", "-display", "none", "-m", "128"),
            *("-accel", "tcg,thread=multi,tb-size=32"),
            *("-serial", f"file:{folder / 'serial'}"),
            *("-drive", f"file={overlay},if=virtio,format=qcow2,cache=unsafe"),
            *("-netdev", f"tap,id=n,fd={tap}"),
            *("-device", f"virtio-net-pci,netdev=n,mac={port.mac},romfile="),
        ],
        pass_fds=[tap],
    )
    os.close(tap)
    try:
        yield Booted(network, metadata, port, folder / "serial")
    finally:
        process.kill()
        process.wait()
        network.unplug(port.instance_id)
        network.remove_vpc(port.vpc_id, VPC_CIDR)
        network.close()
        metadata.close()


def test_a_machine_takes_its_address_reads_its_metadata_and_runs_its_user_data(
    guest: Booted,
) -> None:
    assert guest.waits_for("probe: done"), guest.console()
    assert f"tiny: dhcp {guest.port.private_ip}/24" in guest.console()
    assert f"instance-id {guest.port.instance_id} hostname {guest.port.hostname}" in guest.console()
    seen = [
        (one.method, one.path, one.status)
        for one in guest.metadata.requests(guest.port.instance_id)
    ]
    assert ("PUT", "/latest/api/token", 200) in seen
    assert ("GET", "/latest/user-data", 200) in seen


def test_a_machine_that_answers_is_reachable(guest: Booted) -> None:
    assert guest.waits_for("probe: done"), guest.console()
    assert guest.network.reachable(guest.port.instance_id)


def test_a_machine_finds_metadata_and_nothing_else_and_never_waits(guest: Booted) -> None:
    assert guest.waits_for("probe: done"), guest.console()
    probes = [line.strip() for line in guest.console().splitlines() if line.startswith("probe: ")]
    assert probes == [
        "probe: 169.254.169.254:80 open at 0 s",
        "probe: 10.113.240.3:22 refused at 0 s",
        "probe: 198.51.100.1:53 refused at 0 s",
        "probe: 169.254.1.1:80 refused at 0 s",
        "probe: name unknown at 0 s",
        "probe: done",
    ]


@pytest.mark.parametrize("address", ["10.113.240.5", "127.100.7.8"])
def test_a_machine_is_reached_at_its_private_and_its_public_address(
    guest: Booted, address: str
) -> None:
    assert guest.waits_for("tiny: READY"), guest.console()
    with socket.create_connection((address, 22), 5) as one:
        one.settimeout(10)
        told = b"".join(iter(lambda: one.recv(100), b""))
    assert told.decode().strip() == guest.port.hostname
