"""One server of each kind for the whole acceptance suite, and the images that tests launch.

`record_server` answers without machines; `qemu_server` runs real ones. Tests share them and
keep apart by accounts. State directories do not lie in pytest's, since machines run as users of
their own who cannot walk into those.
"""

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.disks import debian_disk, tiny_disk
from support.server import Server, serving
from support.world import MINE, THEIRS, World, populated


@contextmanager
def _state_dir(within: str | None = None) -> Generator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="openami-acceptance-", dir=within))
    directory.chmod(0o711)
    try:
        yield directory / "state"
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def record_server() -> Generator[Server]:
    """A server whose machines are only state.

    Its calls wait for their own work however busy the host is, so that the state after each of
    them is settled.
    """
    settings = {"settle_timeout_s": "60"}
    with _state_dir() as state_dir, serving(state_dir, "record", **settings) as server:
        yield server


@pytest.fixture(scope="session")
def qemu_server() -> Generator[Server]:
    """A server with real machines. Guests use less memory than their types promise.

    Their disks are too big to be kept in memory.
    """
    settings = {
        "memory_overcommit": "4",
        "vpc_pool": "10.93.0.0/16",  # not that of another server on the same host
        "public_ip_pool": "127.93.0.0/16",
        "first_machine_uid": "2930000",
    }
    with _state_dir("/var/tmp") as state_dir, serving(state_dir, "qemu", **settings) as server:
        yield server


@pytest.fixture(scope="session")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few MiB that no machine could boot, for a server that boots none."""
    file = tmp_path_factory.mktemp("disks") / "small.raw"
    with file.open("wb") as disk:
        for block in range(4):
            disk.seek(block * 2 * 2**20)
            disk.write(bytes((block + 1,)) * 4096)
        disk.truncate(16 * 2**20)
    return file


@pytest.fixture(scope="session")
def small_ami_of(record_server: Server, small_disk: Path) -> Callable[[str], str]:
    """An account's own image of the small disk, by the account's name."""

    @cache
    def image_of(account: str) -> str:
        return imported(record_server, small_disk, "small", account)

    return image_of


@pytest.fixture(scope="session")
def world(record_server: Server, small_ami_of: Callable[[str], str]) -> World:
    """Something of everything, in two accounts, for requests that must change nothing of it."""
    return populated(record_server, small_ami_of(MINE), small_ami_of(THEIRS))


@pytest.fixture
def unchanged(world: World) -> Generator[World]:
    """The world, and an error if the test leaves anything on the server other than it was."""
    world.changes()
    yield world
    assert world.changes() == {}


@pytest.fixture(scope="session")
def tiny_ami(qemu_server: Server) -> str:
    """The guest that boots in seconds and tells its console what it sees."""
    return imported(qemu_server, tiny_disk(), "tiny")


@pytest.fixture(scope="session")
def debian_ami(qemu_server: Server) -> str:
    """Debian 12 with cloud-init; boots by BIOS and by UEFI."""
    return imported(qemu_server, debian_disk(), "debian-12")


def imported(server: Server, disk: Path, name: str, account: str = "default") -> str:
    """An image of `disk`, owned by `account`."""
    server.account(account)
    done = server.openami("image", "import", str(disk), "--name", name, "--account", account)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def answers_as_the_model_has_them(request: pytest.FixtureRequest) -> Generator[None]:
    """A test fails for what its server told any client that botocore's model does not know."""
    yield
    for server in _servers_of(request.node):
        server.check_answers()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A failure shows the end of the server's log."""
    report = yield
    for server in _servers_of(item):
        if report.failed:
            report.sections.append((f"the log of {server.url}", server.log_text()[-4000:]))
    return report


def _servers_of(item: pytest.Item) -> list[Server]:
    return [each for each in getattr(item, "funcargs", {}).values() if isinstance(each, Server)]
