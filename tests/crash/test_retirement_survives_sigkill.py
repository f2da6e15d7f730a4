"""The whole server under SIGKILL while snapshots go to the bin, the archive or to hand, and back.

CRASH_SEED repeats the choices of a run (not the host's scheduling); CRASH_KILLS
says how often it is killed.
"""

import os
import random  # noqa: TID251 (seeded: a failure names its seed)
import secrets
from pathlib import Path

import pytest

from support.crash_retiring import Retirement
from support.server import serving

KILLS = int(os.environ.get("CRASH_KILLS", "6"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_server_killed_at_any_moment_loses_nothing_that_is_out_of_sight(tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbits(32))
    print(f"CRASH_SEED={seed}")
    with serving(tmp_path / "state", "record") as server:
        life = Retirement(server=server, random=random.Random(seed), directory=tmp_path)
        life.prepare()
        try:
            for _ in range(KILLS):
                life.kill_in_a_burst()
                server.start()
                life.until_settled()
                life.check()
            life.bring_everything_back()
            life.check()
            life.check_contents()
        except BaseException:
            print("\n".join(life.told))
            print(server.log_text()[-8000:])
            raise
