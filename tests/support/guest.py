"""A real Debian guest, launched through the API and spoken to over SSH."""

import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.server import Server
from support.waiting import until

BOOT_DEADLINE_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Guest:
    """One server and the key that opens it."""

    server: Server
    account: str
    instance_id: str
    address: str  # the public address, on loopback
    key: Path

    @staticmethod
    @contextmanager
    def launched(server: Server, image_id: str, **more: Any) -> Generator["Guest"]:
        """One Debian guest that answers SSH; terminated at the end."""
        with Guest.several(server, image_id, 1, **more) as guests:
            yield guests[0]

    @staticmethod
    @contextmanager
    def several(
        server: Server, image_id: str, count: int, account: str = "default", **more: Any
    ) -> Generator[Sequence["Guest"]]:
        """`count` guests that all answer SSH; `more` is for RunInstances."""
        ec2 = server.client(account=account)
        with tempfile.TemporaryDirectory() as directory:
            key = Path(directory) / "key.pem"
            key_name = f"guest-{key.parent.name}"
            made = ec2.create_key_pair(KeyName=key_name, KeyType="ed25519")
            key.touch(0o600)
            key.write_text(made["KeyMaterial"])
            group = _group_with_ssh(ec2, key_name)
            asked = {"InstanceType": "t2.micro", "MinCount": count, "MaxCount": count} | more
            reservation = ec2.run_instances(
                ImageId=image_id, KeyName=key_name, SecurityGroupIds=[group], **asked
            )
            ids = [instance["InstanceId"] for instance in reservation["Instances"]]
            try:
                guests = [_guest(server, account, instance_id, key) for instance_id in ids]
                for guest in guests:
                    guest.await_ssh()
                yield guests
            finally:
                ec2.terminate_instances(InstanceIds=ids)
                ec2.get_waiter("instance_terminated").wait(
                    InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
                )
                ec2.delete_security_group(GroupId=group)
                ec2.delete_key_pair(KeyName=key_name)

    def ssh(self, command: str, *, given: bytes = b"", check: bool = True) -> str:
        """What `command` prints on the guest, stripped. Raises AssertionError if it fails."""
        done = subprocess.run(
            [
                *("ssh", "-i", str(self.key), "-o", "StrictHostKeyChecking=no"),
                *("-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
                *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10"),
                *(f"admin@{self.address}", command),
            ],
            input=given,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout.decode() + done.stderr.decode()
        return done.stdout.decode().strip() if done.returncode == 0 else ""

    def await_ssh(self) -> None:
        """Until cloud-init has finished its work and SSH answers."""
        # One connection that waits inside: under emulation each new one costs the guest a second.
        ready = "until test -f /run/cloud-init/result.json; do sleep 0.5; done; echo yes"
        try:
            until(lambda: self.ssh(ready, check=False), BOOT_DEADLINE_S, "SSH answers", every_s=1.0)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.console()[-4000:]}") from late

    def console(self) -> str:
        ec2 = self.server.client(account=self.account)
        return ec2.get_console_output(InstanceId=self.instance_id, Latest=True).get("Output", "")


def _guest(server: Server, account: str, instance_id: str, key: Path) -> Guest:
    ec2 = server.client(account=account)
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance_id])
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    address = reservation["Instances"][0]["PublicIpAddress"]
    return Guest(server=server, account=account, instance_id=instance_id, address=address, key=key)


def _group_with_ssh(ec2: Any, name: str) -> str:
    group = ec2.create_security_group(GroupName=name, Description="ssh for a test")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    return group
