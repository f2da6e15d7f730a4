"""What the tiny guest says on its console, the only way in which it speaks."""

import re
from dataclasses import dataclass
from typing import Any

from support import api
from support.waiting import until

BOOT_DEADLINE_S = 180.0

# Run by the guest at each boot once this has been its user data; what disks begin with is shown.
REPORTING = r"""#!/bin/sh
echo "first: user data of $(imds meta-data/instance-id)"
for disk in /sys/block/vd*; do
  case "$(cat $disk/serial):$(cat $disk/size)" in
  ephemeral0:*)
    echo "first: ephemeral0 holds [$(head -c 7 /dev/${disk##*/} | tr -d '\0')]"
    printf scratch >/dev/${disk##*/} ;;
  *:2097152) printf 'data of the first' >/dev/${disk##*/} ;;
  esac
done
echo "first: told ephemeral0 is $(imds meta-data/block-device-mapping/ephemeral0)"
echo "the first" >/etc/mark
cat >/etc/report <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
exec >/dev/console
echo "report: mark [$(cat /etc/mark)]"
for disk in /sys/block/vd*; do
  [ -e $disk/${disk##*/}1 ] && continue
  echo "report: $(cat $disk/serial) [$(head -c 17 /dev/${disk##*/} | tr -d '\0')]"
done
END
{ echo '#!/bin/sh'; echo '/etc/report "$1"'; busybox tail -n +2 /etc/udhcpc.script; } >/etc/new
chmod 755 /etc/new /etc/report
mv /etc/new /etc/udhcpc.script
sync
"""


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """A tiny guest in one account of a server."""

    ec2: Any
    instance_id: str

    @staticmethod
    def launched(ec2: Any, image_id: str, **more: Any) -> "Tiny":
        """One that has booted to the end."""
        found = api.launch(ec2, image_id, **more)
        guest = Tiny(ec2=ec2, instance_id=found["InstanceId"])
        guest.await_line(r"tiny: READY")
        return guest

    def console(self) -> str:
        answer = self.ec2.get_console_output(InstanceId=self.instance_id, Latest=True)
        return str(answer.get("Output", ""))

    def last_boot(self) -> str:
        """The console since the guest's process 1 began its latest run."""
        return self.console().rpartition("tiny: init")[2]

    def await_line(self, pattern: str, *, after: str = "") -> str:
        """The console once a line matches, looked for behind the text `after`."""
        seen = ""

        def found() -> bool:
            nonlocal seen
            seen = self.console().removeprefix(after)
            return re.search(pattern, seen) is not None

        try:
            until(found, BOOT_DEADLINE_S, f"the console says {pattern!r}")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{seen[-4000:]}") from late
        return seen

    def await_boot(self, number: int) -> str:
        """The console of the instance's boot of that number, from 1, once it has ended."""

        def booted() -> str:
            before, _, said = self.console().rpartition("tiny: init")
            there = before.count("tiny: init") + 1 >= number and "tiny: READY" in said
            return said if there else ""

        return str(until(booted, BOOT_DEADLINE_S, f"the guest has booted {number} times"))

    def disks(self) -> dict[str, int]:
        """Serial → bytes, of the disks that the last boot found."""
        told = re.findall(r"tiny: disk vd\w+ serial=(\S*) size=(\d+)", self.last_boot())
        return {serial: int(size) for serial, size in told}


def serial(volume_id: str) -> str:
    """What the guest reads as the serial number of the volume's disk."""
    return volume_id.replace("-", "")
