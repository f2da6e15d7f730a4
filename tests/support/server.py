"""A real openami server in a process of its own, and real clients pointed at it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import boto3
from botocore import exceptions, parsers
from botocore.client import BaseClient
from botocore.config import Config

from openami.actions import accounts
from openami.app import RealClock, RealIds
from openami.catalog.catalog import Catalog
from support.served import Served
from support.waiting import until

BIN = Path(sys.executable).parent
START_DEADLINE_S = 120.0
_PORTS = iter(range(20_000 + os.getpid() % 150 * 80, 32_768))
CUT_OFF: Final = (
    *(exceptions.BotoCoreError, exceptions.ClientError, parsers.ResponseParserError),
    OSError,
)
"""What a client may see of a server that is killed while it answers: half an answer, too."""
SESSION = boto3.Session()  # one, since each reads EC2's model anew


@dataclass(frozen=True, kw_only=True)
class Keys:
    access_key_id: str
    secret_access_key: str
    account: str


class ClientError(Exception):
    """The aws CLI exited with an error: `code` is EC2's, `text` all that it printed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.code = text.partition("An error occurred (")[2].partition(")")[0]


@dataclass(kw_only=True)
class Server:
    """One server and its state directory; it may be killed and started again."""

    state_dir: Path
    port: int
    environment: Mapping[str, str]
    keys: dict[str, Keys] = field(default_factory=dict)
    process: Served | None = None
    clients: dict[tuple[str, str, str, bool], BaseClient] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def openami(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one verb of the openami command on this state directory."""
        return subprocess.run(
            [BIN / "openami", "--state-dir", self.state_dir, *arguments],
            env=self._environment(),
            check=check,
            text=True,
            capture_output=True,
        )

    def start(self) -> None:
        self.begin()
        until(self._answers, START_DEADLINE_S, "the server answers")

    def begin(self) -> None:
        """Start the process. It does its start's work, and answers nobody yet."""
        self.process = Served(
            [
                *(str(self._faults_file), "--state-dir", str(self.state_dir)),
                *("serve", "--port", str(self.port)),
            ],
            self._environment(),
            self.state_dir / "server.log",
        )

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        self.close_connections()
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def account(self, name: str) -> Keys:
        """The keys of the account `name`, which is made when first asked for."""
        if name not in self.keys:
            self.keys[name] = self._created(name)
        return self.keys[name]

    def _created(self, name: str) -> Keys:
        # As `openami account create` does it. That takes longer to start than most tests.
        clock, ids = RealClock(), RealIds()
        catalog = Catalog.open(self.state_dir / "catalog.sqlite")
        with closing(catalog), catalog.begin() as tx:
            account = accounts.create_account(tx, clock, name)
            key = accounts.create_access_key(tx, clock, ids, account.id)
        return Keys(access_key_id=key.id, secret_access_key=key.secret, account=account.id)

    def client(
        self,
        service: str = "ec2",
        account: str = "default",
        region: str = "us-east-1",
        *,
        checked: bool = True,
    ) -> BaseClient:
        """boto3's client, the same one each time.

        One that is not `checked` sends any request, however wrong, as it is told to.
        """
        wanted = (service, account, region, checked)
        if wanted not in self.clients:
            keys = self.account(account)
            self.clients[wanted] = SESSION.client(
                service,
                region_name=region,
                endpoint_url=self.url,
                aws_access_key_id=keys.access_key_id,
                aws_secret_access_key=keys.secret_access_key,
                config=Config(
                    retries={"total_max_attempts": 1},
                    read_timeout=120,
                    parameter_validation=checked,
                ),
            )
        return self.clients[wanted]

    def close_connections(self) -> None:
        """Drop what is kept open; a client opens anew what it needs."""
        for client in self.clients.values():
            client.close()

    def aws(
        self, *arguments: str, account: str = "default", region: str = "us-east-1"
    ) -> dict[str, Any]:
        """What the real aws CLI answers, parsed. Raises ClientError with EC2's code."""
        done = subprocess.run(
            [BIN / "aws", *arguments],
            env=self.client_environment(account, region),
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise ClientError(done.stdout + done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def client_environment(self, account: str, region: str = "us-east-1") -> dict[str, str]:
        keys = self.account(account)
        return self._environment() | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def check_answers(self) -> None:
        """Raises AssertionError if an answer since the last time was not as its model has it."""
        if self._faults_file.exists():
            told = self._faults_file.replace(self.state_dir / "faults_told")
            raise AssertionError(f"answers unlike botocore's model:\n{told.read_text()}")

    @property
    def _faults_file(self) -> Path:
        return self.state_dir / "faults_of_answers"

    def log_text(self) -> str:
        return (self.state_dir / "server.log").read_text(errors="replace")

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | dict(self.environment)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended at once:\n{self.log_text()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def serving(state_dir: Path, driver: str, **settings: str) -> Generator[Server]:
    """A fresh server with an account "default", stopped and its machines ended at the end.

    Whatever it answered must have been as botocore's model has it (support/checked_server).
    """
    given = {f"OPENAMI_{name.upper()}": text for name, text in settings.items()}
    server = Server(
        state_dir=state_dir,
        port=_free_port(),
        environment={"OPENAMI_COMPUTE_DRIVER": driver, **given},
    )
    state_dir.mkdir(parents=True, exist_ok=True)
    server.keys["default"] = keys_in(server.openami("init").stdout)
    server.start()
    try:
        yield server
    finally:
        if server.process is None:
            server.start()
        try:
            _terminate_everything(server)
        finally:
            server.stop()
    server.check_answers()


def _terminate_everything(server: Server) -> None:
    for account in list(server.keys):
        for region in ("us-east-1", "us-west-2"):
            ec2 = server.client(account=account, region=region)
            live = [
                instance["InstanceId"]
                for reservation in ec2.describe_instances()["Reservations"]
                for instance in reservation["Instances"]
                if instance["State"]["Name"] != "terminated"
            ]
            if live:
                for instance_id in live:
                    ec2.modify_instance_attribute(
                        InstanceId=instance_id, DisableApiTermination={"Value": False}
                    )
                ec2.terminate_instances(InstanceIds=live)
                ec2.get_waiter("instance_terminated").wait(
                    InstanceIds=live, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
                )


def keys_in(printed: str) -> Keys:
    """The key in what `openami init` and `openami account create` print."""
    exports: dict[str, str] = {}
    account = ""
    for line in printed.splitlines():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            exports[name] = value
        elif line.startswith("# Account "):
            account = line.removeprefix("# Account ").partition(".")[0]
    return Keys(
        access_key_id=exports["AWS_ACCESS_KEY_ID"],
        secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
        account=account,
    )


def _free_port() -> int:
    """One that stays free until the server has it, also while the server is down between starts.

    The kernel gives those from 32768 on to connections as they come, and two test runs at once
    look in different places.
    """
    for port in _PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("there is no free port")
