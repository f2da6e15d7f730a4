"""moto's server, which keeps what it is told in memory, in an environment of its own."""

import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from botocore.credentials import Credentials

from bench import raw_http
from bench.live_server import DEADLINE_S, await_answer, free_port
from bench.many_images import write_for_moto
from bench.raw_http import Connection

# It takes any signature.
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "a secret that nobody looks at")


@dataclass(frozen=True, kw_only=True)
class Moto:
    pid: int
    port: int
    credentials: Credentials = CREDENTIALS


def installed(scratch: Path) -> Path:
    """The directory of moto's programs; installed with uv once and kept."""
    environment = scratch / "moto-venv"
    if not (environment / "bin" / "moto_server").exists():
        print("installing moto to be measured beside", flush=True)
        subprocess.run(["uv", "venv", "--quiet", "--clear", environment], check=True)
        python = environment / "bin" / "python"
        command = ["uv", "pip", "install", "--quiet", "--python", python, "moto[server,ec2]"]
        subprocess.run(command, check=True)
    return environment / "bin"


def version(scratch: Path) -> str:
    command = [installed(scratch) / "moto_server", "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def serving(scratch: Path, directory: Path, images: int) -> Generator[Moto]:
    """Started, with so many images read in, and asked once, since it makes them then."""
    directory.mkdir(parents=True)
    write_for_moto(directory / "images.json", images)
    port = free_port()
    log = directory / "moto.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [installed(scratch) / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
            env={**os.environ, "MOTO_AMIS_PATH": str(directory / "images.json")},
            stdout=output,
            stderr=output,
        )
    try:
        await_answer(process, port, log)
        connection = Connection(port)
        describe = {"Action": "DescribeInstances"}
        connection.send(raw_http.signed(port, CREDENTIALS, describe))
        connection.close()
        yield Moto(pid=process.pid, port=port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
