"""The main job on real input: an image becomes many identical, real servers, and a server an image.

Everything goes through the stock aws CLI against a server that this script starts on
loopback, with a state directory of its own that is gone at the end, Ctrl-C included.
"""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
BUILD_CACHE = Path(os.environ.get("OPENAMI_BUILD_CACHE", Path.home() / ".cache" / "openami"))
BOOT_DEADLINE_S = 400.0
SAME_FILE = "/usr/bin/dpkg"  # a file of the image that every server must have alike
USER_DATA = """#!/bin/sh
mkdir -p /var/lib/demo
echo "user data ran once, as $(id -un), on $(hostname)" >> /var/lib/demo/user-data
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one server says of itself over SSH."""

    instance_id: str
    address: str
    hostname: str
    machine_id: str
    sha256: str
    user_data: str


class Demo:
    """One run: where it keeps things and how it speaks to the server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state_dir = directory / "state"
        self.key = directory / "demo.pem"
        self.began = time.monotonic()
        self.interrupted = threading.Event()
        self.port = _free_port()
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "OPENAMI_STATE_DIR": str(self.state_dir),
            "OPENAMI_BUILD_CACHE": str(BUILD_CACHE),
            "OPENAMI_PORT": str(self.port),
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def title(self, text: str) -> None:
        print(f"\n\033[1m[{time.monotonic() - self.began:5.1f} s] {text}\033[0m", flush=True)

    def openami(self, *arguments: str) -> str:
        print(f"$ openami {shlex.join(arguments)}", flush=True)
        done = subprocess.run(
            [BIN / "openami", *arguments], env=self.environment, stdout=subprocess.PIPE, text=True
        )
        if done.returncode != 0:
            raise SystemExit(f"openami {arguments[0]} failed")
        return done.stdout

    def serve(self, stack: ExitStack) -> None:
        log = stack.enter_context((self.directory / "server.log").open("wb"))
        process = subprocess.Popen(
            [BIN / "openami", "serve"],
            env=self.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is ours: the server must live to clean up
        )
        stack.callback(_stopped, process)
        print(f"$ openami serve   # process {process.pid}, port {self.port}", flush=True)
        self.until(self._answers, 60, "the server answers")

    def aws(self, command: str, *, quiet: bool = False) -> Any:
        """The answer of one aws command line, which is shown with it unless `quiet`."""
        if not quiet:
            print(f"$ aws {command}", flush=True)
        done = subprocess.run(
            [BIN / "aws", *shlex.split(command)],
            env=self.environment,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise SystemExit(f"aws {command} failed:{done.stderr}")
        answer = json.loads(done.stdout) if done.stdout.strip() else {}
        if not quiet:
            print(_shortened(answer), flush=True)
        return answer

    def ssh(self, address: str, command: str, *, given: bytes = b"") -> str | None:
        """What `command` prints on the server, or None while it cannot be reached."""
        options = ["-i", self.key, "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=5"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        options += ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]
        done = subprocess.run(
            ["ssh", *options, f"admin@{address}", command], input=given, capture_output=True
        )
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def until(self, condition: Callable[[], object], deadline_s: float, what: str) -> object:
        deadline = time.monotonic() + deadline_s
        while not (found := condition()):
            if self.interrupted.wait(0.5):
                raise SystemExit(f"interrupted while waiting: {what}")
            if time.monotonic() > deadline:
                log = (self.directory / "server.log").read_text(errors="replace")[-3000:]
                raise SystemExit(f"not within {deadline_s:.0f} s: {what}\n{log}")
        return found

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with (
            # Not /tmp, which may be in memory: disks of several GiB live here.
            tempfile.TemporaryDirectory(prefix="openami-demo-", dir="/var/tmp") as directory,
            ExitStack() as stack,
        ):
            _run(Demo(Path(directory)), stack)
    except KeyboardInterrupt:
        print("\ninterrupted; everything that the demo started has been ended", file=sys.stderr)
        return 130
    return 0


def _run(demo: Demo, stack: ExitStack) -> None:
    demo.title("A state directory, an account, a server")
    for line in demo.openami("init").splitlines():
        print(line)
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            demo.environment[name] = value
    demo.serve(stack)
    stack.callback(_terminated, demo)

    demo.title("A Debian 12 disk, built from packages, becomes an AMI")
    image_id = demo.openami("image", "build", "debian-12", "--name", "debian-12").strip()
    print(image_id)
    demo.aws(f"ec2 describe-images --image-ids {image_id}")

    demo.title("A key, and a door for SSH")
    made = demo.aws("ec2 create-key-pair --key-name demo --key-type ed25519")
    demo.key.touch(0o600)
    demo.key.write_text(made["KeyMaterial"])
    demo.aws(
        "ec2 authorize-security-group-ingress --group-name default"
        " --protocol tcp --port 22 --cidr 0.0.0.0/0"
    )

    demo.title("Three identical servers of one image")
    servers = _launched(demo, image_id, 3)
    seen = _seen(demo, servers)

    demo.title("The first one is changed: a file, and a package of ours")
    _change(demo, _address(demo, servers[0]))

    demo.title("The changed server becomes an image")
    made = demo.aws(
        f"ec2 create-image --instance-id {servers[0]} --name debian-12-changed --no-reboot"
        " --tag-specifications 'ResourceType=image,Tags=[{Key=Version,Value=2}]'"
        " 'ResourceType=snapshot,Tags=[{Key=Version,Value=2}]'"
    )
    changed_id = made["ImageId"]
    demo.aws(f"ec2 wait image-available --image-ids {changed_id}")
    demo.aws(f"ec2 describe-images --image-ids {changed_id}")
    # The three have said what they had to say; on two cores the fourth boots faster alone.
    demo.aws(f"ec2 terminate-instances --instance-ids {' '.join(servers)}")

    demo.title("A server of the new image")
    # It has the machine-id of the first one, whose disk it has: that is EC2's way as well.
    (fourth,) = _launched(demo, changed_id, 1)
    (seen_fourth,) = _seen(demo, [fourth])
    file, package = _changes(demo, _address(demo, fourth))
    _report(demo, seen, seen_fourth, file, package)


def _launched(demo: Demo, image_id: str, count: int) -> list[str]:
    user_data = demo.directory / "user-data.sh"
    user_data.write_text(USER_DATA)
    reservation = demo.aws(
        f"ec2 run-instances --image-id {image_id} --instance-type t2.micro --count {count}"
        f" --key-name demo --user-data file://{user_data}"
    )
    ids = [instance["InstanceId"] for instance in reservation["Instances"]]
    demo.aws(f"ec2 wait instance-running --instance-ids {' '.join(ids)}")
    return ids


def _seen(demo: Demo, servers: Sequence[str]) -> list[Seen]:
    print("… the firmware, GRUB, the kernel and cloud-init do their work", flush=True)
    pool = ThreadPoolExecutor(len(servers))
    try:
        return list(pool.map(lambda server: _ask(demo, server), servers))
    except BaseException:
        demo.interrupted.set()  # or the threads would wait for servers that are about to go
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _ask(demo: Demo, instance_id: str) -> Seen:
    """Wait until cloud-init has finished on the server, then ask it who it is."""
    address = _address(demo, instance_id)
    # One connection that waits inside: under emulation each new one costs the guest a second.
    ready = "until test -f /run/cloud-init/result.json; do sleep 0.5; done; echo yes"
    demo.until(lambda: demo.ssh(address, ready), BOOT_DEADLINE_S, f"{instance_id} has booted")
    answers = demo.ssh(
        address,
        f"hostname -I; hostname; cat /etc/machine-id; sha256sum < {SAME_FILE};"
        " cat /var/lib/demo/user-data",
    )
    print(f"  {instance_id} is up and answers SSH on {address}", flush=True)
    private, hostname, machine_id, digest, *user_data = str(answers).splitlines()
    return Seen(
        instance_id=instance_id,
        address=private.strip(),
        hostname=hostname,
        machine_id=machine_id,
        sha256=digest.split()[0],
        user_data=" / ".join(user_data),
    )


def _address(demo: Demo, instance_id: str) -> str:
    query = "Reservations[0].Instances[0].PublicIpAddress"
    command = f"ec2 describe-instances --instance-ids {instance_id} --query {query}"
    return str(demo.aws(command, quiet=True))


def _change(demo: Demo, address: str) -> None:
    """Install a small package that is built here and copied in: guests have no way out."""
    tree = demo.directory / "hello-openami"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: hello-openami\nVersion: 1.0\nArchitecture: all\n"
        "Maintainer: openami demo <demo@example.com>\nDescription: says hello\n"
    )
    (tree / "usr" / "bin").mkdir(parents=True)
    program = tree / "usr" / "bin" / "hello-openami"
    program.write_text("#!/bin/sh\necho hello from the package\n")
    for directory in (tree, tree / "DEBIAN", tree / "usr", tree / "usr" / "bin", program):
        directory.chmod(0o755)
    package = demo.directory / "hello-openami.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", tree, package],
        check=True,
        capture_output=True,
    )
    for command, given in (
        ("cat > /tmp/hello-openami.deb", package.read_bytes()),
        ("sudo dpkg -i /tmp/hello-openami.deb", b""),
        ("echo 'changed by hand' | sudo tee /etc/openami-demo", b""),
        ("sync", b""),
    ):
        print(f"$ ssh admin@{address} {shlex.quote(command)}", flush=True)
        answer = demo.ssh(address, command, given=given)
        if answer is None:
            raise SystemExit("the command failed on the server")
        if answer:
            print("  " + answer.replace("\n", "\n  "))


def _changes(demo: Demo, address: str) -> tuple[str, str]:
    file = demo.ssh(address, "cat /etc/openami-demo") or "missing"
    package = demo.ssh(address, "dpkg-query -W hello-openami && hello-openami") or "missing"
    return file, " → ".join(package.split("\n"))


def _report(demo: Demo, seen: Sequence[Seen], fourth: Seen, file: str, package: str) -> None:
    demo.title("Three servers of the first image")
    digest = f"sha256 of {SAME_FILE}"
    heads = ("instance id", "address", "hostname", "machine-id", digest, "user data")
    rows = [
        (s.instance_id, s.address, s.hostname, s.machine_id, s.sha256[:16] + "…", s.user_data)
        for s in seen
    ]
    _table(heads, rows)
    demo.title("One server of the image that was made of the first server")
    f = fourth
    _table(
        (*heads[:4], "changed file", "package"),
        [(f.instance_id, f.address, f.hostname, f.machine_id, file, package)],
    )
    different = all(len({ask(s) for s in seen}) == len(seen) for ask in (_hostname, _machine_id))
    alike = len({s.sha256 for s in (*seen, f)}) == 1
    changed = file == "changed by hand" and "hello from the package" in package
    told = all(s.user_data.count("user data ran once, as root") == 1 for s in seen)
    for ok, text in (
        (different, "the hostnames of the three are all different, and so are their machine-ids"),
        (alike, f"{SAME_FILE} is the same everywhere"),
        (told, "user data ran once, as root, on each"),
        (changed, "the new image holds the changed file and the package"),
    ):
        print(f"{'yes' if ok else 'NO '}  {text}")
    if not (different and alike and changed and told):
        raise SystemExit("the demo did not show what it should")


def _hostname(server: Seen) -> str:
    return server.hostname


def _machine_id(server: Seen) -> str:
    return server.machine_id


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, ["-" * width for width in widths], *rows):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _shortened(answer: object, lines_max: int = 14) -> str:
    lines = json.dumps(answer, indent=1).splitlines()
    kept = [line if len(line) <= 110 else line[:107] + "…" for line in lines[:lines_max]]
    if len(lines) > lines_max:
        kept.append(f"   … {len(lines) - lines_max} more lines")
    return "\n".join("  " + line for line in kept)


def _terminated(demo: Demo) -> None:
    """End every machine before the server goes: machines outlive it otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing may come between
    query = "Reservations[].Instances[].InstanceId"
    ids = demo.aws(f"ec2 describe-instances --query {query}", quiet=True)
    if ids:
        demo.aws(f"ec2 terminate-instances --instance-ids {' '.join(ids)}", quiet=True)
        demo.aws(f"ec2 wait instance-terminated --instance-ids {' '.join(ids)}", quiet=True)


def _stopped(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    if shutil.which("ssh") is None:
        raise SystemExit("the demo needs ssh: install openssh-client")
    sys.exit(main())
