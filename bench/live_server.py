"""A real openami server to be measured, and a client that costs next to nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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

    def terminate(self, instance_id: str) -> None:
        self.call(Action="TerminateInstances", **{"InstanceId.1": instance_id})
        deadline = time.monotonic() + DEADLINE_S
        while self.state(instance_id) != "terminated":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{instance_id} does not end")
            time.sleep(0.02)

    def machine_arguments(self, instance_id: str) -> list[str]:
        """How the machine's process was started."""
        mark = f"guest={instance_id},"
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if any(word.startswith(mark) for word in words[:8]):
                    return words[:-1]
        raise RuntimeError(f"{instance_id} has no process")


@contextmanager
def serving(
    state_dir: Path, disk: Path | None = None, *, images: int = 0, **settings: str
) -> Generator[LiveServer]:
    """A server with an image of `disk` and so many without bytes; stopped at the end.

    Its machines are the caller's.
    """
    state_dir.mkdir(parents=True)
    environment = {**os.environ, **ENVIRONMENT}
    environment |= {f"OPENAMI_{name.upper()}": text for name, text in settings.items()}

    def openami(*arguments: str) -> str:
        command = [BIN / "openami", "--state-dir", state_dir, *arguments]
        done = subprocess.run(command, env=environment, check=True, text=True, capture_output=True)
        return done.stdout

    exports = dict(
        line.removeprefix("export ").split("=", 1)
        for line in openami("init").splitlines()
        if line.startswith("export ")
    )
    if images:
        fill(state_dir, images)
    port = free_port()
    serve = [BIN / "openami", "--state-dir", state_dir, "serve", "--port", str(port)]
    with (state_dir / "server.log").open("wb") as log:
        process = subprocess.Popen(serve, env=environment, stdout=log, stderr=log)
    try:
        await_answer(process, port, state_dir / "server.log")
        connection = Connection(port)
        yield LiveServer(
            state_dir=state_dir,
            pid=process.pid,
            port=port,
            credentials=Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"]),
            image_id=openami("image", "import", str(disk), "--name", "bench").strip()
            if disk
            else "",
            connection=connection,
        )
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def text_at(answer: bytes, *names: str) -> str:
    """The text of the first element at the path of `names`, anywhere. Raises RuntimeError."""
    path = "/".join(f"{NAMESPACE}{name}" for name in names)
    found = ElementTree.fromstring(answer).find(f".//{path}")
    if found is None or found.text is None:
        raise RuntimeError(f"no {path} in {answer.decode()}")
    return found.text
