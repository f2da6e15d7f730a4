"""The whole server under SIGKILL while it collects beside who writes and who deletes.

CRASH_SEED repeats the choices of a run (not the host's scheduling); CRASH_KILLS
says how often it is killed.
"""

import os
import random  # noqa: TID251 (seeded: a failure names its seed)
import secrets
from pathlib import Path

import pytest

from support.crash_collecting import Collecting
from support.server import serving

KILLS = int(os.environ.get("CRASH_KILLS", "3"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_server_killed_while_it_collects_loses_nothing_and_forgets_nothing(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbits(32))
    print(f"CRASH_SEED={seed}")
    with serving(tmp_path / "state", "record", collect_every_s="1") as server:
        life = Collecting(server=server, random=random.Random(seed), directory=tmp_path)
        try:
            for _ in range(KILLS):
                life.kill_in_a_burst()
                server.start()
                life.check()
            life.delete_everything()
        except BaseException:
            print("\n".join(life.told))
            print(server.log_text()[-8000:])
            raise
