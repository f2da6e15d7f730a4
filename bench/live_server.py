"""A real openami server to be measured, and a client that costs next to nothing."""

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from botocore.credentials import Credentials

from bench import raw_http
from bench.many_images import fill
from bench.raw_http import Connection, Signed

BIN = Path(sys.executable).parent
DEADLINE_S = 60.0
ENVIRONMENT = {
    "OPENAMI_COMPUTE_DRIVER": "qemu",
    "OPENAMI_VPC_POOL": "10.91.0.0/16",
    "OPENAMI_PUBLIC_IP_POOL": "127.91.0.0/16",
    "OPENAMI_FIRST_MACHINE_UID": "2910000",
}
NAMESPACE = "{http://ec2.amazonaws.com/doc/2016-11-15/}"


@dataclass(frozen=True, kw_only=True)
class LiveServer:
    state_dir: Path
    pid: int
    port: int
    credentials: Credentials
    image_id: str
    connection: Connection
    environment: Mapping[str, str]

    def openami(self, *arguments: str | Path) -> str:
        """What a verb of the openami command prints."""
        return run_openami(self.state_dir, self.environment, *arguments)

    def import_image(self, disk: Path, name: str) -> str:
        return self.openami("image", "import", disk, "--name", name).strip()

    @property
    def run_instances(self) -> Mapping[str, str]:
        return {
            "Action": "RunInstances",
            "ImageId": self.image_id,
            "InstanceType": "t3.nano",
            "MinCount": "1",
            "MaxCount": "1",
        }

    def signed(self, parameters: Mapping[str, str]) -> Signed:
        return raw_http.signed(self.port, self.credentials, parameters)

    def send(self, request: Signed) -> bytes:
        return self.connection.send(request)

    def call(self, **parameters: str) -> bytes:
        return self.send(self.signed(parameters))

    def launch(self) -> str:
        return self.instance_id(self.send(self.signed(self.run_instances)))

    def instance_id(self, answer: bytes) -> str:
        return text_at(answer, "instanceId")

    def state(self, instance_id: str) -> str:
        answer = self.call(Action="DescribeInstances", **{"InstanceId.1": instance_id})
        return text_at(answer, "instanceState", "name")

    def terminate(self, *instance_ids: str) -> None:
        """And wait until they are."""
        if instance_ids:
            named = {f"InstanceId.{n}": each for n, each in enumerate(instance_ids, start=1)}
            self.call(Action="TerminateInstances", **named)
        for instance_id in instance_ids:
            until(lambda each=instance_id: self.state(each) == "terminated", f"{instance_id} ends")

    def terminate_all(self) -> None:
        self.terminate(*instance_ids(self.call(Action="DescribeInstances")))

    def machine_arguments(self, instance_id: str) -> list[str]:
        """How the machine's process was started."""
        return _words(self.machine_pid(instance_id))

    def machine_pid(self, instance_id: str) -> int:
        mark = f"guest={instance_id},"
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                    if any(word.startswith(mark) for word in _words(int(entry.name))[:8]):
                        return int(entry.name)
        raise RuntimeError(f"{instance_id} has no process")

    def console(self, instance_id: str) -> str:
        answer = self.call(Action="GetConsoleOutput", InstanceId=instance_id, Latest="true")
        found = ElementTree.fromstring(answer).findtext(f"{NAMESPACE}output", "")
        return base64.b64decode(found).decode(errors="replace")


@contextmanager
def serving(
    state_dir: Path, disk: Path | None = None, *, images: int = 0, **settings: str
) -> Generator[LiveServer]:
    """A server with an image of `disk` and so many without bytes.

    At the end, however that comes, its machines and its block daemon end, and then it does.
    """
    state_dir.mkdir(parents=True)
    environment = {**os.environ, **ENVIRONMENT}
    environment |= {f"OPENAMI_{name.upper()}": text for name, text in settings.items()}
    exports = dict(
        line.removeprefix("export ").split("=", 1)
        for line in run_openami(state_dir, environment, "init").splitlines()
        if line.startswith("export ")
    )
    if images:
        fill(state_dir, images)
    port = free_port()
    serve = [BIN / "openami", "--state-dir", state_dir, "serve", "--port", str(port)]
    with (state_dir / "server.log").open("wb") as log:
        # In a session of its own: Ctrl-C is for us, who have it end its machines first.
        process = subprocess.Popen(
            serve, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        await_answer(process, port, state_dir / "server.log")
        connection = Connection(port)
        server = LiveServer(
            state_dir=state_dir,
            pid=process.pid,
            port=port,
            credentials=Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"]),
            image_id="",
            connection=connection,
            environment=environment,
        )
        try:
            yield replace(server, image_id=server.import_image(disk, "bench")) if disk else server
        finally:
            with closing(Connection(port)) as afresh:  # the other may be within an answer
                replace(server, connection=afresh).terminate_all()
            connection.close()
    finally:
        try:
            _end(process)
        finally:
            # Both have ended by themselves, unless the server died or somebody still read.
            run_openami(state_dir, environment, "block-daemon", "--stop", check=False)
            _kill_machines(state_dir)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Raises TimeoutExpired for one that had to be killed."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _kill_machines(state_dir: Path) -> None:
    """Those that nobody is left to terminate, before their files are deleted beneath them."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                held = os.pidfd_open(int(entry.name))  # a number may be another's by now
                try:
                    if _is_machine(entry, state_dir):
                        signal.pidfd_send_signal(held, signal.SIGKILL)
                finally:
                    os.close(held)


def _is_machine(process: Path, state_dir: Path) -> bool:
    """Its arguments name no file, since it was handed all of them open."""
    if not any(word.startswith("guest=i-") for word in _words(int(process.name))[:8]):
        return False
    files = [str(each.readlink()) for each in (process / "fd").iterdir()]
    return any(file.startswith(f"{state_dir}/") for file in files)


def run_openami(
    state_dir: Path, environment: Mapping[str, str], *arguments: str | Path, check: bool = True
) -> str:
    command = [BIN / "openami", "--state-dir", state_dir, *arguments]
    done = subprocess.run(command, env=environment, check=check, text=True, stdout=subprocess.PIPE)
    return done.stdout


@contextmanager
def room_for_machines() -> Generator[Path]:
    """Not in the scratch directory: machines run as users of their own, who must walk there."""
    made = Path(tempfile.mkdtemp(prefix="openami-bench-", dir="/var/tmp"))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def until(condition: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
    """Raises RuntimeError if it does not come to be."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.02)


def await_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"the server does not answer:\n{log.read_text()}")


def _words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def instance_ids(answer: bytes) -> list[str]:
    """Of those that RunInstances or DescribeInstances tell."""
    sets = ElementTree.fromstring(answer).iter(f"{NAMESPACE}instancesSet")
    return [item.findtext(f"{NAMESPACE}instanceId", "") for each in sets for item in each]


def text_at(answer: bytes, *names: str) -> str:
    """The text of the first element at the path of `names`, anywhere. Raises RuntimeError."""
    path = "/".join(f"{NAMESPACE}{name}" for name in names)
    found = ElementTree.fromstring(answer).find(f".//{path}")
    if found is None or found.text is None:
        raise RuntimeError(f"no {path} in {answer.decode()}")
    return found.text
