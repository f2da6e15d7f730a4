"""The whole server under SIGKILL, at random moments of a mixed load, again and again.

CRASH_SEED repeats the choices of a run (not the host's scheduling); CRASH_KILLS
says how often it is killed.
"""

import os
import random  # noqa: TID251 (seeded: a failure names its seed)
import secrets
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from support.crash_server import Life
from support.disks import tiny_disk
from support.server import serving

KILLS = int(os.environ.get("CRASH_KILLS", "50"))
LOOK_EVERY = 10
SETTINGS = {
    "accelerator": "tcg",
    "memory_overcommit": "4",
    "stop_timeout_s": "1",
    "vpc_pool": "10.92.0.0/16",  # not that of another suite on the same host
    "public_ip_pool": "127.92.0.0/16",
    "first_machine_uid": "2920000",
}

pytestmark = [pytest.mark.boot, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def directory() -> Generator[Path]:
    """Below /var/tmp: machines run as users of their own, who cannot walk pytest's directories."""
    made = Path(tempfile.mkdtemp(prefix="openami-crash-", dir="/var/tmp"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def test_a_server_killed_at_any_moment_finishes_what_it_began_and_loses_nothing(
    directory: Path,
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbits(32))
    print(f"CRASH_SEED={seed}")
    with serving(directory / "state", "qemu", **SETTINGS) as server:
        imported = server.openami("image", "import", str(tiny_disk()), "--name", "tiny")
        life = Life(
            server=server,
            random=random.Random(seed),
            tiny_id=imported.stdout.strip(),
            directory=directory,
        )
        try:
            live_and_die(life)
        except BaseException:
            print("\n".join(life.told[-80:]))
            print(server.log_text()[-8000:])
            raise
    life.say("the server has stopped")
    assert life.leftovers() == []
    life.check_host()
    life.say("nothing is left")


def live_and_die(life: Life) -> None:
    life.make_witness()
    for number in range(1, KILLS + 1):
        life.kill_in_a_burst()
        life.server.start()
        life.say("the server answers again")
        census = life.settled()
        life.check_survivors(census)
        if number % LOOK_EVERY == 0 or number == KILLS:
            life.check_tokens()
            life.settled()
            life.check_host()
            life.say("bytes and host are as they should be")
        life.make_room(census)
    assert life.check_contents(life.end_the_guests()) > KILLS / 2
    life.say("every content is what it was")
