"""Debian servers, as the tutorial has them: alike, quick to have, changed, and made an image of.

Three of one image first; the first of them is changed and imaged; then one of that image, and
one that boots by UEFI (S-01, S-02, S-03, S-07, S-43, S-47, S-53).
"""

import gzip
import subprocess
import time
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any

import pytest

from support import api
from support.guest import Guest
from support.server import Server
from support.snapshot_bytes import written_out
from support.waiting import until

pytestmark = [pytest.mark.boot, pytest.mark.timeout(1200)]

MIB = 2**20
NOTE = "/var/lib/acceptance"
SCRIPT = f"""#!/bin/sh
mkdir -p {NOTE}
echo "$(id -un) ran a script" >> {NOTE}/script
echo "user data said so on the console"
"""
CLOUD_CONFIG = f"""#cloud-config
write_files:
- path: {NOTE}/cloud-config
  content: written by cloud-config
  append: true
"""


def multipart() -> str:
    """A script and a cloud-config in one, as `cloud-init devel make-mime` makes them."""
    message = MIMEMultipart()
    message.attach(MIMEText(SCRIPT, "x-shellscript"))
    message.attach(MIMEText(CLOUD_CONFIG, "cloud-config"))
    return message.as_string()


@pytest.fixture(scope="module")
def trio(qemu_server: Server, debian_ami: str) -> Generator[tuple[Sequence[Guest], float]]:
    """Three servers of one request, and the seconds from it until all three answered SSH."""
    began = time.monotonic()
    with Guest.several(qemu_server, debian_ami, 3, UserData=multipart()) as guests:
        yield guests, time.monotonic() - began


@pytest.fixture(scope="module")
def guests(trio: tuple[Sequence[Guest], float]) -> Sequence[Guest]:
    return trio[0]


def test_s01_a_server_boots_to_its_login_prompt(
    qemu_server: Server, guests: Sequence[Guest]
) -> None:
    guest = guests[0]
    qemu_server.aws("ec2", "wait", "instance-status-ok", "--instance-ids", guest.instance_id)
    told = qemu_server.aws(
        *("ec2", "get-console-output", "--instance-id", guest.instance_id, "--latest")
    )
    assert "Linux version" in told["Output"]
    assert " login:" in told["Output"]


def test_s02_servers_of_one_image_are_alike_and_yet_themselves(guests: Sequence[Guest]) -> None:
    def answers(command: str) -> list[str]:
        return [guest.ssh(command) for guest in guests]

    packages = answers("dpkg-query -W | sha256sum")
    files = answers(
        "find /usr/sbin /etc/apt /boot -type f | sort | sudo xargs sha256sum | sha256sum"
    )
    assert len(set(packages)) == len(set(files)) == 1
    for own in (
        answers("cat /etc/machine-id"),
        answers("cat /etc/ssh/ssh_host_ed25519_key.pub"),
        answers("hostname"),
        answers("hostname -I"),
    ):
        assert len(set(own)) == 3, own
        assert all(own)


def test_s03_a_launch_copies_nothing_of_the_image(
    qemu_server: Server, trio: tuple[Sequence[Guest], float]
) -> None:
    guests, took_s = trio
    image_bytes = allocated(qemu_server.state_dir / "chunks")
    for guest in guests:
        found = api.instance(qemu_server.client(), guest.instance_id)
        home = qemu_server.state_dir / "volumes" / api.root_volume_id(found)
        own_bytes = allocated(home)
        print(f"{guest.instance_id}: {own_bytes // MIB} MiB of its own")
        assert own_bytes < image_bytes / 2
    print(f"three servers answered SSH {took_s:.0f} s after RunInstances")


def test_s53_every_part_of_multipart_user_data_runs_once_as_root(
    guests: Sequence[Guest],
) -> None:
    for guest in guests:
        assert guest.ssh(f"cat {NOTE}/script") == "root ran a script"
        assert guest.ssh(f"cat {NOTE}/cloud-config") == "written by cloud-config"
    assert "user data said so on the console" in guests[0].console()


def test_s43_a_server_boots_by_its_firmware_and_its_own_boot_loader(
    qemu_server: Server, guests: Sequence[Guest]
) -> None:
    found = api.instance(qemu_server.client(), guests[0].instance_id)
    assert found["CurrentInstanceBootMode"] == "legacy-bios"
    assert guests[0].ssh("test -d /sys/firmware/efi || echo no EFI") == "no EFI"
    # GRUB says nothing but the kernel's command line; QEMU was given neither kernel nor line.
    in_order(guests[0].console(), "Linux version", "BOOT_IMAGE=/", "BIOS-e820", " login:")


def test_s13_a_snapshot_of_a_running_server_has_what_was_saved_and_a_whole_file_system(
    qemu_server: Server, guests: Sequence[Guest], tmp_path: Path
) -> None:
    """Its agent holds the file system still: nothing of it is left to a journal."""
    guest, ec2 = guests[1], qemu_server.client()
    guest.ssh("until systemctl is-active qemu-guest-agent; do sleep 0.2; done")
    volume_id = api.root_volume_id(api.instance(ec2, guest.instance_id))
    guest.ssh("echo saved without sync | sudo tee /unsynced")
    snapshot_id = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[snapshot_id])
    disk = written_out(qemu_server, snapshot_id, tmp_path / "disk")
    sector = int(guest.ssh("cat /sys/class/block/$(basename $(findmnt -no SOURCE /))/start"))
    root = f"{disk}?offset={sector * 512}"
    features = subprocess.run(["dumpe2fs", "-h", root], check=True, capture_output=True, text=True)
    assert "has_journal" in features.stdout
    assert "needs_recovery" not in features.stdout
    shown = subprocess.run(
        ["debugfs", "-R", "cat /unsynced", root], check=True, capture_output=True
    )
    assert shown.stdout == b"saved without sync\n"
    assert guest.ssh("echo goes on | sudo tee /after && sync") == "goes on"


@pytest.fixture(scope="module")
def changed_image(
    qemu_server: Server, guests: Sequence[Guest], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Of the first server with the package at 1.0; on the server it is then brought to 2.0."""
    guest, directory = guests[0], tmp_path_factory.mktemp("packages")
    install(guest, package(directory, "1.0"))
    guest.ssh(
        "sudo useradd --create-home deploy && echo kept | sudo -u deploy tee /home/deploy/file &&"
        " echo net.core.somaxconn=777 | sudo tee /etc/sysctl.d/90-acceptance.conf &&"
        " sudo systemctl enable acceptance.service && sync"
    )
    image = api.create_image(
        qemu_server.client(), guest.instance_id, "changed debian", NoReboot=True
    )
    install(guest, package(directory, "2.0"))
    return image


@pytest.fixture(scope="module")
def derived(qemu_server: Server, changed_image: dict[str, Any]) -> Generator[Guest]:
    """A server of the changed image, with compressed user data of its own."""
    config = f"#cloud-config\nruncmd:\n- echo derived ran it >> {NOTE}/derived\n"
    compressed = gzip.compress(config.encode())
    with Guest.launched(qemu_server, changed_image["ImageId"], UserData=compressed) as guest:
        yield guest


def test_s07_a_server_of_the_changed_image_has_the_changes(derived: Guest) -> None:
    assert derived.ssh("cat /home/deploy/file 2>&1 || sudo cat /home/deploy/file") == "kept"
    assert derived.ssh("getent passwd deploy").startswith("deploy:")
    assert derived.ssh("sudo sysctl -n net.core.somaxconn") == "777"
    assert derived.ssh("systemctl is-active acceptance.service") == "active"


def test_s47_an_old_image_has_the_old_version(
    guests: Sequence[Guest], derived: Guest, changed_image: dict[str, Any]
) -> None:
    """The myth: launching always creates the latest software."""
    assert derived.ssh("acceptance") == "version 1.0"
    assert guests[0].ssh("acceptance") == "version 2.0"
    made_at = datetime.fromisoformat(changed_image["CreationDate"])
    assert made_at < datetime.now(UTC)  # noqa: TID251, held against what a real server told


def test_s53_a_server_of_a_derived_image_runs_its_own_user_data_once(
    guests: Sequence[Guest], derived: Guest
) -> None:
    assert derived.ssh(f"cat {NOTE}/derived") == "derived ran it"
    assert derived.ssh(f"cat {NOTE}/script") == "root ran a script", "its parent's, not again"
    for own in ("hostname", "cat /etc/ssh/ssh_host_ed25519_key.pub"):
        assert derived.ssh(own) != guests[0].ssh(own)


def test_s53_user_data_does_not_run_again_at_a_reboot(
    qemu_server: Server, guests: Sequence[Guest]
) -> None:
    guest = guests[2]
    before = guest.ssh("cat /proc/sys/kernel/random/boot_id")
    qemu_server.client().reboot_instances(InstanceIds=[guest.instance_id])

    def rebooted() -> bool:
        now = guest.ssh("cat /proc/sys/kernel/random/boot_id", check=False)
        return now not in ("", before)

    until(rebooted, 240, "the guest has booted again")
    guest.await_ssh()
    assert guest.ssh(f"cat {NOTE}/script") == "root ran a script"


def test_s43_the_same_disk_boots_by_uefi(qemu_server: Server, debian_ami: str) -> None:
    ec2 = qemu_server.client()
    root = {"SnapshotId": api.root_snapshot_id(api.image(ec2, debian_ami))}
    image_id = ec2.register_image(
        Name="debian by uefi",
        Architecture="x86_64",
        VirtualizationType="hvm",
        BootMode="uefi",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": root}],
    )["ImageId"]
    with Guest.launched(qemu_server, image_id, InstanceType="t3.micro", UserData=SCRIPT) as guest:
        found = api.instance(ec2, guest.instance_id)
        assert found["BootMode"] == found["CurrentInstanceBootMode"] == "uefi"
        assert guest.ssh("test -d /sys/firmware/efi && echo EFI") == "EFI"
        in_order(guest.console(), "BdsDxe", "Linux version", "BOOT_IMAGE=/", "efi: EFI", " login:")
        assert guest.ssh(f"cat {NOTE}/script") == "root ran a script"


def in_order(text: str, *pieces: str) -> None:
    place = 0
    for piece in pieces:
        found = text.find(piece, place)
        assert found >= 0, f"{piece!r} does not follow in:\n{text[:3000]}"
        place = found


def package(directory: Path, version: str) -> Path:
    """A Debian package with a program that says its version, and a service."""
    tree = directory / version
    files = {
        "DEBIAN/control": f"Package: acceptance\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: openami <openami@example.com>\nDescription: of a test\n",
        "usr/bin/acceptance": f"#!/bin/sh\necho version {version}\n",
        "lib/systemd/system/acceptance.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        "ExecStart=/usr/bin/acceptance\n[Install]\nWantedBy=multi-user.target\n",
    }
    for name, text in files.items():
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o755)
    made = directory / f"acceptance-{version}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True, capture_output=True
    )
    return made


def install(guest: Guest, made: Path) -> None:
    guest.ssh("cat > /tmp/new.deb && sudo dpkg -i /tmp/new.deb", given=made.read_bytes())


def allocated(directory: Path) -> int:
    """Bytes that the files under `directory` take on the host's disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
