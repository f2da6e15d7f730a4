"""What is settled for instances, as a guest meets it: its processors, its metadata service."""

import re
from collections.abc import Generator
from typing import Any

import pytest

from support import api
from support.server import Server
from support.tiny import Tiny

pytestmark = [pytest.mark.boot, pytest.mark.timeout(900)]

# At each boot the guest tells its processors, and whether the metadata service wants a token.
TELLING = r"""#!/bin/sh
cat >/etc/tell <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
exec >/dev/console
echo "told: $(grep -c ^processor /proc/cpuinfo) processors"
END
{ echo '#!/bin/sh'; echo '/etc/tell "$1"'; busybox tail -n +2 /etc/udhcpc.script; } >/etc/new
chmod 755 /etc/new /etc/tell
mv /etc/new /etc/udhcpc.script
/etc/tell bound
wget -q -O- http://169.254.169.254/latest/meta-data/instance-id >/dev/null 2>&1
echo "told: IMDSv1 ends with $?"
sync
"""


@pytest.fixture(scope="module")
def ec2(qemu_server: Server) -> Generator[Any]:
    """An account's defaults are taken back when its guest is gone."""
    client = qemu_server.client()
    client.modify_instance_metadata_defaults(HttpTokens="required")
    yield client
    client.modify_instance_metadata_defaults(HttpTokens="no-preference")


@pytest.fixture(scope="module")
def guest(ec2: Any, tiny_ami: str) -> Generator[Tiny]:
    """Of a type that has one core of two threads."""
    options = {"CoreCount": 1, "ThreadsPerCore": 1}
    made = Tiny.launched(
        ec2, tiny_ami, InstanceType="c5.large", CpuOptions=options, UserData=TELLING
    )
    yield made
    api.terminate(ec2, made.instance_id)


def processors(console: str) -> list[str]:
    return re.findall(r"told: (\d+) processors", console)


def test_a_guest_has_the_processors_that_were_chosen_for_it(ec2: Any, guest: Tiny) -> None:
    assert processors(guest.await_line(r"told: \d+ processors")) == ["1"]
    api.stop(ec2, guest.instance_id)
    ec2.modify_instance_cpu_options(InstanceId=guest.instance_id, ThreadsPerCore=2)
    api.start(ec2, guest.instance_id)
    assert processors(guest.await_boot(2)) == ["2"]


def test_a_guest_meets_the_metadata_service_as_its_account_would_have_it(guest: Tiny) -> None:
    assert "told: IMDSv1 ends with 1" in guest.await_line(r"told: IMDSv1 ends with \d+")
